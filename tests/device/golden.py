"""The life of the golden journal: eight sectors through wear, power cuts, renewals and a stranger; nothing left to chance."""

import hashlib
import json
from binascii import hexlify, unhexlify

import records
from journal import ring as journal
from journal import seal, x25519
from journal.ring import Ring

SECTOR = 4096
SECTORS = 8
ROW = 64  # bytes to a line of the text form; blank rows are left out
DEVICE = b"\0\0\x5e\xed\xc0\x1d\xf0\x0d"
VERSION = "1.0.0 micropython 1.24.0 esp32"
START_MS = 1772409600000  # 2026-03-02T00:00:00Z
POWER_ON, HARD_RESET, WATCHDOG, NEW_KEY = 1, 2, 3, 8
RECORDED, NOT_A_CARD, REPEAT = 3, 4, 8
COLLECTOR_SOURCE = 3
INFO, WARNING, ERROR = 1, 2, 3
BLANK = b"\xff" * SECTOR


class PowerCut(Exception):
    """The board lost power inside a flash operation."""


def fixed(name):
    """32 bytes that depend on a name alone."""
    return hashlib.sha256(b"golden " + name.encode()).digest()


def last(generator):
    """The value of a generator that ends with it."""
    value = None
    for value in generator:
        pass
    return value


DEVICE_KEY = fixed("device")
COLLECTOR_PRIVATE = fixed("collector")


class Flash:
    """A block device that obeys the rules of NOR, and fails where it is told to."""

    def __init__(self):
        self.cells = bytearray(BLANK * SECTORS)
        self.erased = None  # called with the index of a sector that is erased
        self.fails = False  # the next program leaves one bit as it was and says nothing
        self.cut = None  # [programs that still succeed, bytes of the one behind them that are whole]

    def readblocks(self, index, buffer, offset=0):
        at = index * SECTOR + offset
        buffer[:] = self.cells[at : at + len(buffer)]

    def writeblocks(self, index, data, offset):
        at = index * SECTOR + offset
        whole = None
        if self.cut:
            self.cut[0] -= 1
            if self.cut[0] < 0:
                whole = self.cut[1]
                self.cut = None
        for i in range(len(data)):
            old = self.cells[at + i]
            new = data[i]
            assert new & ~old == 0, "0 to 1"
            if whole == i:
                self.cells[at + i] = new | old & 0x1F
                raise PowerCut()
            if self.fails and i >= len(data) // 2 and old & ~new:
                new |= old & ~new & -(old & ~new)
                self.fails = False
            self.cells[at + i] = new

    def ioctl(self, operation, argument):
        if operation == 6:
            self.cells[argument * SECTOR : (argument + 1) * SECTOR] = BLANK
            self.erased(argument)
        return SECTORS if operation == 4 else 0


