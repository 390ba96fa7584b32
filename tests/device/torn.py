"""The NOR flash of the torture: any operation can be torn, sectors can fail, and a copy of it lives on alone."""

import random

SECTOR = 4096
PAGE = 256
MARK = 56  # offset of a sector's release mark, the one byte that may be programmed again
_BLANK = b"\xff" * SECTOR

# Where in an operation the power goes; a program has INSIDE and BOUNDARY for each page that it touches.
BEFORE, INSIDE, BOUNDARY, AFTER = "before", "inside", "boundary", "after"
# An erase goes on in all cells at once: what it leaves when it had hardly begun, was under way, was nearly done.
BEGUN, NEARLY = "begun", "nearly"
KINDS = (BEFORE, BEGUN, INSIDE, BOUNDARY, NEARLY, AFTER)
_ERASED_SHARES = {BEGUN: (1, 40), INSIDE: (40, 215), NEARLY: (215, 256)}

# What is wrong with a sector.
ERASE_FAILS, ERASE_LEAVES, PROGRAM_FAILS, PROGRAM_LEAVES = range(1, 5)
_IO_ERROR = 5


class PowerCut(Exception):
    """The board lost power inside a flash operation, or while it read."""


class BrokenRule(Exception):
    """The firmware did to the flash what a NOR flash does not forgive."""


def _some(bits, share):
    """A random subset of the set bits; each is in it with probability share / 256."""
    if not bits:
        return 0
    kept = 0
    for bit in (1, 2, 4, 8, 16, 32, 64, 128):
        if bits & bit and random.getrandbits(8) < share:
            kept |= bit
    return kept


