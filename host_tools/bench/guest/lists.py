"""Lookups in a partition whose lists are full: what one computes, how often it reads the flash, and the heap it takes."""

# ruff: noqa: F821 - mark, report and the values come from the meter
import standins

standins.install()
from records import id_digits  # noqa: E402 - they import what the stand-ins provide
from scanner.lists import Lists  # noqa: E402


class File:
    """The partition as a file. What a lookup has read is kept, so that the same lookup can be metered without the file."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.pieces = []

    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * 4096 + offset)
        self.file.readinto(buffer)
        self.pieces.append(bytes(buffer))

    def ioctl(self, operation, argument):
        return SECTORS


class Again:
    """Gives the pieces again, in their order."""

    def __init__(self):
        self.pieces = []

    def readblocks(self, block, buffer, offset=0):
        buffer[:] = self.pieces.pop()


file, again = File("/input/lists.bin"), Again()
before = gc.mem_alloc()
lists = Lists(file, bytes(KEY))
report(["made", lists.count, lists.kind, len(file.pieces), gc.mem_alloc() - before])


def each(label, numbers, lookup):
    for number in numbers:
        packed = id_digits(b"%012d" % number)
        del file.pieces[:]
        lists.flash = file
        answer = lookup(2, packed)
        again.pieces = list(reversed(file.pieces))
        lists.flash = again
        before = gc.mem_alloc()
        level()
        mark(label)
        lookup(2, packed)
        mark("end " + label)
        report([label, answer, len(file.pieces), gc.mem_alloc() - before])


each("deny hit", DENIED, lists.denied)
each("deny miss", STRANGERS, lists.denied)
each("allow hit", ALLOWED, lists.allowed)
each("allow miss", STRANGERS, lists.allowed)
# What one read costs here, as the lookups call it; on the board it is the flash that takes time.
for size in (1, 256):
    buffer = memoryview(bytearray(size))
    again.pieces = [bytes(size)]
    level()
    mark("read %d" % size)
    again.readblocks(1, buffer, 64)
    mark("end read %d" % size)
