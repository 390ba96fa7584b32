"""Words for a person about what the centre knows: times, counts, gaps in a journal, and what a board's HEALTH warns of."""

from __future__ import annotations

import datetime
from typing import Any

from host_tools.collector import gaps
from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES
from host_tools.text import say

# From so much of the journal on, in percent, somebody should see to the network; the board's lamp says the same.
FILLING_PERCENT, ALMOST_FULL_PERCENT = 80, 95


def moment(ms: int) -> str:
    """A time for a person: local, to the second."""
    try:
        return datetime.datetime.fromtimestamp(ms / 1000).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def counted(count: int, vi: str, one: str, more: str) -> str:
    """A count with its noun."""
    return f"{count} {say(vi, one if count == 1 else more)}"


def _cause(cause: str) -> str:
    return {
        gaps.OVERWRITTEN: say("đã bị ghi đè", "overwritten"),
        gaps.TO_COME: say("có thể còn tới", "may still come"),
        gaps.UNUSABLE: say("sector hỏng, không chứa gì", "unusable sectors, nothing was in them"),
        gaps.DAMAGED: say("sector hỏng, byte nằm trong cách ly", "damaged, the bytes are in quarantine"),
        gaps.UNKNOWN: say("không nhận được, không rõ vì sao", "not received, nobody knows why"),
    }[cause]


def gap_sectors(gap: gaps.Gap) -> str:
    """Which positions: sector numbers, with bytes where one is missing in part."""
    first = f"{gap.first}" + ("" if gap.offset == HEADER_BYTES else f"+{gap.offset}")
    last = f"{gap.last}" + ("" if gap.end == SECTOR_BYTES else f"+{gap.end}")
    if gap.first == gap.last and gap.whole_sectors:
        return f"sector {first}"
    return say("sector", "sectors" if gap.first != gap.last else "sector") + f" {first} … {last}"


def gap_line(gap: gaps.Gap) -> str:
    """A gap in one line: where, why, when, how much."""
    if not gap.earliest_ms:
        when = say(f"trước {moment(gap.latest_ms)}", f"before {moment(gap.latest_ms)}")
    else:
        when = f"{moment(gap.earliest_ms)} … {moment(gap.latest_ms)}"
    place = " / ".join(gap.checkpoints) or "–"
    about = counted(gap.records, "bản ghi", "record", "records")
    return f"{place}  {gap_sectors(gap)} ({gap.generation:08x})  {_cause(gap.cause)}  {when}  ~{about}"


def warnings(health: dict[str, Any]) -> list[str]:
    """What a board's last HEALTH says that somebody should see to."""
    found = []
    fill = health.get("journal_fill_percent", 0)
    if fill >= ALMOST_FULL_PERCENT:
        found.append(say(f"nhật ký sắp hết chỗ: {fill} %", f"journal almost full: {fill} %"))
    elif fill >= FILLING_PERCENT:
        found.append(say(f"nhật ký gần đầy: {fill} %", f"journal filling up: {fill} %"))
    for name, vi, en in (
        ("sectors_lost", "bị ghi đè từ lần bật này", "overwritten since this boot"),
        ("sectors_unusable", "không dùng được", "unusable"),
    ):
        if count := health.get(name, 0):
            found.append(counted(count, f"sector {vi}", f"sector {en}", f"sectors {en}"))
    return found
