"""A NOR flash for device tests: refuses 0 to 1, counts, and can lose power inside any operation."""

import random

SECTOR = 4096


class PowerCut(Exception):
    """The board lost power inside a flash operation."""


class Nor:
    """A block device of `sectors` sectors with the rules of an esp32.Partition.

    With `cut_at` set, the operation of that number (from 0) is torn: of a program or an erase only a random part of the
    bits takes effect, and PowerCut is raised; the cells it touched stay unstable until their sector is erased.
    """

    def __init__(self, sectors, seed=1):
        self.data = bytearray(b"\xff" * (sectors * SECTOR))
        self.sectors = sectors
        self.operations = 0
        self.erases = bytearray(sectors)
        self.programmed_bytes = 0
        self.cut_at = None
        self.unstable = {}  # address -> mask of bits that read as they please
        self.worn = set()  # sectors that fail
        self._random = random
        random.seed(seed)

    def _cut(self):
        self.operations += 1
        return self.cut_at is not None and self.operations - 1 == self.cut_at

    def readblocks(self, block, buffer, offset=0):
        start = block * SECTOR + offset
        assert start + len(buffer) <= len(self.data), "behind the partition: an OSError on the chip"
        buffer[:] = memoryview(self.data)[start : start + len(buffer)]
        if self.unstable:
            for address in self.unstable:
                if start <= address < start + len(buffer):
                    buffer[address - start] ^= self.unstable[address] & self._random.getrandbits(8)

    def writeblocks(self, block, buffer, offset=None):
        assert offset is not None, "without an offset the chip erases first"
        start = block * SECTOR + offset
        assert offset + len(buffer) <= SECTOR
        cut = self._cut()
        if block in self.worn:
            raise OSError(5)
        torn = self._random.getrandbits(30) % (len(buffer) + 1) if cut else len(buffer)
        for i, byte in enumerate(buffer):
            old = self.data[start + i]
            if cut and i > torn:
                break
            if cut and i == torn:
                clearing = old & ~byte & 0xFF
                byte = old & ~(clearing & self._random.getrandbits(8))
                if clearing:
                    self.unstable[start + i] = clearing
            assert byte & ~old == 0, "0 to 1"
            self.data[start + i] = old & byte
            self.programmed_bytes += 1
        if cut:
            raise PowerCut()

    def ioctl(self, operation, argument):
        if operation < 4:
            return 0
        if operation == 4:
            return self.sectors
        if operation == 5:
            return SECTOR
        assert operation == 6
        cut = self._cut()
        if argument in self.worn:
            raise OSError(5)
        start = argument * SECTOR
        for address in list(self.unstable):
            if start <= address < start + SECTOR:
                del self.unstable[address]
        if cut:
            for i in range(SECTOR):
                self.data[start + i] |= self._random.getrandbits(8)
            for _ in range(64):
                self.unstable[start + self._random.getrandbits(12)] = self._random.getrandbits(8)
            raise PowerCut()
        self.erases[argument] = min(255, self.erases[argument] + 1)
        self.data[start : start + SECTOR] = b"\xff" * SECTOR
        return 0