class Board:
    """A board on a flash, and a plain list beside it of what every sector holds."""

    def __init__(self, generation):
        self.flash = Flash()
        self.flash.erased = self._erased
        self.generation = generation
        self.kept = []  # [index, generation, sequence, offset, epoch, plaintext], in the order of appending
        self.broken = []  # [index, generation, sequence, offset] of frames that never counted
        self.epochs = 0
        self.uptime_ms = 0

    def _erased(self, index):
        self.kept = [entry for entry in self.kept if entry[0] != index]
        self.broken = [entry for entry in self.broken if entry[0] != index]

    def _random(self, n):
        return self.generation.to_bytes(n, "little")

    def _epoch(self, cause):
        """Make the next epoch the ring's, its seal() watched."""
        self.epochs += 1
        private = fixed("epoch %d of %08x" % (self.epochs, self.generation))
        public = last(x25519.steps(COLLECTOR_PRIVATE, x25519.BASE))
        epoch = last(seal.agree(private, DEVICE_KEY, public))
        original = epoch.seal

        def watched(buffer, at, n, generation, sequence, offset):
            plain = bytes(buffer[at + 1 : at + 1 + n])
            self.sealed.append([self.ring.index(sequence), generation, sequence, offset, epoch.public, plain])
            return original(buffer, at, n, generation, sequence, offset)

        epoch.seal = watched

        def intro(buffer, at):
            return records.boot(buffer, at, self.uptime_ms, cause, VERSION, 7)

        self.ring.begin_epoch(epoch, intro)

    def boot(self, cause):
        self.sealed = []
        self.uptime_ms = 4321
        self.ring = Ring(self.flash, DEVICE, False, self._random)
        self.ring.recover()
        self._epoch(cause)

    def renew(self):
        self._epoch(NEW_KEY)

    def _settle(self, whole):
        """What was sealed is kept if the ring says so and it is where the ring goes on, else it is broken."""
        for entry in self.sealed:
            if whole and entry[2] == self.ring.sequence:
                self.kept.append(entry)
            else:
                self.broken.append(entry[:4])
        self.sealed = []

    def append(self, write, rank=journal.EVENT):
        """`write(buffer)` encodes a record and returns its end."""
        self.uptime_ms += 1250
        plain = bytearray(240)
        n = write(plain)
        while True:
            self.ring.prepare()
            done = self.ring.append(memoryview(plain)[:n], rank)
            self._settle(done)
            if done:
                return
            assert self.ring.wants_erase(), "the ring is full"

    def scan(self, digits, verdict=RECORDED, scheme=1):
        self.append(lambda b: records.scan(b, 0, self.uptime_ms, 0, verdict, scheme, records.id_digits(digits)))

    def other(self, verdict, scheme, card_id):
        self.append(lambda b: records.scan(b, 0, self.uptime_ms, 0, verdict, scheme, card_id))

    def note(self, level, text):
        self.append(lambda b: records.note(b, 0, self.uptime_ms, 239, level, text), journal.TELEMETRY)

    def raw(self, kind, fields, rank=journal.EVENT):
        """A record that this firmware does not write."""

        def write(buffer):
            end = records.begin(buffer, 0, kind, self.uptime_ms)
            buffer[end : end + len(fields)] = fields
            return end + len(fields)

        self.append(write, rank)

    def fail(self, digits):
        """A frame fails without a word: its sector is closed."""
        assert self.ring.offset < SECTOR
        self.flash.fails = True
        plain = bytearray(80)
        n = records.scan(plain, 0, self.uptime_ms, 0, RECORDED, 1, records.id_digits(digits))
        assert not self.ring.append(memoryview(plain)[:n], journal.EVENT) and not self.flash.fails
        self._settle(False)

    def burn(self, digits):
        """As fail(), and the record goes into the next sector."""
        self.fail(digits)
        self.scan(digits)

    def tear(self, programs, whole, operation, argument):
        """The power goes in the program behind so many others, when so many of its bytes are whole."""
        self.ring.prepare()
        self.flash.cut = [programs, whole]
        try:
            operation(argument)
        except PowerCut:
            self._settle(False)
            return
        raise AssertionError("no cut")

    def release(self, sequence):
        self.ring.release(self.ring.index(sequence), sequence)


def every_kind(board):
    board.append(lambda b: records.clock(b, 0, board.uptime_ms, START_MS, 40, COLLECTOR_SOURCE), journal.TELEMETRY)
    board.scan(b"100000000000000042")
    board.scan(b"079099000042", REPEAT, 2)
    board.other(RECORDED, 3, records.id_text(b"DN4790012345678"))
    board.other(NOT_A_CARD, 9, records.NO_ID)
    board.other(NOT_A_CARD, 10, records.NO_ID)
    board.other(RECORDED, 0, records.id_text("phiếu số 7".encode()))
    board.other(RECORDED, 0, records.id_digest(fixed("long text")))
    board.raw(4, b"\x01")
    board.raw(5, b"\x02", journal.INCIDENT)
    pairs = ((1, 61000), (2, 3), (3, 0), (4, 1), (5, 1), (6, -67), (9, 12), (12, 412))
    board.append(lambda b: records.health(b, 0, board.uptime_ms, pairs), journal.TELEMETRY)
    board.note(WARNING, "ồn ào")
    board.append(lambda b: records.change(b, 0, board.uptime_ms, 239, 1, 8, 2, "wifi: expected a list"), journal.INCIDENT)
    board.raw(0x2A, b"of a later version")


def stranger():
    """Sector 7 of the same board in an older life: another generation."""
    board = Board(0x0BADCAFE)
    board.boot(POWER_ON)
    board.scan(b"000000000900")
    for sequence in range(1, 7):
        board.burn(b"%012d" % (900 + sequence))
        board.release(sequence)
    board.note(ERROR, "an older life")
    return board


