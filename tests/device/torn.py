"""The NOR flash of the torture: any operation can be torn as docs/power-cuts.md says, and a copy of it lives on alone."""

import random

SECTOR = 4096
PAGE = 256
MARK = 56  # offset of a sector's release mark, the one byte that may be programmed again
_BLANK = b"\xff" * SECTOR

# How far an operation had come when the power went.
BEFORE, INSIDE, AFTER = "before", "inside", "after"


class PowerCut(Exception):
    """The board lost power inside a flash operation."""


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


class TornNor:
    """A block device of `sectors` sectors with the rules of an esp32.Partition.

    `watch(flash, index, data, offset)` is called before each operation (data None: an erase); `cut_in` is the number of
    operations that still succeed before one is torn (None: none is), `cut_kind` how.
    """

    def __init__(self, sectors):
        self.sectors = sectors
        self.cells = bytearray(_BLANK * sectors)
        self.programmed = bytearray(sectors * SECTOR)  # 1: programmed since the last erase of its sector
        self.loose = {}  # sector -> {offset: bits that read either way until it is erased}
        self.operations = 0
        self.read_bytes = 0
        self.watch = None
        self.cut_in = None
        self.cut_kind = INSIDE

    def copy(self):
        """The same cells on a flash of its own."""
        other = TornNor(0)
        other.sectors = self.sectors
        other.cells = bytearray(self.cells)
        other.programmed = bytearray(self.programmed)
        for sector in self.loose:
            other.loose[sector] = dict(self.loose[sector])
        return other

    def _begin(self, index, data, offset):
        """Count an operation; True when this is the one to be torn."""
        self.operations += 1
        if self.watch:
            self.watch(self, index, data, offset)
        if self.cut_in is None:
            return False
        self.cut_in -= 1
        return self.cut_in < 0

    def tear(self, index, data, offset, kind):
        """What the operation leaves in the cells when the power goes."""
        if kind == AFTER:
            self._perform(index, data, offset)
        elif kind == INSIDE and data is None:
            self._tear_erase(index)
        elif kind == INSIDE:
            self._tear_program(index, data, offset)
        self.cut_in = None

    def _perform(self, index, data, offset):
        if data is None:
            start = index * SECTOR
            self.cells[start : start + SECTOR] = _BLANK
            self.programmed[start : start + SECTOR] = bytes(SECTOR)
            self.loose.pop(index, None)
        else:
            self._program(index, data, offset)

    def _program(self, index, data, offset):
        start = index * SECTOR + offset
        cells, programmed = self.cells, self.programmed
        loose = self.loose.get(index, {})
        if offset + len(data) > SECTOR:
            raise BrokenRule("program runs over the end of a sector")
        for i, byte in enumerate(data):
            old = cells[start + i]
            if byte & ~old & ~loose.get(offset + i, 0) & 0xFF:
                raise BrokenRule("0 to 1 at sector %d offset %d" % (index, offset + i))
            if byte != 0xFF:
                if programmed[start + i] and offset + i != MARK:
                    raise BrokenRule("programmed twice at sector %d offset %d" % (index, offset + i))
                programmed[start + i] = 1
            cells[start + i] = old & byte
            if loose and offset + i in loose:
                loose[offset + i] &= byte  # a program that runs to its end leaves no doubt about what it clears

    def _tear_program(self, index, data, offset):
        """Pages before the one under way are whole, of that one a random part of the bits, of later ones nothing."""
        first = offset // PAGE
        pages = (offset + len(data) - 1) // PAGE - first + 1
        page = first + random.randrange(pages)
        whole = max(0, min(len(data), page * PAGE - offset))
        if whole:
            self._program(index, data[:whole], offset)
        share = random.randrange(1, 256)
        start = index * SECTOR + offset
        loose = self.loose.setdefault(index, {})
        for i in range(whole, min(len(data), (page + 1) * PAGE - offset)):
            clearing = self.cells[start + i] & ~data[i] & 0xFF
            cleared, unsettled = _some(clearing, share), _some(clearing, 64)
            self.cells[start + i] &= ~cleared
            if unsettled:
                loose[offset + i] = loose.get(offset + i, 0) | unsettled
            if cleared or unsettled:
                self.programmed[start + i] = 1

    def _tear_erase(self, index):
        """A random mix of old cells and blank ones; some settle nowhere."""
        start = index * SECTOR
        share = random.randrange(1, 256)
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

    def readblocks(self, index, buffer, offset=0):
        start = index * SECTOR + offset
        n = len(buffer)
        self.read_bytes += n
        buffer[:] = memoryview(self.cells)[start : start + n]
        loose = self.loose.get(index)
        if loose:
            for at in loose:
                if offset <= at < offset + n:
                    bits = loose[at]
                    buffer[at - offset] = (buffer[at - offset] & ~bits) | (bits & random.getrandbits(8))

    def writeblocks(self, index, data, offset):
        data = bytes(data)
        if self._begin(index, data, offset):
            self.tear(index, data, offset, self.cut_kind)
            raise PowerCut()
        self._program(index, data, offset)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.sectors
        if operation == 5:
            return SECTOR
        if operation != 6:
            return 0
        if self._begin(argument, None, 0):
            self.tear(argument, None, 0, self.cut_kind)
            raise PowerCut()
        self._perform(argument, None, 0)
        return 0
