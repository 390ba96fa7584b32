"""Names what a board's journal lacks at the centre: which positions, why as far as it shows, and between which times.

A board sends the oldest first, so what is missing below something received was not left for later. Why it is missing:

1. A sector can only have been overwritten once the ring had come round to it: 319 sectors further on in the smallest
   ring. How far the board had come is seen from the records made before the gap showed.
2. Until a record has come that was made after the gap showed, how far it had come is not known yet.
3. A number that a sector which would not erase left unused is one that HEALTH counts; a damaged one came raw.
4. What is left is not here, and nobody can say why: a database put back from a backup leaves such gaps.

The sector that was open when a gap begins may have lost its end as well: nobody closed it for the centre."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from host_tools.build.partitions import PARTITION_MAPS, find
from host_tools.collector.opening import DAMAGED_SECTOR
from host_tools.collector.places import checkpoints
from host_tools.collector.store import Store, StoredRow
from host_tools.collector.timeline import Placed, place
from host_tools.formats import records
from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES

# Why positions are missing.
OVERWRITTEN = "overwritten"
TO_COME = "may still come"
UNUSABLE = "unusable"  # the number of a sector that would not take anything: nothing was in it
DAMAGED = "damaged"  # a number lost with a damaged sector, whose bytes are in quarantine
UNKNOWN = "not received"

Shape = tuple[int, int, int]  # generation, first position missing, the one where what was received goes on

# How far on a board must be to have overwritten a sector: the smallest ring, which erases one sector ahead.
ROUND_SECTORS = min(find(partitions, "journal").size for partitions in PARTITION_MAPS.values()) // SECTOR_BYTES - 1
# So many sectors cannot be filled in less: a module reads a card a second, a sector takes 44 cards of the longest kind.
ROUND_MS = 3_600_000
# The end of a sector too short for any record.
TOO_SHORT_BYTES = 16
# How many records a gap held is told by so many sectors on either side.
NEAR_SECTORS = 4
HEALTH_LOST, HEALTH_UNUSABLE = 3, 4


@dataclass(frozen=True)
class Gap:
    """Positions from `offset` in sector `first` to `end` in sector `last` that are missing. What was in them was made
    between `earliest_ms` (0: not known) and `latest_ms`, at one of `checkpoints`; `records` is about how many."""

    generation: int
    first: int
    offset: int
    last: int
    end: int
    cause: str
    earliest_ms: int = 0
    latest_ms: int = 0
    records: int = 0
    checkpoints: tuple[str, ...] = ()

    @property
    def sectors(self) -> int:
        """How many sectors it touches."""
        return self.last - self.first + 1

    @property
    def whole_sectors(self) -> int:
        """How many sectors are missing from their beginning to their end."""
        begins, ends = self.offset == HEADER_BYTES, self.end == SECTOR_BYTES
        if self.first == self.last:
            return int(begins and ends)
        return self.sectors - (not begins) - (not ends)

    @property
    def loses(self) -> bool:
        """True if records may be lost with it."""
        return self.cause != UNUSABLE

    @property
    def size(self) -> int:
        """Bytes that frames may have taken."""
        return (self.last - self.first) * (SECTOR_BYTES - HEADER_BYTES) + self.end - self.offset


@dataclass(frozen=True)
class Missing:
    """The gaps of a board's journal, by generation and position. `said_overwritten` is how many sectors its own HEALTH
    says were overwritten, over all its boots: at least so many, as a power cut takes the count along."""

    gaps: tuple[Gap, ...] = ()
    said_overwritten: int = 0

    @property
    def settled(self) -> bool:
        """True if nothing is still to be decided."""
        return all(gap.cause != TO_COME for gap in self.gaps)

    def sectors(self, *causes: str) -> int:
        """How many whole sectors are missing for one of these causes."""
        return sum(gap.whole_sectors for gap in self.gaps if gap.cause in causes)

    @property
    def holes(self) -> int:
        """How many sectors have only a part missing."""
        return sum(gap.sectors - gap.whole_sectors for gap in self.gaps)


@dataclass(frozen=True)
class _Lack:
    """Positions from `start` to `stop` that no span covers; what was received goes on at `stop`."""

    generation: int
    start: int
    stop: int


def _lacks(spans: Iterable[tuple[int, int, int]]) -> Iterator[_Lack]:
    """What lies between a board's spans (generation, first lsn, end lsn, in order), the ends of sectors included that
    may never have held anything."""
    at, current = 0, -1
    for generation, first, end in spans:
        if generation != current:
            current, at = generation, SECTOR_BYTES + HEADER_BYTES
        if first > at:
            yield _Lack(generation, at, first)
        at = max(at, end)
        if -at % SECTOR_BYTES < TOO_SHORT_BYTES:
            at += -at % SECTOR_BYTES + HEADER_BYTES


def _only_an_end(lack: _Lack) -> bool:
    """True if all sector numbers are there, and only the end of one of them is in question."""
    return lack.start % SECTOR_BYTES > HEADER_BYTES and lack.stop == (
        lack.start // SECTOR_BYTES + 1
    ) * SECTOR_BYTES + HEADER_BYTES


class _Journal:
    """What is known of a board's journal: spans, epochs, and single records by place."""

    def __init__(self, store: Store, device_id: bytes) -> None:
        self._db = store.db
        self.device_id = device_id
        self.spans: list[tuple[int, int, int]] = self._db.execute(
            "SELECT generation, first_lsn, end_lsn FROM spans WHERE device_id = ? ORDER BY generation, first_lsn",
            (device_id,),
        ).fetchall()
        self.highest = {generation: first // SECTOR_BYTES for generation, first, _ in self.spans}
        self.epochs: list[tuple[int, bytes, int, int, int]] = self._db.execute(
            "SELECT id, epoch_public, generation, first_lsn, end_lsn FROM epochs WHERE device_id = ?"
            " ORDER BY generation, first_lsn",
            (device_id,),
        ).fetchall()

    def _one(self, generation: int, low: int, high: int, order: str) -> StoredRow | None:
        """The first (order ASC) or last (DESC) record of a generation with low <= lsn < high."""
        found: list[StoredRow] = []
        for key, public, of, first, end in self.epochs:
            if of == generation and first < high and end > low:
                row = self._db.execute(
                    "SELECT lsn, plaintext, received_ms FROM records WHERE epoch = ? AND lsn >= ? AND lsn < ?"
                    f" ORDER BY lsn {order} LIMIT 1",
                    (key, low, high),
                ).fetchone()
                if row is not None:
                    found.append(StoredRow(public, generation, *row))
        return (min if order == "ASC" else max)(found, key=lambda row: row.lsn, default=None)

    def before(self, lack: _Lack) -> StoredRow | None:
        """The last record before a gap."""
        return self._one(lack.generation, 0, lack.start, "DESC")

    def after(self, lack: _Lack) -> StoredRow | None:
        """The first record behind a gap."""
        return self._one(lack.generation, lack.stop, 1 << 62, "ASC")

    def could_be_lost(self, lack: _Lack) -> bool:
        """True unless it is an end that surely held nothing: a sector that was left behind in time."""
        if not _only_an_end(lack):
            return True
        sector = lack.start // SECTOR_BYTES
        if self.highest[lack.generation] < sector + ROUND_SECTORS:
            return False
        before, after = self.before(lack), self.after(lack)
        return before is None or after is None or after.received_ms - before.received_ms >= ROUND_MS

    def landmarks(self, lacks: Sequence[_Lack]) -> list[Placed]:
        """The records that tell where and when a gap is, placed: those that begin boots and tell the time, the last of
        each epoch, the neighbours of each gap, and the first of each sector far enough on to have gone round."""
        rows: dict[tuple[int, bytes, int], StoredRow] = {}

        def keep(row: StoredRow | None) -> None:
            if row is not None:
                rows[row.generation, row.epoch_public, row.lsn] = row

        for key, public, generation, _, _ in self.epochs:
            timing = self._db.execute(
                "SELECT lsn, plaintext, received_ms FROM records WHERE epoch = ? AND kind IN (1, 2)", (key,)
            )
            last = self._db.execute(
                "SELECT lsn, plaintext, received_ms FROM records WHERE epoch = ? ORDER BY lsn DESC LIMIT 1", (key,)
            )
            for row in (*timing, *last):
                keep(StoredRow(public, generation, *row))
        for lack in lacks:
            keep(self.before(lack))
            keep(self.after(lack))
        for generation, far in self._far(lacks):
            keep(self._one(generation, far * SECTOR_BYTES, (far + 1) * SECTOR_BYTES, "ASC"))
        return place(rows.values())

    def _far(self, lacks: Sequence[_Lack]) -> Iterator[tuple[int, int]]:
        first: dict[int, int] = {}
        for lack in lacks:
            first.setdefault(lack.generation, lack.start // SECTOR_BYTES + ROUND_SECTORS)
        for generation, sector in sorted({(generation, lsn // SECTOR_BYTES) for generation, lsn, _ in self.spans}):
            if sector >= first.get(generation, sector + 1):
                yield generation, sector

    def health(self, public: bytes, key: int) -> int:
        """What the last HEALTH of an epoch says under a key, 0 if it says nothing."""
        row = self._db.execute(
            "SELECT plaintext FROM records JOIN epochs ON epochs.id = epoch WHERE device_id = ? AND epoch_public = ?"
            " AND kind = ? ORDER BY lsn DESC LIMIT 1",
            (self.device_id, public, records.HEALTH),
        ).fetchone()
        said = None if row is None else records.decode(row[0])
        return 0 if said is None else dict(said["health"]).get(key, 0)

    def damaged(self) -> int:
        """Damaged sectors that came raw."""
        query = "SELECT COUNT(*) FROM quarantine WHERE device_id = ? AND reason = ?"
        return int(self._db.execute(query, (self.device_id, DAMAGED_SECTOR)).fetchone()[0])

    def records_near(self, lack: _Lack) -> tuple[int, int]:
        """How many records were received in the sectors beside a gap, and the bytes that they and what is between them
        take."""
        low = max(lack.start // SECTOR_BYTES - NEAR_SECTORS, 0) * SECTOR_BYTES
        high = (lack.stop // SECTOR_BYTES + NEAR_SECTORS) * SECTOR_BYTES
        count = 0
        for key, _, of, first, end in self.epochs:
            if of == lack.generation and first < high and end > low:
                query = "SELECT COUNT(*) FROM records WHERE epoch = ? AND lsn >= ? AND lsn < ?"
                count += int(self._db.execute(query, (key, low, high)).fetchone()[0])
        covered = (end - first for of, first, end in self.spans if of == lack.generation and low <= first < high)
        return count, sum(covered)


class _Judge:
    """Says why positions are missing, from the landmarks of the journal."""

    def __init__(self, journal: _Journal, placed: Sequence[Placed], names: Sequence[str]) -> None:
        self._journal = journal
        self._placed = placed
        self._names = names
        self._keys = [(record.generation, record.lsn) for record in placed]
        self._newest_ms = max((record.earliest_ms for record in placed if record.timed), default=0)

    def gaps(self, lack: _Lack) -> Iterator[Gap]:
        """A gap for each cause, in order."""
        at = bisect.bisect_left(self._keys, (lack.generation, lack.start))
        behind = bisect.bisect_left(self._keys, (lack.generation, lack.stop))
        before = self._placed[at - 1] if at and self._keys[at - 1][0] == lack.generation else None
        after = self._placed[behind] if self._keys[behind : behind + 1] and self._keys[behind][0] == lack.generation else None
        names = [self._names[i] for i, record in ((at - 1, before), (behind, after)) if record is not None]
        count, size = self._journal.records_near(lack)
        for gap in self._parts(lack, after):
            estimate = -(-gap.size * count // size) if size and gap.loses else 0
            yield replace(
                gap,
                earliest_ms=0 if before is None else before.earliest_ms,
                latest_ms=0 if after is None else min(after.latest_ms, after.received_ms),
                records=estimate,
                checkpoints=tuple(dict.fromkeys(names)),
            )

    def _parts(self, lack: _Lack, after: Placed | None) -> Iterator[Gap]:
        generation = lack.generation
        first, offset = divmod(lack.start, SECTOR_BYTES)
        last, end = divmod(lack.stop, SECTOR_BYTES)
        if end <= HEADER_BYTES:
            last, end = last - 1, SECTOR_BYTES
        overwritten = self._overwritten_up_to(generation, after)
        split = min(max(overwritten, first - 1), last)
        if split >= first:
            yield Gap(generation, first, offset, split, end if split == last else SECTOR_BYTES, OVERWRITTEN)
        if split == last or _only_an_end(lack):
            return
        if split >= first:
            first, offset = split + 1, HEADER_BYTES
        numbers = last - first + 1 - (offset > HEADER_BYTES) - (end < SECTOR_BYTES)
        cause = self._cause(after, numbers)
        if cause in (UNUSABLE, DAMAGED) and offset > HEADER_BYTES:
            first, offset = first + 1, HEADER_BYTES  # only numbers were passed over: the sector before them was closed
        yield Gap(generation, first, offset, last, end, cause)

    def _overwritten_up_to(self, generation: int, after: Placed | None) -> int:
        """The highest sector that may have been overwritten when what follows the gap was received, -1 for none."""
        if after is None:
            return -1
        reached = (
            record.lsn // SECTOR_BYTES
            for record in self._placed
            if record.generation == generation and record.earliest_ms <= after.received_ms
        )
        return max(reached, default=0) - ROUND_SECTORS

    def _cause(self, after: Placed | None, numbers: int) -> str:
        if after is None or self._newest_ms <= after.received_ms:
            return TO_COME
        if numbers > 0:
            same_boot = dict.fromkeys(record.epoch_public for record in self._placed if record.boot == after.boot)
            unusable = max(self._journal.health(public, HEALTH_UNUSABLE) for public in same_boot)
            if numbers <= unusable:
                return UNUSABLE
            if numbers <= unusable + self._journal.damaged():
                return DAMAGED
        return UNKNOWN

    def said_overwritten(self) -> int:
        """What HEALTH says was overwritten, the last word of each boot added up."""
        by_boot: dict[int, int] = {}
        for boot, public in dict.fromkeys((record.boot, record.epoch_public) for record in self._placed):
            said = self._journal.health(public, HEALTH_LOST)
            by_boot[boot] = max(by_boot.get(boot, 0), said)
        return sum(by_boot.values())


def shape(store: Store, device_id: bytes) -> tuple[tuple[Shape, ...], tuple[Shape, ...]]:
    """Which positions a board's journal lacks, without a word of why; apart from them the ends of sectors, most of which
    never held anything."""
    journal = _Journal(store, device_id)
    lacks = list(_lacks(journal.spans))
    inner = tuple((lack.generation, lack.start, lack.stop) for lack in lacks if not _only_an_end(lack))
    ends = tuple((lack.generation, lack.start, lack.stop) for lack in lacks if _only_an_end(lack))
    return inner, ends


def missing(store: Store, device_id: bytes) -> Missing:
    """What a board's journal lacks."""
    journal = _Journal(store, device_id)
    lacks = [lack for lack in _lacks(journal.spans) if journal.could_be_lost(lack)]
    if not lacks:
        return Missing()
    placed = journal.landmarks(lacks)
    judge = _Judge(journal, placed, checkpoints(placed, store.assignments(device_id)))
    gaps = tuple(gap for lack in lacks for gap in judge.gaps(lack))
    return Missing(gaps, judge.said_overwritten())
