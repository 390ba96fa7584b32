"""Power cuts over a thousand journal operations inside MicroPython, and what recovery of a large journal costs."""

import gc
import random

import torment
from journal.ring import Ring
from plain_list import Model, Sealed
from torn import MARK, SECTOR, PowerCut, TornNor
from torture import DEVICE, World

READ_BYTES = 100 * 1024


def test_torture():
    """The short form; `make torture` cuts every flash operation at each of its points."""
    torment.torture()


def test_brown_outs_inside_the_erase_at_boot():
    """More of them than sectors: no more than the one sector that is due is dropped, and appending goes on."""
    for overwrite in (False, True):
        random.seed(overwrite)
        world = World(TornNor(8), Model(), Sealed(), overwrite)
        while world.ring.sequence < 9 or world.ring.offset < 3950:
            world.scan()
            if not overwrite and world.ring.sequence == 6:
                world.drain()
        model = world.model
        before, tally = len(model.waiting(set(model.kept))), world.tally.counts
        world.brown_outs(20)
        assert sum(tally["brown-outs in the erase at boot"]) == (20 if overwrite else 3), tally
        after = len(model.waiting(set(model.kept)))
        assert before - after == (76 if overwrite else 0), (before, after)
        world.goes_on()


def test_a_mark_that_reads_both_ways():
    """A head released in RAM, its mark torn: what is appended after the next boots arrives all the same."""
    for seed in range(100):
        random.seed(seed)
        flash = TornNor(4)
        world = World(flash, Model(), Sealed(), False)
        for _ in range(10):
            world.scan()
        world.ring.offset = SECTOR  # closed: a program failed and left nothing
        flash.cut_in, flash.cut_place = 0, 1
        try:
            world.ship()
            raise AssertionError("no release")
        except PowerCut:
            flash.cells[MARK] = undecided = 0x03 if seed & 1 else 0x01
            flash.loose = {0: {MARK: undecided}}
        for _ in range(10):
            world.boot()
            world.scan()
        world.goes_on()


def test_an_erase_that_leaves_the_release_mark():
    """It reports success: the sector is given up, or what is recorded there would count as released after a boot."""
    random.seed(1)
    flash = TornNor(4)
    world = World(flash, Model(), Sealed(), False)
    while not world.ring.prepare() or world.ring.sequence == 0:
        world.scan()
    left = world.ring.index(world.ring.sequence + 1)
    flash.cells[left * SECTOR + MARK] = 0
    flash.unerased.add(left)
    for _ in range(120):
        world.scan()
    world.boot()
    world.goes_on()


class Repeating:
    """A journal of any size whose sectors are all of one written sector, each under its own sequence; counts reads."""

    def __init__(self, sectors, sealed):
        self.sectors = sectors
        self.reads = self.read_bytes = 0
        self.world = World(TornNor(2), Model(), sealed, True)
        while self.world.ring.sequence < 2 or self.world.ring.offset < SECTOR - 120:
            self.world.scan()
        self.cells = memoryview(bytes(self.world.flash.cells))
        self.heads = []
        ring = self.world.ring
        for sequence in range(1, sectors + 1):
            ring.flash, ring.sectors, ring._ready, ring.sequence = self, sectors, sequence, sequence - 1 or 1
            ring.state = bytearray(sectors)
            ring._open()

    def readblocks(self, index, buffer, offset=0):
        self.reads += 1
        self.read_bytes += len(buffer)
        if offset < 64 and index < len(self.heads):
            buffer[:] = self.heads[index][offset : offset + len(buffer)]
        else:
            at = SECTOR + offset
            buffer[:] = self.cells[at : at + len(buffer)]

    def writeblocks(self, index, data, offset):
        head = bytearray(b"\xff" * 64)
        head[: len(data)] = data
        self.heads.append(memoryview(head))

    def ioctl(self, operation, argument):
        return self.sectors


def cost(sectors):
    """(bytes read, bytes allocated, by this runtime's own flash model too) of recovering a full journal."""
    flash = Repeating(sectors, Sealed())
    ring = Ring(flash, DEVICE, True, None)
    flash.reads = flash.read_bytes = 0
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    ring.recover()
    allocated = gc.mem_alloc() - before
    # What the stand-in allocates, read for read.
    head, index = memoryview(ring._back)[:64], sectors - 1
    before = gc.mem_alloc()
    for _ in range(100):
        flash.readblocks(index, head, 0)
    own = (gc.mem_alloc() - before) * flash.reads // 200 if flash.reads else 0
    gc.enable()
    assert ring.sequence == sectors and ring.offset > SECTOR - 200, (ring.sequence, ring.offset)
    return flash.read_bytes, allocated, own


def test_recovery_of_a_full_journal():
    """At most 100 KB of flash read for 1280 KiB; for 8 MiB no more than its share of sectors."""
    small, large = cost(320), cost(2048)
    print("320 sectors: read, allocated, stand-in's: %s; 2048: %s" % (small, large))
    assert small[0] <= READ_BYTES, small
    assert large[0] * 320 <= small[0] * 2048
    assert large[1] * 320 <= small[1] * 2048
