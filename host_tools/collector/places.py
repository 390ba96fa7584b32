"""Which checkpoint a record was made at: the history of a board's places, told in journal order, not order of receipt.

A move takes nobody's history along. For each move:

1. What had been received when the move was told belongs to the old place, whatever its time.
2. Of what came later, a record whose latest is before the move belongs to the old place, and so does all before it in
   the journal; one whose earliest is after the move belongs to the new place, and so does all after it.
3. Between those the bounds do not decide. A board is carried switched off, so the first boot begun in between starts
   the new place; without one, the first record whose bounds have their middle after the move does.
"""

from __future__ import annotations

from collections.abc import Sequence

from host_tools.collector.store import Assignment
from host_tools.collector.timeline import Placed
from host_tools.formats import records


def _starts_boot(record: Placed) -> bool:
    said = record.decoded
    return said is not None and said["kind"] == records.BOOT and said["cause"] != records.CAUSE_NEW_KEY


def boundary(journal: Sequence[Placed], mark_lsn: int, from_ms: int) -> int:
    """Index of the first record of a generation's journal (in order of lsn) that belongs to the place a board was moved
    to; `mark_lsn` is the position up to which all was received when the move was told."""
    first = next((i for i, record in enumerate(journal) if record.lsn >= mark_lsn), len(journal))
    for i in range(len(journal) - 1, first - 1, -1):
        if journal[i].latest_ms < from_ms:
            first = i + 1
            break
    end = next((i for i in range(first, len(journal)) if journal[i].earliest_ms >= from_ms), len(journal))
    for i in range(first, end):
        if _starts_boot(journal[i]):
            return i
    for i in range(first, end):
        if journal[i].earliest_ms + journal[i].latest_ms >= 2 * from_ms:
            return i
    return end


def checkpoints(placed: Sequence[Placed], assignments: Sequence[Assignment]) -> list[str]:
    """The checkpoint of each record of a board, in the order of `placed` (by generation and position)."""
    names = [assignments[0].checkpoint if assignments else ""] * len(placed)
    start = 0
    while start < len(placed):
        generation = placed[start].generation
        end = next((i for i in range(start, len(placed)) if placed[i].generation != generation), len(placed))
        at = start
        for told in assignments[1:]:
            # Moves come in order, so a later one never reaches behind an earlier one.
            here = start + boundary(placed[start:end], told.marks.get(generation, 0), told.from_ms)
            at = max(at, here)
            names[at:end] = [told.checkpoint] * (end - at)
        start = end
    return names
