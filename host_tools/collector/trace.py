"""Who shared a place and time with a card: visits, what overlaps them, and whether that is certain or only possible.

A scan at a way in begins a visit of a set length (the stay), a scan at a way out ends one; where a board has seen a
person come and go, the visit is what lies between. A scan lies between an earliest and a latest, so two visits overlap
*certainly* if they do for every moment within the bounds, and *possibly* if they do for some. Scans of one boot compare
by uptime, which is exact even where the boot never learned the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from host_tools.collector import gaps
from host_tools.collector.places import checkpoints
from host_tools.collector.store import Store
from host_tools.collector.timeline import Placed, drift_ms, place
from host_tools.formats import records

# Who goes out within a day of coming in was inside all the time, if both moments are known to two minutes.
LONGEST_VISIT_MS = 24 * 3600 * 1000
PAIRED_WITHIN_MS = 120_000


@dataclass(frozen=True)
class Visit:
    """A person at a checkpoint: the scan lies within the bounds, the visit from `before_ms` before it to `after_ms` after."""

    device_id: bytes
    checkpoint: str
    scan: Placed
    before_ms: int
    after_ms: int

    @property
    def scheme(self) -> int:
        """The card's scheme."""
        return int(self.scan.decoded["scheme"]) if self.scan.decoded else 0

    @property
    def card_id(self) -> str:
        """The card's id as text."""
        return str(self.scan.decoded["id"]) if self.scan.decoded else ""

    @property
    def packed(self) -> tuple[int, bytes]:
        """The card's name for comparing."""
        return self.scheme, records.packed_card(self.scan.plaintext)

    @property
    def out(self) -> bool:
        """Whether the card was shown at a way out."""
        return bool(self.scan.decoded and self.scan.decoded["reader"])

    @property
    def from_ms(self) -> int:
        """The earliest moment this visit may have begun."""
        return self.scan.earliest_ms - self.before_ms

    @property
    def until_ms(self) -> int:
        """The latest moment this visit may have lasted to."""
        return self.scan.latest_ms + self.after_ms


@dataclass(frozen=True)
class Contact:
    """Another card's visit that overlaps one of the card's. The overlap lies within `from_ms` … `to_ms`."""

    visit: Visit
    other: Visit
    from_ms: int
    to_ms: int
    longest_ms: int
    certain: bool


def _later(a: Visit, b: Visit) -> tuple[int, int]:
    """How much later the scan of `b` was than that of `a`, at least and at most, in ms; negative: earlier."""
    if a.device_id == b.device_id and a.scan.boot == b.scan.boot and a.scan.decoded and b.scan.decoded:
        later = b.scan.decoded["uptime_ms"] - a.scan.decoded["uptime_ms"]
        drift = drift_ms(abs(later))
        return (max(later - drift, 0), later + drift) if later >= 0 else (later - drift, min(later + drift, 0))
    return b.scan.earliest_ms - a.scan.latest_ms, b.scan.latest_ms - a.scan.earliest_ms


def contact(visit: Visit, other: Visit) -> Contact | None:
    """How two visits to one checkpoint overlap, None if they cannot."""
    if visit.checkpoint != other.checkpoint:
        return None
    least, most = _later(visit, other)
    # They overlap while the other scan is not so much earlier, and not so much later, that one is over when the other begins.
    earliest, latest = -(visit.before_ms + other.after_ms), visit.after_ms + other.before_ms
    if least > latest or most < earliest:
        return None

    def overlap(later: int) -> int:
        return min(visit.after_ms, later + other.after_ms) - max(-visit.before_ms, later - other.before_ms)

    # Longest where the ends, or the beginnings, fall together, or at a bound; between these it only rises or only falls.
    turns = (visit.after_ms - other.after_ms, other.before_ms - visit.before_ms)
    longest = max(overlap(later) for later in (least, most, *(turn for turn in turns if least <= turn <= most)))
    start, end = max(visit.from_ms, other.from_ms), min(visit.until_ms, other.until_ms)
    return Contact(visit, other, start, end, longest, earliest <= least and most <= latest)


