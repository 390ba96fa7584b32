"""One record after the other into the journal, and the JSON line that people write instead: what each computes."""

# ruff: noqa: F821 - mark, report and the values come from the meter
import standins

standins.install()

import records  # noqa: E402 - they import what the stand-ins provide
from journal import seal  # noqa: E402
from journal.ring import EVENT, Ring  # noqa: E402

flash = standins.Quiet(2, bytearray(b"\xff" * 8192))
ring = Ring(flash, bytes(8), True, bytes)
ring.recover()
epoch = seal.Epoch(bytes(range(32)), bytearray(80))
ring.begin_epoch(epoch, lambda buffer, at: records.boot(buffer, at, 5, 1, "bench", 1))
ring.prepare()
plain = bytearray(240)
view = memoryview(plain)
texts = []
for number in range(SCANS):
    texts.append("%018d" % (100000000000000000 + number))


def append(number):
    end = records.scan(plain, 0, UPTIME_MS + number, 0, 3, 1, records.id_digits(texts[number].encode()))
    return ring.append(view[:end], EVENT)


def line(number):
    return json.dumps({"t": UPTIME_MS + number, "scheme": 1, "verdict": 3, "id": texts[number]}) + "\n"


def instructions(name, work):
    ended = "end " + name
    for number in range(SCANS):
        level()
        mark(name)
        work(number)
        mark(ended)


def heap(work):
    """Bytes that all these calls leave allocated."""
    before = gc.mem_alloc()
    for number in range(SCANS):
        if not work(number):
            raise OSError("not recorded")
    return gc.mem_alloc() - before


heap(append)
gc.collect()
report({"append": heap(append), "line": heap(line)})
gc.collect()
instructions("append", append)
gc.collect()
instructions("line", line)
gc.collect()

# What the stand-ins cost here, each as an append calls it.
index = ring.index(ring.sequence)
data = memoryview(bytes(28))
back = memoryview(bytearray(28))
block = bytearray(256)
level()
mark("readblocks")
flash.readblocks(index, back, 64)
mark("end readblocks")
level()
mark("writeblocks")
flash.writeblocks(index, data, 2048)
mark("end writeblocks")
level()
mark("encrypt")
epoch._aes.encrypt(block, block)
mark("end encrypt")
