"""The journal under torture: a workload against a plain list, torn at its flash operations, checked and carried on."""

import json
import struct
from binascii import crc32

import records
import uplink.shipper
from journal import ring as journal
from journal import seal
from journal.ring import Ring
from torn import AFTER, BEFORE, INSIDE, SECTOR, PowerCut
from uplink.http import HttpError
from uplink.shipper import Shipper

DEVICE = b"\0\0\xa0\xb1\xc2\xd3\xe4\xf5"
DEVICE_KEY = bytes(range(32))
SECTORS = 4
RELEASED = 2  # a sector's state in the ring
KINDS = (BEFORE, INSIDE, AFTER)
_HEAD, _FRAME_OVERHEAD, _EPOCH_FRAME = 64, 11, 35
_ROOM = 80  # what the station asks for before it takes a card
_DRAIN = 40  # requests that must be enough to empty the ring


class Lost(Exception):
    """A promise of the journal was broken."""


class _Now:
    """asyncio for the shipper, without a loop: a fork of the world may send in the middle of another's request."""

    TimeoutError = OSError

    @staticmethod
    async def wait_for_ms(awaitable, timeout_ms):
        return await awaitable


uplink.shipper.asyncio = _Now


def finish(coroutine):
    """Run a coroutine that waits for nothing; returns its value."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise Lost("the shipper waits for something")


class Sealed:
    """Every frame that was ever sealed: bytes -> (epoch, generation, sequence, offset, number or None)."""

    def __init__(self):
        self.frames = {}
        self.epochs = 0
        self.number = None
        self.plain = None
        self._ends = {}

    def copy(self):
        """For a world of its own: its frames and epochs are nobody else's."""
        other = Sealed()
        other.frames = dict(self.frames)
        other.epochs = self.epochs + 1_000_000
        other._ends = dict(self._ends)
        return other

    def epoch(self):
        """A new epoch whose seal() is watched; no position may be sealed twice under one key."""
        self.epochs += 1
        public = seal.Mac(b"public").of(self.epochs.to_bytes(4, "little"))
        epoch = seal.Epoch(public, bytearray(public + public + public)[:80])
        original = epoch.seal

        def watched(buffer, at, n, generation, sequence, offset):
            place = (public, generation, sequence)
            if offset < self._ends.get(place, _HEAD):
                raise Lost("a position sealed twice under one key: sequence %d offset %d" % (sequence, offset))
            self._ends[place] = offset + n + _FRAME_OVERHEAD
            number = self.number if bytes(buffer[at + 1 : at + 1 + n]) == self.plain else None
            length = original(buffer, at, n, generation, sequence, offset)
            self.frames[bytes(buffer[at : at + length])] = (public, generation, sequence, offset, number)
            return length

        epoch.seal = watched
        return epoch

    def read(self, data, key, generation, sequence, offset):
        """The numbers in these bytes, in order, read as the collector does; the first lies at `offset` of its sector."""
        found = []
        at = 0
        stop = len(data.rstrip(b"\xff"))
        while at < stop:
            n = data[at]
            if n == 0xFE and at + _EPOCH_FRAME <= len(data):
                end = at + _EPOCH_FRAME
                if crc32(data[at : end - 2]) & 0xFFFF == data[end - 2] | data[end - 1] << 8:
                    key = data[at + 1 : at + 33]
                    at = end
                    continue
            else:
                end = at + n + _FRAME_OVERHEAD
                known = self.frames.get(data[at:end])
                if known and known[:4] == (key, generation, sequence, offset + at):
                    if known[4] is not None:
                        found.append(known[4])
                    at = end
                    continue
            at += 1
        return found

    def anywhere(self, data):
        """The numbers of all frames in these bytes, whatever stands around them: what a quarantined sector holds."""
        found = []
        for at in range(_HEAD, len(data.rstrip(b"\xff"))):
            known = self.frames.get(data[at : at + data[at] + _FRAME_OVERHEAD])
            if known and known[4] is not None:
                found.append(known[4])
        return found


class Model:
    """The plain lists: what was signalled as recorded and must still be somewhere, what arrived, what was ever tried."""

    def __init__(self):
        self.kept = []  # signalled, in order; leaves only when it has arrived and is erased, or is overwritten
        self.arrived = set()
        self.next = 0
        self.overwritten = 0  # sectors with kept records that were dropped for newer ones

    def copy(self):
        other = Model()
        other.kept = list(self.kept)
        other.arrived = set(self.arrived)
        other.next = self.next
        return other


class Me:
    device_id = DEVICE
    device_key = DEVICE_KEY
    collector_public = bytes(range(32, 64))


class Clock:
    def reading(self, unix_ms, error_ms, source):
        pass