def _came_and_went(visits: Iterable[Visit], stay_ms: int) -> list[Visit]:
    """Visits of one board, in its order. An exit ends what the same card has begun here since it last went out; one that
    nobody saw begin lasted for the stay at most, and from the card's last moment on this board on."""
    found: list[Visit] = []
    entered: dict[tuple[int, bytes], list[int]] = {}
    last: dict[tuple[int, bytes], Visit] = {}
    for visit in visits:
        card = visit.packed
        before, last[card] = last.get(card), visit
        if not visit.out:
            entered.setdefault(card, []).append(len(found))
            found.append(visit)
            continue
        paired = False
        for index in entered.pop(card, []):
            least, most = _later(found[index], visit)
            same = found[index].checkpoint == visit.checkpoint
            if same and most <= LONGEST_VISIT_MS and most - least <= PAIRED_WITHIN_MS:
                found[index] = replace(found[index], after_ms=most)
                paired = True
        if not paired:
            since_ms = _later(before, visit)[1] if before is not None else stay_ms
            found.append(replace(visit, before_ms=min(stay_ms, since_ms), after_ms=0))
    return found


class Tracer:
    """Places boards' records once and finds visits in them. `stay_ms` is how long a person stays after the scan."""

    def __init__(self, store: Store, stay_ms: int) -> None:
        self._store = store
        self._stay_ms = stay_ms
        self._visits: dict[bytes, list[Visit]] = {}

    def visits_at(self, device_id: bytes) -> list[Visit]:
        """All visits that a board recorded: scans whose verdict lets the person in, or recorded a person inside."""
        if device_id not in self._visits:
            placed = place(self._store.rows(device_id))
            names = checkpoints(placed, self._store.assignments(device_id))
            scans = (
                Visit(device_id, name, record, 0, self._stay_ms)
                for record, name in zip(placed, names, strict=True)
                if record.decoded is not None
                and record.decoded["kind"] == records.SCAN
                and record.decoded["verdict"] in records.PRESENT_VERDICTS
            )
            self._visits[device_id] = _came_and_went(scans, self._stay_ms)
        return self._visits[device_id]

    def visits_of(
        self, card: str, scheme: int | None = None, from_ms: int | None = None, to_ms: int | None = None
    ) -> list[Visit]:
        """The visits of a card, in order of time; with limits, those that may lie between them in part."""
        forms = records.packed_forms(card)
        found = [
            visit
            for device_id in self._store.devices_with_card(forms)
            for visit in self.visits_at(device_id)
            if visit.packed[1] in forms
            and scheme in (None, visit.scheme)
            and (from_ms is None or visit.until_ms >= from_ms)
            and (to_ms is None or visit.from_ms <= to_ms)
        ]
        return sorted(found, key=lambda visit: (visit.scan.latest_ms, visit.scan.lsn))

    def contacts(self, visits: Sequence[Visit]) -> list[Contact]:
        """Other cards whose visits overlap these; for each visit and card the surest overlap, then the longest."""
        own = {visit.packed for visit in visits}
        places = {visit.checkpoint for visit in visits}
        best: dict[tuple[int, tuple[int, bytes]], Contact] = {}
        for other in self._others(places):
            if other.packed in own:
                continue
            for number, visit in enumerate(visits):
                found = contact(visit, other)
                known = best.get((number, other.packed))
                if found and (not known or (found.certain, found.longest_ms) > (known.certain, known.longest_ms)):
                    best[number, other.packed] = found
        return sorted(best.values(), key=lambda found: (found.visit.scan.latest_ms, not found.certain, found.from_ms))

    def missing(
        self, visits: Sequence[Visit], from_ms: int | None = None, to_ms: int | None = None
    ) -> list[tuple[bytes, gaps.Gap]]:
        """What the centre lacks of the times and places that an answer about these visits is about, as (board, gap): a
        record in it could have been another's visit. Without visits, of all places between the limits: it could have
        been this card's."""
        found = []
        for device_id in self._store.devices():
            for gap in gaps.missing(self._store, device_id).gaps:
                # What a person did then counts from the moment of the scan to the end of the stay.
                until = gap.latest_ms + self._stay_ms if gap.latest_ms else None
                if visits:
                    about = any(
                        visit.checkpoint in gap.checkpoints
                        and gap.earliest_ms <= visit.until_ms
                        and (until is None or until >= visit.from_ms)
                        for visit in visits
                    )
                else:
                    about = (to_ms is None or gap.earliest_ms <= to_ms) and (
                        from_ms is None or until is None or until >= from_ms
                    )
                if gap.loses and about:
                    found.append((device_id, gap))
        return sorted(found, key=lambda pair: pair[1].latest_ms)

    def _others(self, places: set[str]) -> Iterable[Visit]:
        for device_id in self._store.devices():
            if any(told.checkpoint in places for told in self._store.assignments(device_id)):
                yield from (visit for visit in self.visits_at(device_id) if visit.checkpoint in places)
