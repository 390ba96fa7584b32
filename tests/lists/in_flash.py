"""Inside MicroPython: looks cards up in the lists partition of a whole flash image, on the heap of a board."""

import gc
import json

import records
from scanner.lists import Lists

SECTOR = 4096


class Image:
    """A partition of an image in a file, read in place: at most a sector at a time, and counted."""

    def __init__(self, path, offset, size):
        self.file = open(path, "rb")  # noqa: SIM115 - for as long as the process lives
        self.offset = offset
        self.size = size
        self.reads = 0
        self.bytes = 0

    def ioctl(self, operation, argument):
        assert operation == 4
        return self.size // SECTOR

    def readblocks(self, block, buffer, offset=0):
        assert block * SECTOR + offset + len(buffer) <= self.size, "behind the partition"
        assert offset + len(buffer) <= SECTOR, "over the end of a sector"
        self.reads += 1
        self.bytes += len(buffer)
        self.file.seek(self.offset + block * SECTOR + offset)
        assert self.file.readinto(buffer) == len(buffer)


def look(path, offset, size, key, questions):
    """Print one JSON line: of each (list, first, stop, step), how many numbers gave True, of how many, and the most reads."""
    flash = Image(path, offset, size)
    gc.collect()
    before = gc.mem_alloc()
    lists = Lists(flash, key)
    gc.collect()
    made = [flash.reads, flash.bytes, gc.mem_alloc() - before]
    answers = []
    for name, first, stop, step in questions:
        lookup = getattr(lists, name)
        count = found = most = 0
        for number in range(first, stop, step):
            packed = records.id_digits(b"%012d" % number)
            flash.reads = 0
            found += lookup(2, packed)
            most = max(most, flash.reads)
            count += 1
        answers.append([found, count, most])
    print(json.dumps({"version": lists.version, "count": lists.count, "kind": lists.kind, "made": made, "answers": answers}))
