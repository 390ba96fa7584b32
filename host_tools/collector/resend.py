"""Asks a board for sectors that the collector once had: what a database put back from a backup no longer holds."""

from __future__ import annotations

from host_tools.collector import gaps
from host_tools.collector.store import Store
from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES
from host_tools.formats.wire import Request

# What a sector is left with for want of room: less than an epoch frame, a BOOT and the longest record take.
LONGEST_TAIL_BYTES = 35 + 75 + 250
# Kind of report: somebody should know, and the same sectors are not asked for again.
ASKED = "asked to send again"


class Resends:
    """What to ask of each board; lives in the thread that owns `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settled: dict[bytes, tuple[gaps.Shape, ...]] = {}  # lacks of a board that there is nothing more to say of
        self._ends: set[tuple[bytes, gaps.Shape]] = set()  # ends of sectors that were asked for

    def wanted(self, request: Request) -> tuple[int, int] | None:
        """(generation, sequence) from which on the sender is to send its sectors again, once its request is stored.

        Only what is missing for no reason that the board could have is asked for, and each gap once: a sector that the
        board has overwritten it can never send.
        """
        pieces = [piece for piece in request.pieces if not piece.raw]
        if not pieces:
            return None
        generations = {piece.generation for piece in pieces}
        lacks, ends = gaps.shape(self._store, request.device_id)
        begin = pieces[0].sequence * SECTOR_BYTES + pieces[0].offset
        for end in ends:
            name = request.device_id, end
            generation, start, stop = end
            long = stop - start - HEADER_BYTES > LONGEST_TAIL_BYTES
            # A power cut leaves such an end as well: one sector comes twice.
            if stop == begin and long and generation in generations and name not in self._ends:
                self._ends.add(name)
                return generation, start // SECTOR_BYTES
        if not lacks or self._settled.get(request.device_id) == lacks:
            return None
        missing = gaps.missing(self._store, request.device_id)
        for gap in missing.gaps:
            if gap.cause == gaps.UNKNOWN and gap.generation in generations and not self._asked(request.device_id, gap):
                return gap.generation, gap.first
        if missing.settled:
            self._settled[request.device_id] = lacks
        return None

    def _asked(self, device_id: bytes, gap: gaps.Gap) -> bool:
        query = "SELECT 1 FROM reports WHERE device_id = ? AND kind = ? AND detail = ?"
        return self._store.db.execute(query, (device_id, ASKED, detail(gap.generation, gap.first))).fetchone() is not None


def detail(generation: int, sequence: int) -> str:
    """The matter as it is reported."""
    return f"generation {generation:08x}, from sector {sequence} on"
