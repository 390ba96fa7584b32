"""The journal under torture: a board on a flash that tears and fails, each of its steps compared with plain lists."""

import random

import plain_list
import records
from centre import ANSWERS, Centre, Way
from journal import ring as journal
from journal.ring import Ring
from plain_list import Lost, Tally
from torn import SECTOR, PowerCut
from uplink.shipper import Shipper
from watching import AHEAD_BYTES, HEAD_BYTES, RELEASED, Watched

DEVICE = b"\0\0\xa0\xb1\xc2\xd3\xe4\xf5"
DEVICE_KEY = bytes(range(32))
SECTORS = 4
_ROOM = 80  # what the station asks for before it takes a card
_DRAIN = 40  # requests that must be enough to empty the ring
_TRIES = 6  # cards that a failing sector may turn away


class Me:
    device_id = DEVICE
    device_key = DEVICE_KEY
    collector_public = bytes(range(32, 64))


class Clock:
    def reading(self, unix_ms, error_ms, source):
        pass


def draw_bytes(n):
    return bytes(random.getrandbits(8) for _ in range(n))


class World(Watched):
    """A board on this flash, the collector at the other end, and the model of both."""

    def __init__(self, flash, model, sealed, overwrite, tally=None, column=Tally.WORKLOAD):
        super().__init__(flash, model, sealed, overwrite, tally, column)
        self.releases = []  # (index, sequence) that were released, for repeats
        self.centre = Centre(self)
        self.boot()

    def boot(self):
        """Power on: recovery writes nothing and shows everything."""
        flash = self.flash
        operations, undecided = flash.operations, flash.undecided_reads
        self.ring = Ring(flash, DEVICE, self.overwrite, draw_bytes)
        self.ring.recover()
        if flash.operations != operations:
            raise Lost("recovery wrote to flash")
        self.done(plain_list.BOOT)
        if flash.undecided_reads != undecided:
            self.done(plain_list.UNDECIDED_BOOT)
        self.shipper = Shipper(self.ring, Me, self.centre, Way(), Clock, draw_bytes, None, 0, 0, None)
        self._begin_epoch(plain_list.FIRST)

    def _begin_epoch(self, fresh):
        self.fresh = fresh
        self.epoch = self.sealed.epoch()
        self.ring.begin_epoch(self.epoch, lambda buffer, at: records.boot(buffer, at, 5, 1, "torture", 1))
        self.shipper.new_epoch(self.epoch)

    def cut_boot(self, reads):
        """Power on, and off again after so many reads of recovery; then it stays."""
        self.flash.cut_read_in = reads
        try:
            Ring(self.flash, DEVICE, self.overwrite, draw_bytes).recover()
        except PowerCut:
            self.tally.cut(self.column, [plain_list.BOOT])
        self.flash.cut_read_in = None
        self.boot()

    def brown_outs(self, times):
        """Boot after boot, the power goes inside the erase that the station makes before it is ready."""
        for _ in range(times):
            self.boot()
            if not self.ring.wants_erase():
                return
            self.flash.cut_in, self.flash.cut_place = 0, random.randrange(1, 4)
            try:
                self.prepare()
            except PowerCut:
                self.struck()
            self.done(plain_list.BROWNOUTS)

    def torn_erase(self):
        """The head is filled up, and the power goes inside the erase ahead: the next boot finds a damaged sector."""
        for _ in range(SECTORS * SECTOR // _ROOM):
            if self.ring.wants_erase():
                break
            if not self.scan():
                self.drain()
        self.flash.cut_in, self.flash.cut_place = 0, 2
        self.prepare()

    def round(self):
        """Long notes, until what is damaged has been sent and its sector has served again."""
        for n in range(2 * SECTORS * SECTOR // 256):
            self.prepare()
            if not self.note(227) or n % 8 == 0:
                self.drain()
                sectors = [self.sector(index) for index in range(SECTORS)]
                if all(self.named(n, data) or not data[HEAD_BYTES:].rstrip(b"\xff") for n, data in enumerate(sectors)):
                    break

    def overtake(self):
        """Nobody answers until the ring is full; then a crowd comes while a request is read."""
        for _ in range(SECTORS * SECTOR // _ROOM):
            if not self.overwrite or (self.ring.unreleased() >= SECTORS - 1 and self.ring.offset > SECTOR - AHEAD_BYTES):
                break
            self.incident("n" * 200)
        self.ship("flooded")

    def struck(self):
        """A flash operation was torn: the board starts again."""
        self.tally.cut(Tally.AFTER_CUT, self.kinds)
        self.formatting = False
        self.boot()
        self.check()

    def append(self, rank, encode, kind):
        """One record of the next number; True when it was recorded."""
        model = self.model
        model.next += 1
        plain = bytearray(240)
        end = encode(plain, model.next)
        number = self.sealed.number = model.next
        self.sealed.plain = bytes(plain[:end])
        self.rank = kind
        failed = self.flash.failed
        done = self.ring.append(memoryview(plain)[:end], rank)
        if done:
            model.kept.append(number)
            self.fresh = None
        if self.flash.failed != failed:
            self.done(plain_list.FAILED)
        return done

    def scan(self):
        """A card, as the station takes it: a sector is made ready first, where one is allowed."""
        ring, flash = self.ring, self.flash
        failed = flash.failed
        if not ring.accepts(_ROOM, journal.EVENT) and ring.wants_erase():
            self.prepare()
        may = ring.accepts(_ROOM, journal.EVENT)
        identity = records.id_digits(b"%018d" % self.model.next)
        if self.model.next & 1:
            identity = records.id_text(b"%064d" % self.model.next)
        done = self.append(journal.EVENT, lambda b, n: records.scan(b, 0, n, 0, 3, 1, identity), plain_list.CARD)
        if may and not done and not flash.loose and not flash.unerased and flash.failed == failed:
            raise Lost("a card was refused where there was room")
        if not done and not may:
            self.done(plain_list.REFUSED)
        return done

    def prepare(self, rank=journal.EVENT):
        ring, model = self.ring, self.model
        lost, overwritten, unmarked, failed = ring.lost, model.overwritten, self.unmarked, self.flash.failed
        for _ in range(ring.sectors):
            if ring.wants_erase(rank):
                ring.prepare(rank)
        if not model.overwritten - overwritten <= ring.lost - lost <= self.unmarked - unmarked:
            raise Lost("%d sectors counted as lost, %d dropped" % (ring.lost - lost, model.overwritten - overwritten))
        if self.flash.failed != failed:
            self.done(plain_list.FAILED)

    def incident(self, reason="opened by hand"):
        if self.ring.wants_erase(journal.INCIDENT):
            self.prepare(journal.INCIDENT)
        change = lambda b, n: records.change(b, 0, n, 239, 4, n, 1, reason)  # noqa: E731
        return self.append(journal.INCIDENT, change, plain_list.INCIDENT)

    def note(self, length):
        text = "n" * length
        note = lambda b, n: records.note(b, 0, n, min(239, length + 12), 1, text)  # noqa: E731
        return self.append(journal.TELEMETRY, note, plain_list.TELEMETRY)

    def clock(self):
        clock = lambda b, n: records.clock(b, 0, n, 1_800_000_000_000 + n, 20, 3)  # noqa: E731
        return self.append(journal.TELEMETRY, clock, plain_list.TELEMETRY)

    def format(self):
        """What a technician's tool does: every sector erased, the head last; then the board starts."""
        head = self.ring.index(self.ring.sequence) if self.ring.sequence else 0
        self.formatting = True
        self.model.kept = []
        self.releases = []  # sequences begin again at 1
        for step in range(1, self.flash.sectors + 1):
            try:
                self.flash.ioctl(6, (head + step) % self.flash.sectors)
            except OSError:
                self.done(plain_list.FAILED)  # such a sector keeps what it has
        self.formatting = False
        self.boot()

    def ship(self, answer=None):
        """One request; True while there is more to send."""
        before = bytes(self.ring.state)
        more = self.centre.exchange(self.shipper, answer)
        for index, state in enumerate(self.ring.state):
            if state == before[index] or state != RELEASED:
                continue
            if not self.ring.closed(index):
                raise Lost("the open head was released")
            head = self.named(index, self.sector(index))
            if head:
                self.releases = self.releases[-3:] + [(index, head[0])]
        return more

    def drain(self):
        for _ in range(_DRAIN):
            self.shipper._limit = 65536  # where doubling after each answer leads
            if not self.ship() and not self._closed_ones():
                return

    def _closed_ones(self):
        """Closed sectors that are still to be sent; where a cut left cells undecided, a release may take several requests."""
        ring = self.ring
        return any(ring.closed(index) for index in range(ring.sectors) if ring.state[index] == journal.UNRELEASED)

    def goes_on(self):
        """A card is taken, if the ring was full once the collector has what there is; and it all arrives."""
        for attempt in range(_TRIES):
            if self.scan():
                break
            if attempt == 1:
                self.boot()
            self.drain()
        else:
            raise Lost("no card is taken any more; states %s offset %d" % (list(self.ring.state), self.ring.offset))
        self.drain()
        self.check()
        waiting = [number for number in self.model.kept if number not in self.model.arrived]
        if waiting:
            raise Lost("does not arrive: %s; states %s" % (waiting, list(self.ring.state)))

    def do(self, op):
        """One operation of a workload: its name and its number."""
        name, argument = op[0], int(op[1:] or 0)
        if name == "s":
            self.scan()
        elif name == "n":
            self.note(argument)
        elif name == "i":
            self.incident()
        elif name == "c":
            self.clock()
        elif name == "b":
            self.boot()
        elif name == "y":
            self.cut_boot(argument)
        elif name == "z":
            self.brown_outs(argument)
        elif name == "e":
            self.torn_erase()
        elif name == "o":
            self.overtake()
        elif name == "g":
            self.round()
        elif name == "k":
            self.done(plain_list.RENEWAL)
            self._begin_epoch(plain_list.RENEWED)
        elif name == "p":
            self.prepare()
        elif name == "u":
            self.ship(ANSWERS[argument])
        elif name == "l":
            self.centre.late_reply(self.shipper)
        elif name == "r":
            for index, sequence in self.releases:
                self.ring.release(index, sequence)
        elif name == "h":
            self.shipper._limit = max(256, argument)
        elif name == "f":
            self.format()
        elif name == "w":
            self.flash.weak = argument
        elif name == "v":
            # One sector fails at a time: of four, one may; number 0 mends it.
            self.flash.faults = {argument % SECTORS: argument // SECTORS} if argument >= SECTORS else {}
        elif name == "x":
            self.flash.cut_in, self.flash.cut_place = argument % 16, argument // 16
        else:
            raise ValueError(op)

    def run(self, ops):
        """Do all of them; where an armed cut ("x") strikes, the board starts again and the list goes on."""
        for op in ops:
            try:
                self.do(op)
            except PowerCut:
                self.struck()
        self.flash.cut_in = None
