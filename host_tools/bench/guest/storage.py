"""One scan after the other into one simulated NOR flash, kept by the journal or by littlefs: what each costs (unix port)."""

# ruff: noqa: F821 - KIND, SCANS, EVERY and SECTORS come from storage.py
import gc
import json
import os
import sys


class Counting:
    """A block device with the rules of an esp32.Partition: erase, program by bits, count."""

    def __init__(self, sectors):
        self.sectors = sectors
        self.cells = memoryview(bytearray(b"\xff" * (sectors * 4096)))
        self.blank = b"\xff" * 4096
        self.own_heap = 0  # allocated here, not by what is measured
        self.metering = False
        self.start()

    def start(self):
        """Forget what the scan before has cost."""
        self.erases = self.pages = self.bytes = 0

    def readblocks(self, block, buffer, offset=0):
        heap = self.metering and gc.mem_alloc()
        at = block * 4096 + offset
        buffer[:] = self.cells[at : at + len(buffer)]
        if self.metering:
            self.own_heap += gc.mem_alloc() - heap

    def writeblocks(self, block, data, offset=None):
        if offset is None:
            self.ioctl(6, block)
            offset = 0
        heap = self.metering and gc.mem_alloc()
        at = block * 4096 + offset
        n = len(data)
        old = int.from_bytes(self.cells[at : at + n], "little")
        new = old & int.from_bytes(data, "little")
        self.cells[at : at + n] = new.to_bytes(n, "little")
        self.pages += (at + n - 1) // 256 - at // 256 + 1
        self.bytes += n
        if self.metering:
            self.own_heap += gc.mem_alloc() - heap

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.sectors
        if operation == 5:
            return 4096
        if operation == 6:
            at = argument * 4096
            self.cells[at : at + 4096] = self.blank
            self.erases += 1
        return 0


flash = Counting(SECTORS)
frames = 0

if KIND == "journal":
    import records
    from journal import seal
    from journal.ring import EVENT, Ring

    ring = Ring(flash, bytes(8), True, lambda n: bytes(range(n)))
    ring.recover()
    epoch = seal.Epoch(bytes(range(32)), bytearray(range(80)))
    ring.begin_epoch(epoch, lambda buffer, at: records.boot(buffer, at, 5, 1, "bench", 1))
    plain = bytearray(240)
    view = memoryview(plain)
    ring.prepare()

    def scan(n):
        end = records.scan(plain, 0, n * 1250, 0, 3, 1, records.id_digits(b"%018d" % (100000000000000000 + n)))
        if not ring.append(view[:end], EVENT):
            raise OSError("not recorded")
        return end + 11

    def chores():
        if ring.wants_erase():
            ring.prepare()

else:
    # As inisetup.py and _boot.py of the esp32 port make and mount it.
    os.VfsLfs2.mkfs(flash)
    os.mount(os.VfsLfs2(flash), "/flash")
    file = open("/flash/scans.jsonl", "a")

    def scan(n):
        line = json.dumps({"t": n * 1250, "scheme": 1, "verdict": 3, "id": "%018d" % (100000000000000000 + n)}) + "\n"
        file.write(line)
        if n % EVERY == EVERY - 1:
            file.flush()
        return len(line)

    def chores():
        pass


gc.collect()
gc.disable()
METER_EVERY = 19  # to look at the heap takes this runtime long; no multiple of this meets every flush
rows = []
heap = 0
for n in range(SCANS):
    flash.start()
    flash.metering = n % METER_EVERY == METER_EVERY - 1
    before = flash.metering and gc.mem_alloc() - flash.own_heap
    frames += scan(n)
    if flash.metering:
        heap += gc.mem_alloc() - flash.own_heap - before
    own = (flash.erases, flash.pages)
    chores()
    rows.append((own[0], own[1], flash.erases, flash.pages, flash.bytes))
    if n % 50 == 49:
        gc.collect()
print(json.dumps({"record_bytes": frames, "heap": heap * SCANS // (SCANS // METER_EVERY), "scans": rows}))
sys.exit(0)
