"""What the journal computes on the 32-bit runtime: one append, and the recovery of a partition that is full."""

from __future__ import annotations

from host_tools.bench import meter
from host_tools.bench.figures import FLASH_SIZE, YEAR_MS, Figure, Firmware
from host_tools.build.partitions import find, partition_map
from host_tools.simulator.flash import SECTOR_BYTES
from host_tools.text import say

RECOVERY_READ_BYTES = 100 * 1024
RECOVERY_HEAP_BYTES = 8 * 1024 - 1
LARGE_FLASH_SIZE = 16 << 20
APPENDS = 40
# A head with one record has the longest tail to look at, a full one the most frames to walk.
HEADS = (1, 130)
NO_LITTLEFS = ("runtime có đo lệnh không có littlefs", "the metered runtime has no littlefs")


def append(firmware: Firmware) -> list[Figure]:
    """A record into the journal, and, as the part of the other way that can be metered here, the JSON line of a scan."""
    recording = firmware.run(meter.guest("append"), SCANS=APPENDS, UPTIME_MS=YEAR_MS - APPENDS)
    own = {name: recording.one(name, f"end {name}") for name in ("readblocks", "writeblocks", "encrypt")}
    heap = recording.reports[0]
    appends = [each - sum(own.values()) for each in recording.between("append", "end append")]
    lines = recording.between("line", "end line")

    def row(name: str, title: str, each: list[int], note: str) -> Figure:
        allocated = heap[name] / APPENDS
        detail = {"worst": max(each), "heap_bytes": allocated}
        note = ", ".join(filter(None, (f"heap {allocated:.0f}", note)))
        return Figure(f"{name}_instructions", title, round(sum(each) / APPENDS), "instr", None, note, detail)

    rows = [
        row("append", say("một bản ghi vào nhật ký", "a record into the journal"), appends, ""),
        row("line", say("chỉ riêng dòng JSON", "the JSON line alone"), lines, say(*NO_LITTLEFS)),
    ]
    rows[0].detail["stand_ins_taken_off"] = own
    return rows


def full(firmware: Firmware) -> list[Figure]:
    """Recovery of a full journal of the 4 MiB map, at worst, and what that of the 16 MiB map takes for its sectors."""
    sectors = [find(partition_map(size), "journal").size // SECTOR_BYTES for size in (FLASH_SIZE, LARGE_FLASH_SIZE)]
    read, heap = [], []
    for count in sectors:
        program = meter.guest("full")
        found = [firmware.run(program, SECTORS=count, SCANS=scans).reports[0] for scans in HEADS]
        read.append(max(report[0] for report in found))
        heap.append(max(report[1] for report in found))
    share = max(large * sectors[0] / (max(small, 1) * sectors[1]) for small, large in (read, heap))
    detail = {"sectors": sectors, "read_bytes": read, "heap_bytes": heap}
    size = sectors[0] * SECTOR_BYTES // 1024
    title = say(f"khôi phục nhật ký đầy {size} KiB", f"recovery of a full journal of {size} KiB")
    return [
        Figure("recovery_read_bytes", title + say(": đọc", ": read"), read[0], "bytes", RECOVERY_READ_BYTES),
        Figure("recovery_heap_bytes", title + ": heap", heap[0], "bytes", RECOVERY_HEAP_BYTES),
        Figure(
            "recovery_share",
            say("khôi phục 8 MiB, so với số cung của nó", "recovery of 8 MiB, for its sectors"),
            round(share, 3),
            "",
            1.0,
            say("đọc hoặc heap, cái lớn hơn", "of reading and heap, the larger"),
            detail,
        ),
    ]