def live():
    """The whole life; returns the board as it is when somebody takes it off the wall."""
    board = Board(0xC0FFEE07)
    # The first round: seven sectors, each closed early by a frame that fails; five are released.
    board.boot(POWER_ON)
    board.scan(b"000000000000")
    for sequence in range(1, 8):
        board.burn(b"%012d" % sequence)
        if sequence < 6:
            board.release(sequence)
    # Sector 8: the power goes inside a frame.
    board.tear(0, 9, board.scan, b"000000000008")
    # Sector 9: every kind of record, a new key in the same boot, then full to the brim, and released.
    board.boot(WATCHDOG)
    every_kind(board)
    board.renew()
    number = 0
    while board.ring.sequence == 9:
        number += 1
        if number % 3:
            board.note(INFO, "%d " % number + "the longest frame there is, " * 9)
        else:
            board.scan(b"%018d" % (200000000000000000 + number))
    board.release(9)
    # Sector 10 is closed by a frame that fails. Then the power goes while sector 6 gets its release mark.
    board.burn(b"000000000010")
    board.tear(0, 0, board.release, 6)
    # Sector 11 goes on under the next boot's key, until a frame fails. Sector 12 gets its header and half a frame.
    board.boot(HARD_RESET)
    board.scan(b"000000000011")
    board.fail(b"000000000012")
    board.tear(1, 20, board.scan, b"000000000012")
    # While the board is dark, a bit of sector 11's header rots, and sector 7 is put back as it was in an older life.
    flash, old = board.flash, stranger()
    flash.cells[2 * SECTOR + 30] ^= 0x10
    board._erased(6)
    flash.cells[6 * SECTOR : 7 * SECTOR] = old.flash.cells[6 * SECTOR : 7 * SECTOR]
    board.kept += [entry for entry in old.kept if entry[0] == 6]
    # Sector 12 holds no frame, so it is opened again. It is the head.
    board.boot(POWER_ON)
    board.scan(b"100000000000000042")
    board.note(WARNING, "back on the wall")
    return board


def as_text(cells):
    """The text form of an image: a line for each row that is not blank."""
    lines = []
    for at in range(0, len(cells), ROW):
        row = bytes(cells[at : at + ROW])
        if row != BLANK[:ROW]:
            lines.append("%04x %s\n" % (at, hexlify(row).decode()))
    return "".join(lines)


def from_text(lines):
    """The image whose text form these lines are."""
    cells = bytearray(BLANK * SECTORS)
    for line in lines:
        at, row = line.split()
        cells[int(at, 16) : int(at, 16) + ROW] = unhexlify(row)
    return cells


def recovered(cells):
    """What recovery makes of an image."""
    flash = Flash()
    flash.cells[:] = cells
    ring = Ring(flash, DEVICE, False, None)
    ring.recover()
    return {
        "states": list(ring.state),
        "generation": "%08x" % ring.generation,
        "sequence": ring.sequence,
        "offset": ring.offset,
        "key": hexlify(ring.key).decode(),
    }


def expected(board):
    """What there is to be read in the image, by the board's own list."""
    found = {"device_id": DEVICE, "device_key": DEVICE_KEY, "collector_private": COLLECTOR_PRIVATE}
    for name in found:
        found[name] = hexlify(found[name]).decode()
    found["recovered"] = recovered(board.flash.cells)
    found["records"] = [
        {"generation": "%08x" % generation, "lsn": sequence * SECTOR + offset, "epoch": hexlify(epoch).decode(),
         "plaintext": hexlify(plain).decode()}
        for index, generation, sequence, offset, epoch, plain in sorted(board.kept, key=lambda entry: entry[1:4])
    ]  # fmt: skip
    found["broken"] = []
    for index, generation, sequence, offset in sorted(board.broken):
        sector = bytes(board.flash.cells[index * SECTOR : (index + 1) * SECTOR])
        length = len(sector.rstrip(b"\xff")) - offset
        found["broken"].append({"address": index * SECTOR + offset, "lsn": sequence * SECTOR + offset, "length": length})
    return found


def main():
    """Print the golden files: the image, a line of dashes, what is in it."""
    board = live()
    print(as_text(board.flash.cells) + "--")
    print(json.dumps(expected(board)))