def points(data, offset):
    """Every place where this operation can be torn, as (kind, page); data None: an erase."""
    if data is None:
        return [(kind, 0) for kind in (BEFORE, BEGUN, INSIDE, NEARLY, AFTER)]
    found = [(BEFORE, 0)]
    last = (offset + len(data) - 1) // PAGE
    for page in range(offset // PAGE, last + 1):
        found.append((INSIDE, page))
        if page < last:
            found.append((BOUNDARY, page))
    found.append((AFTER, last))
    return found


class TornNor:
    """A block device of `sectors` sectors with the rules of an esp32.Partition.

    `watch(flash, index, data, offset)` is called before each operation (data None: an erase). `cut_in` is the number of
    operations that still succeed before one is torn (None: none is), at the place number `cut_place` of its points();
    `cut_read_in` likewise for reads. `weak` programs from now on leave bits unprogrammed and report success; `faults`
    names what is wrong with a sector for good.
    """

    def __init__(self, sectors):
        self.sectors = sectors
        self.cells = bytearray(_BLANK * sectors)
        self.programmed = bytearray(sectors * SECTOR)  # 1: programmed since the last erase of its sector
        self.loose = {}  # sector -> {offset: bits that read either way until it is erased}
        self.unerased = set()  # sectors whose last erase left bits and said nothing
        self.faults = {}  # sector -> what is wrong with it
        self.failed = 0  # operations that failed, silently or not
        self.operations = 0
        self.read_bytes = 0
        self.undecided_reads = 0  # reads that met a cell which reads either way
        self.watch = None
        self.weak = 0
        self.cut_in = self.cut_read_in = None
        self.cut_place = 0

    def copy(self):
        """The same cells on a flash of its own."""
        other = self.__class__(0)
        other.sectors = self.sectors
        other.cells = bytearray(self.cells)
        other.programmed = bytearray(self.programmed)
        other.unerased = set(self.unerased)
        other.faults = dict(self.faults)
        for sector in self.loose:
            other.loose[sector] = dict(self.loose[sector])
        return other

    def _begin(self, index, data, offset):
        """Count an operation; tear it when it is its turn."""
        self.operations += 1
        if self.watch:
            self.watch(self, index, data, offset)
        if self.cut_in is None:
            return
        self.cut_in -= 1
        if self.cut_in < 0:
            places = points(data, offset)
            self.tear(index, data, offset, places[self.cut_place % len(places)])
            raise PowerCut()

    def tear(self, index, data, offset, point):
        """What the operation leaves in the cells when the power goes at this point of it."""
        self.cut_in = None
        kind, page = point
        if kind == BEFORE:
            return
        if data is None:
            if kind == AFTER:
                self._erase(index)
            else:
                self._tear_erase(index, random.randrange(*_ERASED_SHARES[kind]))
            return
        # Pages before the one under way are whole, of that one a random part of the bits, of later ones nothing.
        start = min(len(data), max(0, page * PAGE - offset))
        stop = min(len(data), (page + 1) * PAGE - offset)
        whole = start if kind == INSIDE else stop
        if whole:
            self._program(index, data[:whole], offset)
        if kind == INSIDE:
            self._tear_program(index, data[start:stop], offset + start)

    def _erase(self, index):
        start = index * SECTOR
        self.cells[start : start + SECTOR] = _BLANK
        self.programmed[start : start + SECTOR] = bytes(SECTOR)
        self.loose.pop(index, None)
        self.unerased.discard(index)

    def _program(self, index, data, offset):
        start = index * SECTOR + offset
        cells, programmed = self.cells, self.programmed
        loose = self.loose.get(index, {})
        if offset + len(data) > SECTOR:
            raise BrokenRule("program runs over the end of a sector")
        for i, byte in enumerate(data):
            old = cells[start + i]
            if byte & ~old & ~loose.get(offset + i, 0) & 0xFF and index not in self.unerased:
                raise BrokenRule("0 to 1 at sector %d offset %d" % (index, offset + i))
            if byte != 0xFF:
                if programmed[start + i] and not self.again(index, offset + i):
                    raise BrokenRule("programmed twice at sector %d offset %d" % (index, offset + i))
                programmed[start + i] = 1
            cells[start + i] = old & byte
            if loose and offset + i in loose:
                loose[offset + i] &= byte  # a program that runs to its end leaves no doubt about what it clears

    def again(self, index, offset):
        """May this byte be programmed twice? Of the journal, a release mark alone."""
        return offset == MARK

    def _tear_program(self, index, data, offset):
        """A random part of the bits is cleared; some of the others settle nowhere."""
        share = random.randrange(1, 256)
        start = index * SECTOR + offset
        loose = self.loose.setdefault(index, {})
        for i, byte in enumerate(data):
            clearing = self.cells[start + i] & ~byte & 0xFF
            cleared, unsettled = _some(clearing, share), _some(clearing, 64)
            self.cells[start + i] &= ~cleared
            if unsettled:
                loose[offset + i] = loose.get(offset + i, 0) | unsettled
            if cleared or unsettled:
                self.programmed[start + i] = 1

    def _tear_erase(self, index, share):
        """A random mix of old cells and blank ones; some settle nowhere."""
        start = index * SECTOR
        loose = self.loose.setdefault(index, {})
        cells = self.cells
        for i in range(SECTOR):
            byte = cells[start + i]
            if byte == 0xFF:
                continue
            draw = random.getrandbits(24)
            # Eight cells at once, around `share`: all of them, none of them, or a mix.
            middle = draw & 0xFF
            if middle < share:
                cells[start + i] = byte | (draw >> 8 & 0xFF) | (0xFF if share > 200 else 0)
            if draw >> 16 < 26:
                loose[i] = ~byte & random.getrandbits(8) & 0xFF

    def _weaken(self, index, data, offset):
        """A program that fails: nothing of it, one bit too few, or a random part, settled for good."""
        self.failed += 1
        start = index * SECTOR + offset
        share = random.choice((0, 128, 200, 250))
        missed = random.randrange(len(data))
        for i, byte in enumerate(data):
            clearing = self.cells[start + i] & ~byte & 0xFF
            cleared = _some(clearing, share)
            if i == missed and cleared == clearing:
                cleared &= cleared - 1  # at least one bit is missing where there is any
            self.cells[start + i] &= ~cleared
            if cleared:
                self.programmed[start + i] = 1

    def _leave(self, index):
        """An erase that reports success and leaves bytes as they were: some of them, most, or all."""
        self.failed += 1
        start = index * SECTOR
        old = bytes(self.cells[start : start + SECTOR])
        self._erase(index)
        self.unerased.add(index)
        share = random.choice((1, 40, 128, 256))
        for i, byte in enumerate(old):
            if byte != 0xFF and random.getrandbits(8) < share:
                self.cells[start + i] = byte

    def readblocks(self, index, buffer, offset=0):
        if self.cut_read_in is not None:
            self.cut_read_in -= 1
            if self.cut_read_in < 0:
                self.cut_read_in = None
                raise PowerCut()
        start = index * SECTOR + offset
        n = len(buffer)
        if offset + n > SECTOR:
            raise BrokenRule("read over the end of a sector")
        self.read_bytes += n
        buffer[:] = memoryview(self.cells)[start : start + n]
        loose = self.loose.get(index)
        if loose:
            met = False
            for at in loose if len(loose) < n else range(offset, offset + n):
                bits = loose.get(at, 0)
                if bits and offset <= at < offset + n:
                    met = True
                    buffer[at - offset] = (buffer[at - offset] & ~bits) | (bits & random.getrandbits(8))
            self.undecided_reads += met

    def writeblocks(self, index, data, offset):
        data = bytes(data)
        self._begin(index, data, offset)
        fault = self.faults.get(index)
        if self.weak or fault == PROGRAM_LEAVES or fault == PROGRAM_FAILS:
            self._weaken(index, data, offset)
            self.weak = max(0, self.weak - 1)
            if fault == PROGRAM_FAILS:
                raise OSError(_IO_ERROR)
        else:
            self._program(index, data, offset)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.sectors
        if operation == 5:
            return SECTOR
        if operation != 6:
            return 0
        self._begin(argument, None, 0)
        fault = self.faults.get(argument)
        if fault == ERASE_FAILS:
            self.failed += 1
            raise OSError(_IO_ERROR)
        if fault == ERASE_LEAVES:
            self._leave(argument)
        else:
            self._erase(argument)
        return 0