class World:
    """A board on this flash, the collector at the other end, and the model of both."""

    def __init__(self, flash, model, sealed, overwrite):
        self.flash = flash
        self.model = model
        self.sealed = sealed
        self.overwrite = overwrite
        self.refused = 0  # cards, for want of room
        self.formatting = False
        self.late = None  # a reply that has not come yet
        self.releases = []  # (index, sequence) that were released, for repeats
        self.nonce = 0
        self.answer = None
        self.on_operation = None
        flash.watch = self._watch
        self.boot()

    # Flash, as the checks see it

    def sector(self, index):
        data = bytearray(SECTOR)
        self.flash.readblocks(index, data, 0)
        return bytes(data)

    def contents(self):
        """[(generation, sequence, numbers)] of every sector with a valid header, in the order of the ring."""
        found = []
        for index in range(self.flash.sectors):
            data = self.sector(index)
            magic, generation, sequence, _, key, check = struct.unpack("<4sII8s32sI", data[:56])
            if magic == b"CHT1" and crc32(data[:52]) == check and (sequence - 1) % self.flash.sectors == index:
                numbers = self.sealed.read(data[_HEAD:], key, generation, sequence, _HEAD)
                found.append((sequence, generation, numbers))
        return sorted(found)

    def check(self):
        """Nothing signalled is lost, nothing is invented or there twice, order is kept."""
        by_generation = {}
        there = set()
        for _, generation, numbers in self.contents():
            by_generation.setdefault(generation, []).extend(numbers)
            there.update(numbers)
        for numbers in by_generation.values():
            for before, after in zip(numbers, numbers[1:]):
                if before >= after:
                    raise Lost("order: %d before %d" % (before, after))
        for number in self.model.kept:
            if number not in there and number not in self.model.arrived:
                raise Lost("record %d was signalled and is nowhere" % number)
        return there

    def _watch(self, flash, index, data, offset):
        """Before each operation: may this sector be erased? Then whoever tears operations gets its turn."""
        if self.on_operation:
            self.on_operation(self, index, data, offset)
        if data is None and not self.formatting:
            self.erasing(index)

    def erasing(self, index):
        """The firmware erases this sector; what leaves the model with it must be allowed to leave."""
        sectors = self.contents()
        model = self.model
        own = [item for item in sectors if (item[0] - 1) % self.flash.sectors == index]
        numbers = set(own[0][2] if own else self.sealed.anywhere(self.sector(index)))
        waiting = [number for number in model.kept if number in numbers and number not in model.arrived]
        if waiting:
            if not self.overwrite:
                raise Lost("sector %d erased with %d records nobody has" % (index, len(waiting)))
            for sequence, generation, others in sectors:
                if own and generation == own[0][1] and sequence < own[0][0] and set(others) & set(model.kept) - model.arrived:
                    raise Lost("sequence %d dropped before the older %d" % (own[0][0], sequence))
            model.overwritten += 1
        if numbers:
            model.kept = [number for number in model.kept if number not in numbers]

    # The board

    def boot(self):
        """Power on: recovery writes nothing and shows everything."""
        operations = self.flash.operations
        self.ring = Ring(self.flash, DEVICE, self.overwrite, self._draw)
        self.ring.recover()
        if self.flash.operations != operations:
            raise Lost("recovery wrote to flash")
        self.shipper = Shipper(self.ring, Me, self, None, Clock, self._draw, None, 0)
        self.renew()
        self.late = None

    def renew(self):
        self.epoch = self.sealed.epoch()
        self.ring.begin_epoch(self.epoch, lambda buffer, at: records.boot(buffer, at, 5, 1, "torture", 1))
        self.shipper.new_epoch(self.epoch)

    def _draw(self, n):
        self.nonce += 1
        return self.nonce.to_bytes(n, "little")

    def append(self, encode, rank):
        """One record of the next number; True when it was recorded."""
        model = self.model
        model.next += 1
        plain = bytearray(240)
        end = encode(plain, model.next)
        number = self.sealed.number = model.next
        self.sealed.plain = bytes(plain[:end])
        done = self.ring.append(memoryview(plain)[:end], rank)
        if done:
            model.kept.append(number)
        return done

    def scan(self):
        """A card, as the station takes it: a sector is made ready first, where one is allowed."""
        ring = self.ring
        if not ring.accepts(_ROOM, journal.EVENT) and ring.wants_erase():
            self.prepare()
        may = ring.accepts(_ROOM, journal.EVENT)
        identity = records.id_digits(b"%018d" % self.model.next)
        if self.model.next & 1:
            identity = records.id_text(b"%064d" % self.model.next)
        done = self.append(lambda b, n: records.scan(b, 0, n, 0, 3, 1, identity), journal.EVENT)
        if may and not done and not self.flash.loose:
            raise Lost("a card was refused where there was room")
        if not done:
            self.refused += 1
        return done

    def prepare(self):
        ring, model = self.ring, self.model
        lost, overwritten = ring.lost, model.overwritten
        ring.prepare()
        if ring.lost - lost < model.overwritten - overwritten:
            raise Lost("overwritten sectors are not counted")

    def incident(self):
        if self.ring.wants_erase():
            self.prepare()
        return self.append(lambda b, n: records.change(b, 0, n, 239, 4, n, 1, "opened by hand"), journal.INCIDENT)

    def note(self, length):
        text = "n" * length
        return self.append(lambda b, n: records.note(b, 0, n, min(239, length + 12), 1, text), journal.TELEMETRY)

    def clock(self):
        return self.append(lambda b, n: records.clock(b, 0, n, 1_800_000_000_000 + n, 20, 3), journal.TELEMETRY)

    def format(self):
        """What a technician's tool does: every sector erased, the head last; then the board starts."""
        head = self.ring.index(self.ring.sequence) if self.ring.sequence else 0
        self.formatting = True
        self.model.kept = []
        self.releases = []  # sequences begin again at 1
        for step in range(1, self.flash.sectors + 1):
            self.flash.ioctl(6, (head + step) % self.flash.sectors)
        self.formatting = False
        self.boot()

    # The collector, as Http.post sees it

    async def post(self, path, content_type, length, send):
        request = bytearray()

        async def write(data):
            request.extend(data)
            if self.answer == "appending" and len(request) > 100 and self.busy:
                self.busy -= 1
                self.scan()

        self.busy = 2
        await send(write)
        if len(request) != length:
            raise Lost("announced %d bytes, sent %d" % (length, len(request)))
        if self.answer == "unreachable":
            raise HttpError
        stored = self._store(bytes(request))
        body = b"\x01" + bytes(request[45:53]) + json.dumps({"stored": stored}).encode()
        body = bytearray(body + self.epoch.reply_mac.of(body))
        if self.answer == "lost":
            self.late = body
            return b"500", b""
        return b"200", body

    def _store(self, request):
        at, pieces = 53, []
        while at < len(request) - 32:
            generation, sequence, key, offset, length = struct.unpack("<II32sHH", request[at : at + 44])
            pieces.append((generation, sequence, key, offset, request[at + 44 : at + 44 + length]))
            at += 44 + length
        if self.answer == "half":
            pieces = pieces[: len(pieces) // 2]
        for generation, sequence, key, offset, data in pieces:
            if sequence:
                self.model.arrived.update(self.sealed.read(data, key, generation, sequence, offset))
            else:
                self.model.arrived.update(self.sealed.anywhere(data))
        return len(pieces)

    def ship(self, answer=None):
        """One request; True while there is more to send."""
        self.answer = answer
        before = bytes(self.ring.state)
        try:
            more = finish(self.shipper.exchange())
        except HttpError:
            more = False
        for index, state in enumerate(self.ring.state):
            if state == before[index] or state != RELEASED:
                continue
            if not self.ring.closed(index):
                raise Lost("the open head was released")
            head = self.ring.header(index)
            if head:
                self.releases = self.releases[-3:] + [(index, head[1])]
        return more

    def late_reply(self):
        if self.late:
            self.shipper._accept(self.late)
            self.late = None

    def drain(self):
        for _ in range(_DRAIN):
            if not self.ship() and not self.ship():
                return

    def goes_on(self):
        """A card is taken; if the ring was full, once the collector has what there is."""
        for attempt in range(3):
            if self.scan():
                return
            if attempt == 1:
                self.boot()
            self.drain()
        raise Lost("no card is taken any more; states %s offset %d" % (list(self.ring.state), self.ring.offset))

    def do(self, op):
        """One operation of a workload, by its name and number; see OPERATIONS."""
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
        elif name == "k":
            self.renew()
        elif name == "p":
            self.prepare()
        elif name == "u":
            self.ship((None, "lost", "half", "appending", "unreachable")[argument])
        elif name == "l":
            self.late_reply()
        elif name == "r":
            for index, sequence in self.releases:
                self.ring.release(index, sequence)
        elif name == "h":
            self.shipper._limit = max(256, argument)
        elif name == "f":
            self.format()
        elif name == "x":
            self.flash.cut_in, self.flash.cut_kind = argument // 3, KINDS[argument % 3]
        else:
            raise ValueError(op)

    def run(self, ops):
        """Do all of them; where an armed cut ("x") strikes, the board starts again and the list goes on."""
        for op in ops:
            try:
                self.do(op)
            except PowerCut:
                self.formatting = False
                self.boot()
                self.check()
        self.flash.cut_in = None
