"""Recovery of a full journal: the bytes it reads of the flash, and the heap it takes."""

# ruff: noqa: F821 - mark, report and the values come from the meter
import standins

standins.install()

import records  # noqa: E402 - they import what the stand-ins provide
from journal import seal  # noqa: E402
from journal.ring import EVENT, Ring  # noqa: E402

plain = bytearray(240)
view = memoryview(plain)
epoch = seal.Epoch(bytes(range(32)), bytearray(80))


def intro(buffer, at):
    return records.boot(buffer, at, 5, 1, "bench", 1)


def written(scans):
    """The cells of a sector with so many scans in it."""
    flash = standins.Quiet(1, bytearray(b"\xff" * 4096))
    ring = Ring(flash, bytes(8), True, bytes)
    ring.recover()
    ring.begin_epoch(epoch, intro)
    ring.prepare()
    for number in range(scans):
        end = records.scan(plain, 0, number, 0, 3, 1, records.id_digits(b"%018d" % number))
        if not ring.append(view[:end], EVENT):
            raise OSError("not recorded")
    return flash.cells


def written_end(cells):
    """Offset behind the last byte in use."""
    return len(bytes(cells).rstrip(b"\xff"))


def heap_of(work):
    """Bytes that a call leaves allocated."""
    before = gc.mem_alloc()
    work()
    return gc.mem_alloc() - before


def read_often():
    for _ in range(100):
        flash.readblocks(0, view, 0)


flash = standins.Full(SECTORS, written(SCANS))
ring = Ring(flash, bytes(8), True, bytes)
gc.collect()
if heap_of(read_often):
    raise OSError("the stand-in takes heap")
flash.read_bytes = 0
mark("recover")
allocated = heap_of(ring.recover)
if ring.sequence != SECTORS or ring.offset != written_end(flash.cells):
    raise OSError("not recovered", ring.sequence, ring.offset)
report([flash.read_bytes, allocated])
