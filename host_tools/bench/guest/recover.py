"""Recovery of two blank journals of different size: what a sector costs at boot."""

# ruff: noqa: F821 - mark, report and the values come from the meter
import standins

standins.install()
from journal.ring import Ring  # noqa: E402 - it imports what the stand-ins provide

small = Ring(standins.Blank(SMALL), bytes(8), False, None)
large = Ring(standins.Blank(LARGE), bytes(8), False, None)
for blank in (small, large):
    for at in range(len(blank._back)):
        blank._back[at] = 0xFF
gc.collect()
level()
mark("small")
small.recover()
mark("small end")
gc.collect()
level()
mark("large")
large.recover()
mark("large end")
gc.collect()
report(small.flash.reads)
report(large.flash.reads)
# What one read costs here, as the recovery calls it; on the board it is the flash that takes time.
buffer = memoryview(bytearray(256))
level()
mark("read")
large.flash.readblocks(1, buffer, 64)
mark("read end")
