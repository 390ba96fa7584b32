"""Places records in time: an earliest and a latest for each, from the clock readings of its boot; none is invented."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from host_tools.formats import records
from host_tools.formats.sector import SECTOR_BYTES

# A board's uptime clock is a crystal: 50 ppm, so one ms in so many.
MS_PER_MS_OF_DRIFT = 20_000


class Received(Protocol):
    """A record as the store has it."""

    @property
    def epoch_public(self) -> bytes: ...
    @property
    def generation(self) -> int: ...
    @property
    def lsn(self) -> int: ...
    @property
    def plaintext(self) -> bytes: ...
    @property
    def received_ms(self) -> int: ...


@dataclass(frozen=True)
class Placed:
    """A record and when it was made: UTC in ms, surely not before `earliest_ms` nor after `latest_ms`. `boot` numbers
    the boots of this list; uptimes compare within one boot alone. `timed` is False where no clock of the boot says."""

    generation: int
    lsn: int
    epoch_public: bytes
    plaintext: bytes
    decoded: dict[str, Any] | None
    received_ms: int
    boot: int
    earliest_ms: int
    latest_ms: int
    timed: bool


@dataclass(frozen=True)
class Reading:
    """A CLOCK record: at this uptime it was `unix_ms` ± `error_ms`."""

    uptime_ms: int
    unix_ms: int
    error_ms: int
    source: int

    def bounds(self, uptime_ms: int) -> tuple[int, int]:
        """Earliest and latest of another moment of the boot, carried on from this reading."""
        away = uptime_ms - self.uptime_ms
        error = self.error_ms + drift_ms(away)
        return self.unix_ms + away - error, self.unix_ms + away + error

    def contradicts(self, other: Reading) -> bool:
        """True if no drift within 50 ppm lets both be right."""
        away = other.uptime_ms - self.uptime_ms
        allowed = self.error_ms + other.error_ms + drift_ms(away)
        return abs(other.unix_ms - self.unix_ms - away) > allowed


def drift_ms(distance_ms: int) -> int:
    """What 50 ppm of a distance come to, rounded up."""
    return -(-abs(distance_ms) // MS_PER_MS_OF_DRIFT)


def _interpolated(before: Reading, after: Reading, uptime_ms: int) -> tuple[int, int]:
    """On the line between two readings, with the error of the nearer one and 50 ppm of the distance to it. The line
    hangs on the farther one too, so where that is much worse, the error is what the line itself may be off."""
    into, left = uptime_ms - before.uptime_ms, after.uptime_ms - uptime_ms
    span = into + left
    nearer = before if into <= left else after
    moved = (after.unix_ms - before.unix_ms) * into
    of_line = -(-(before.error_ms * left + after.error_ms * into) // span)
    error = max(nearer.error_ms, of_line) + drift_ms(min(into, left))
    return before.unix_ms + moved // span - error, before.unix_ms - (-moved // span) + error


class BootClock:
    """The clock readings of one boot."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        found = sorted(readings, key=lambda reading: reading.uptime_ms)
        sure = [reading for reading in found if reading.source == records.SOURCE_COLLECTOR]
        # The collector's word is authenticated; a reading that contradicts it is wrong.
        self.readings = [r for r in found if r in sure or not any(r.contradicts(s) for s in sure)]
        self._uptimes = [reading.uptime_ms for reading in self.readings]
        self._disputes = {r: [o for o in self.readings if r.contradicts(o)] for r in dict.fromkeys(self.readings)}

    def bounds(self, uptime_ms: int) -> tuple[int, int] | None:
        """Earliest and latest of an uptime of this boot, None if it never learned the time."""
        at = bisect.bisect_right(self._uptimes, uptime_ms)
        before, after = self.readings[max(at - 1, 0) : at], self.readings[at : at + 1]
        used = before + after
        if not used:
            return None
        disputed = [other for reading in used for other in self._disputes[reading]]
        if disputed:
            sides = [reading.bounds(uptime_ms) for reading in used + disputed]
            return min(low for low, _ in sides), max(high for _, high in sides)
        if before and after:
            return _interpolated(before[0], after[0], uptime_ms)
        return used[0].bounds(uptime_ms)


@dataclass
class _Epoch:
    rows: list[tuple[Received, dict[str, Any] | None]]

    def links_to(self, before: _Epoch) -> bool:
        """True if this epoch goes on with the boot of the one before: it says so, and no sector is missing in between
        that could have held another boot."""
        first, said = self.rows[0]
        last_lsn = before.rows[-1][0].lsn
        if said is None or said["kind"] != records.BOOT or said["cause"] != records.CAUSE_NEW_KEY:
            return False
        reached = max((row["uptime_ms"] for _, row in before.rows if row is not None), default=0)
        return said["uptime_ms"] >= reached and first.lsn // SECTOR_BYTES - last_lsn // SECTOR_BYTES <= 1


def _boots(rows: Sequence[Received]) -> list[list[_Epoch]]:
    """The boots of one generation in order of position, each as its chain of epochs."""
    epochs: dict[bytes, _Epoch] = {}
    for row in sorted(rows, key=lambda row: row.lsn):
        epochs.setdefault(row.epoch_public, _Epoch([])).rows.append((row, records.decode(row.plaintext)))
    boots: list[list[_Epoch]] = []
    for epoch in epochs.values():
        if boots and epoch.links_to(boots[-1][-1]):
            boots[-1].append(epoch)
        else:
            boots.append([epoch])
    return boots


def _place_generation(rows: Sequence[Received], first_boot: int) -> list[Placed]:
    waiting: list[tuple[Received, dict[str, Any] | None, int, tuple[int, int] | None]] = []
    for number, boot in enumerate(_boots(rows), first_boot):
        held = [pair for epoch in boot for pair in epoch.rows]
        clock = BootClock(
            Reading(said["uptime_ms"], said["unix_ms"], said["error_ms"], said["source"])
            for _, said in held
            if said is not None and said["kind"] == records.CLOCK
        )
        for row, said in held:
            waiting.append((row, said, number, None if said is None else clock.bounds(said["uptime_ms"])))
    waiting.sort(key=lambda entry: entry[0].lsn)
    following: list[int | None] = []
    latest: int | None = None
    for _, _, _, bounds in reversed(waiting):
        following.append(latest)
        latest = latest if bounds is None else bounds[1]
    placed = []
    earliest = 0
    for (row, said, number, bounds), after in zip(waiting, reversed(following), strict=True):
        timed = bounds is not None
        if bounds is None:
            # Between its neighbours and before its receipt; where clocks contradict that, the bounds cover both.
            limit = row.received_ms if after is None else min(after, row.received_ms)
            bounds = min(earliest, limit), max(earliest, limit)
        else:
            earliest = bounds[0]
        placed.append(
            Placed(
                row.generation,
                row.lsn,
                row.epoch_public,
                row.plaintext,
                said,
                row.received_ms,
                number,
                bounds[0],
                bounds[1],
                timed,
            )
        )
    return placed


def place(rows: Iterable[Received]) -> list[Placed]:
    """Place all records of one board, by generation and position. A record whose boot never learned the time lies
    between its neighbours in its generation (0, so 1970, if there is none before) and before its first receipt."""
    generations: dict[int, list[Received]] = {}
    for row in rows:
        generations.setdefault(row.generation, []).append(row)
    placed: list[Placed] = []
    for generation in sorted(generations):
        placed += _place_generation(generations[generation], max((known.boot for known in placed), default=-1) + 1)
    return placed
