"""What a look into full lists costs: a deny and an allow list that fill a half of the 16 MiB map, kept in build/."""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from host_tools.bench import meter
from host_tools.bench.figures import ROOT, Figure, Firmware, model_ms
from host_tools.build.partitions import MIB, SECTOR_BYTES, find, partition_map
from host_tools.formats import fuse, lists
from host_tools.formats.records import pack_id
from host_tools.text import say

KEY = bytes(range(64, 96))
ALLOW_CARDS = 1_300_000
# What a half of the 16 MiB map has room for beside the allow list, and what each map holds of a deny list alone.
DENY_CARDS_BESIDE = 74_000
DENY_CARDS = {4 * MIB: 15_000, 16 * MIB: 250_000}
FIRST_ALLOWED = 10_000_000
STRANGER = 100_000_000
CACHE = ROOT / "build" / "lists"
DATE = datetime.date(2026, 11, 26)

SCAN_INSTRUCTIONS = 1_300_000  # with a look into each list
DENY_READS = 8
ALLOW_READS = 3
LOOKUPS = 60


def prints(numbers: Iterable[int]) -> list[bytes]:
    """Fingerprints of identity cards with these numbers."""
    return [lists.fingerprint(KEY, 2, pack_id(f"{number:012}")) for number in numbers]


def both_full(cache: Path = CACHE) -> Path:
    """The list file that fills a half of the 16 MiB map; made in about 15 s where it is not there yet."""
    sources = b"".join(Path(str(module.__file__)).read_bytes() for module in (fuse, lists))
    name = hashlib.sha256(sources + f"{ALLOW_CARDS} {DENY_CARDS_BESIDE}".encode()).hexdigest()[:16]
    path = cache / f"both-{name}.bin"
    if not path.exists():
        allow = prints(range(FIRST_ALLOWED, FIRST_ALLOWED + ALLOW_CARDS))
        file = lists.encode(KEY, 7, DATE, deny=prints(range(DENY_CARDS_BESIDE)), allow=allow)
        cache.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(f".{os.getpid()}")
        aside.write_bytes(file)
        aside.replace(path)
    return path


def lookups(firmware: Firmware) -> list[Figure]:
    """Instructions of a lookup, worst of some in each list and some in none; bars are the reads."""
    partition = lists.encode_partition(both_full().read_bytes(), find(partition_map(16 * MIB), "lists").size)
    values: dict[str, Any] = {
        "SECTORS": len(partition) // SECTOR_BYTES,
        "KEY": list(KEY),
        "DENIED": list(range(0, DENY_CARDS_BESIDE, DENY_CARDS_BESIDE // LOOKUPS)),
        "ALLOWED": list(range(FIRST_ALLOWED, FIRST_ALLOWED + ALLOW_CARDS, ALLOW_CARDS // LOOKUPS)),
        "STRANGERS": list(range(STRANGER, STRANGER + LOOKUPS)),
    }
    recording = firmware.run(meter.guest("lists"), {"lists.bin": partition}, **values)
    made, *answers = recording.reports
    if made[1:3] != [ALLOW_CARDS + DENY_CARDS_BESIDE, lists.DENY | lists.ALLOW]:
        raise meter.MeterError(f"the lists are not in force: {made}")
    window, cell = recording.one("read 256", "end read 256"), recording.one("read 1", "end read 1")
    rows = []
    for kind, title, bar, share in (
        ("deny", say("tra danh sách cấm", "a look into the deny list"), DENY_READS, window),
        ("allow", say("tra danh sách cho phép", "a look into the allow list"), ALLOW_READS, cell),
    ):
        each = [row for row in answers if row[0].startswith(kind)]
        right = all(row[1] is True for row in each if row[0].endswith("hit"))
        if not right or sum(row[1] for row in each if row[0].endswith("miss")) > LOOKUPS // 20:
            raise meter.MeterError(f"wrong answers of the {kind} list")
        costs = [
            cost - row[2] * share
            for end in ("hit", "miss")
            for cost, row in zip(
                recording.between(f"{kind} {end}", f"end {kind} {end}"),
                [row for row in each if row[0].endswith(end)],
                strict=True,
            )
        ]
        reads, heap_bytes = max(row[2] for row in each), max(row[3] for row in each)
        note = f"{model_ms(max(costs)):.2f} ms, heap {heap_bytes}"
        detail = {"average": sum(costs) / len(costs), "heap_bytes": heap_bytes}
        rows += [
            Figure(f"{kind}_instructions", title, max(costs), "instr", None, note, detail),
            Figure(f"{kind}_reads", title + say(": lần đọc flash", ": reads of flash"), reads, "", bar),
        ]
    return rows


def with_lists(metered: dict[str, Figure]) -> list[Figure]:
    """The dearest path of a scan that was metered, and the dearest look into each list beside it."""
    paths = {key: figure.value for key, figure in metered.items() if key.startswith("scan_")}
    worst = max(paths, key=lambda key: paths[key])
    total = paths[worst] + metered["deny_instructions"].value + metered["allow_instructions"].value
    title = say("byte đầu tới còi, hai danh sách đầy", "first byte to buzzer, both lists full")
    return [Figure("path_instructions", title, total, "instr", SCAN_INSTRUCTIONS, f"{model_ms(total):.2f} ms", {"path": worst})]
