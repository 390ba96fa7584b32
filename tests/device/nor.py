"""A NOR flash for device tests: refuses 0 to 1, counts, and has sectors that fail; the one that tears is torn.py."""

import random
from array import array

SECTOR = 4096


class Nor:
    """A block device of `sectors` sectors with the rules of an esp32.Partition; `seed` is for what is drawn beside it."""

    def __init__(self, sectors, seed=1):
        self.data = bytearray(b"\xff" * (sectors * SECTOR))
        self.sectors = sectors
        self.erases = array("I", [0] * sectors)
        self.programmed_bytes = 0
        self.worn = set()  # sectors that fail
        random.seed(seed)

    def readblocks(self, block, buffer, offset=0):
        start = block * SECTOR + offset
        assert start + len(buffer) <= len(self.data), "behind the partition: an OSError on the chip"
        buffer[:] = memoryview(self.data)[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=None):
        assert offset is not None, "without an offset the chip erases first"
        start = block * SECTOR + offset
        assert offset + len(buffer) <= SECTOR
        if block in self.worn:
            raise OSError(5)
        for i, byte in enumerate(buffer):
            old = self.data[start + i]
            assert byte & ~old == 0, "0 to 1"
            self.data[start + i] = old & byte
            self.programmed_bytes += 1

    def ioctl(self, operation, argument):
        if operation < 4:
            return 0
        if operation == 4:
            return self.sectors
        if operation == 5:
            return SECTOR
        assert operation == 6
        if argument in self.worn:
            raise OSError(5)
        start = argument * SECTOR
        self.erases[argument] += 1
        self.data[start : start + SECTOR] = b"\xff" * SECTOR
        return 0
