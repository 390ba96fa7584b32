"""What a scan costs the flash when the journal keeps it, and when littlefs does: one simulated NOR flash, one run each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from host_tools.bench import meter
from host_tools.bench.figures import ROOT, Figure
from host_tools.simulator.flash import PAGE_PROGRAM_US, SECTOR_ERASE_US
from host_tools.text import say

SCANS = 2_000
# The vfs partition of the 4 MiB map; the journal gets as much, and both write as the operator of a full one would.
SECTORS = 126
FEWER_ERASES = 140
FEWER_BYTES = 75
APPEND_P99_MS = 3.0
PROGRAMMED_PER_FRAME_BYTE = 1.03
WAYS = {"journal": ("journal", 1), "littlefs": ("littlefs", 1), "littlefs_20": ("littlefs", 20)}
# Large enough to collect only between scans; each look at the heap takes time in step with it.
_HEAP = "4M"
_TIMEOUT_S = 300


def _run(kind: str, every: int) -> dict[str, Any]:
    """The counts of one way, a row a scan: (erases, pages) of the scan itself, (erases, pages, bytes) with its chores."""
    if "MICROPYTHON" in os.environ:
        command = [os.environ["MICROPYTHON"]]
    else:
        command = [sys.executable, "-c", "import sys; from micropython_unix import main; sys.exit(main())"]
    values = {"KIND": kind, "EVERY": every, "SCANS": SCANS, "SECTORS": SECTORS}
    code = f"import sys\nsys.path[:] = [{str(ROOT / 'firmware')!r}, '.frozen']\n"
    code += "".join(f"{name} = {value!r}\n" for name, value in values.items()) + meter.guest("storage")
    command += ["-X", f"heapsize={_HEAP}", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{kind}: {done.stdout[-500:]}{done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _time_ms(erases: int, pages: int, which: str) -> float:
    return (erases * SECTOR_ERASE_US[which] + pages * PAGE_PROGRAM_US[which]) / 1000


def _summary(found: dict[str, Any]) -> dict[str, float]:
    """Per scan: erases, bytes programmed, modelled milliseconds (mean, p99, longest), heap; whole-run ratio to frames.

    The means are of a scan with its chores, an erase ahead among them; p99 and longest of the scan alone.
    """
    rows = found["scans"]
    count = len(rows)
    own = sorted(_time_ms(row[0], row[1], "typical") for row in rows)
    programmed = sum(row[4] for row in rows)
    return {
        "erases": sum(row[2] for row in rows) / count,
        "programmed_bytes": programmed / count,
        "flash_ms": sum(_time_ms(row[2], row[3], "typical") for row in rows) / count,
        "flash_worst_ms": sum(_time_ms(row[2], row[3], "worst") for row in rows) / count,
        "p99_ms": own[-(count // 100) - 1],
        "longest_ms": own[-1],
        "worst_ms": max(_time_ms(row[0], row[1], "worst") for row in rows),
        "heap_bytes": found["heap"] / count,
        "per_record_byte": programmed / found["record_bytes"],
    }


def storage() -> list[Figure]:
    """The ways side by side, and the journal against littlefs with a flush a scan."""
    ways = {name: _summary(_run(*way)) for name, way in WAYS.items()}
    journal, littlefs = ways["journal"], ways["littlefs"]
    names = {
        "journal": say("nhật ký này", "this journal"),
        "littlefs": say("littlefs, flush mỗi lượt", "littlefs, flush a scan"),
        "littlefs_20": say("littlefs, flush mỗi 20 lượt", "littlefs, flush every 20"),
    }
    figures = []
    for name, way in ways.items():
        mean = f"flash {way['flash_ms']:.2f} ({way['flash_worst_ms']:.1f}) ms"
        longest = f"{way['longest_ms']:.1f} ({way['worst_ms']:.0f}) ms, heap {way['heap_bytes']:.0f}"
        note = say(
            f"{way['erases']:.4f} lần xoá, {mean}, lâu nhất {longest}",
            f"{way['erases']:.4f} erases, {mean}, longest {longest}",
        )
        title = say("byte ghi mỗi lượt, ", "bytes programmed a scan, ") + names[name]
        figures.append(Figure(f"storage_{name}", title, round(way["programmed_bytes"], 1), "bytes", None, note, way))
    share_erases = journal["erases"] / littlefs["erases"]
    share_bytes = journal["programmed_bytes"] / littlefs["programmed_bytes"]

    def versus(key: str, what: str, share: float, bar: int) -> Figure:
        title = what + say(" so với littlefs flush mỗi lượt", " against littlefs, flush a scan")
        note = say(f"ít hơn {1 / share:.1f} lần, mức {bar}", f"{1 / share:.1f} times fewer, bar {bar}")
        return Figure(key, title, round(100 * share, 3), "%", round(100 / bar, 3), note, {"times": 1 / share})

    p99 = say("flash của một lượt ghi, p99", "flash time of an append, p99")
    ratio = say("byte ghi trên byte khung", "bytes programmed per byte of frames")
    return [
        *figures,
        versus("storage_erases", say("lần xoá", "erases"), share_erases, FEWER_ERASES),
        versus("storage_bytes", say("byte ghi", "bytes"), share_bytes, FEWER_BYTES),
        Figure("append_p99_ms", p99, round(journal["p99_ms"], 2), "ms", APPEND_P99_MS),
        Figure("programmed_ratio", ratio, round(journal["per_record_byte"], 4), "", PROGRAMMED_PER_FRAME_BYTE),
    ]
