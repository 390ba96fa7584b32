"""Opens a dumped journal as if the board had sent it, says what it holds, and stores what the collector does not have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from host_tools.collector.opening import CUT_SHORT, DAMAGED_SECTOR, Opened, OpenedRow, Quarantined, open_request
from host_tools.collector.store import CLONES, Store, StoredRow
from host_tools.collector.timeline import place
from host_tools.formats import records
from host_tools.formats.keys import KeysFor
from host_tools.formats.sector import (
    HEADER_BYTES,
    SECTOR_BYTES,
    Header,
    is_sealed,
    parse_header,
    programmed_end,
    repair_header,
)
from host_tools.formats.wire import Piece, Request

KIND_NAMES = {
    records.BOOT: "BOOT",
    records.CLOCK: "CLOCK",
    records.SCAN: "SCAN",
    records.DOOR: "DOOR",
    records.INCIDENT: "INCIDENT",
    records.HEALTH: "HEALTH",
    records.NOTE: "NOTE",
    records.CHANGE: "CHANGE",
}
RAW_KIND = "raw"
# What became of bytes that did not open.
TORN, DAMAGED, FOREIGN = "torn", "damaged", "foreign"
# Headers looked at on either side of a damaged sector for the key that was in force in it.
_NEARBY = 4


@dataclass
class EpochFound:
    """One epoch in a dump. Positions are lsn, times UTC in ms, None where no clock of the boot says; `cause` and
    `version` are None where its BOOT record is not in the dump."""

    epoch_public: bytes
    generation: int
    first_lsn: int
    end_lsn: int
    cause: int | None = None
    version: str | None = None
    earliest_ms: int | None = None
    latest_ms: int | None = None
    kinds: Counter[str] = field(default_factory=Counter)
    released_bytes: int = 0
    unreleased_bytes: int = 0


@dataclass(frozen=True)
class Stretch:
    """Bytes that did not open: their address in the journal, how many, and what they are (TORN, DAMAGED, FOREIGN)."""

    address: int
    length: int
    what: str


@dataclass
class Found:
    """What a journal holds, ready to be stored; `sectors` counts them by state."""

    opened: Opened
    epochs: list[EpochFound]
    stretches: list[Stretch]
    sectors: Counter[str]

    def unread_bytes(self, what: str) -> int:
        """How many bytes are TORN, DAMAGED or FOREIGN."""
        return sum(stretch.length for stretch in self.stretches if stretch.what == what)


@dataclass(frozen=True)
class Imported:
    """What an import added; `clones` are the (kind, detail) of reports that speak of a clone or a restored flash."""

    records: int = 0
    beside: int = 0
    quarantined: int = 0
    clones: tuple[tuple[str, str], ...] = ()

    @property
    def nothing(self) -> bool:
        """True if the collector had everything."""
        return not (self.records or self.beside or self.quarantined)


def device_ids(journal: bytes) -> list[bytes]:
    """The device ids that the sector headers name, the most frequent first."""
    headers = (repair_header(journal[at : at + HEADER_BYTES]) for at in range(0, len(journal), SECTOR_BYTES))
    return [device_id for device_id, _ in Counter(h.device_id for h in headers if h is not None).most_common()]


class _Ring:
    """The sectors as the board's own recovery sees them: a header counts only where its sequence belongs."""

    def __init__(self, journal: bytes) -> None:
        self.sectors = [journal[at : at + SECTOR_BYTES] for at in range(0, len(journal), SECTOR_BYTES)]
        self.headers: dict[int, Header] = {}
        for index, sector in enumerate(self.sectors):
            header = parse_header(sector)
            if header is not None and (header.sequence - 1) % len(self.sectors) == index:
                self.headers[index] = header
        # The last generation is the one in use.
        highest: dict[int, int] = {}
        for header in self.headers.values():
            highest[header.generation] = max(highest.get(header.generation, 0), header.sequence)
        self.generations = sorted(highest, key=lambda generation: highest[generation])

    def index(self, sequence: int) -> int:
        return (sequence - 1) % len(self.sectors)

    def damaged(self) -> list[int]:
        """Sectors whose header does not check but that hold data."""
        found = (index for index in range(len(self.sectors)) if index not in self.headers)
        return [index for index in found if programmed_end(self.sectors[index]) > HEADER_BYTES]

    def nearby(self, index: int) -> list[Header]:
        """The headers around a sector, the nearest first."""
        steps = (at % len(self.sectors) for step in range(1, _NEARBY + 1) for at in (index - step, index + step))
        return [self.headers[at] for at in dict.fromkeys(steps) if at in self.headers]

    def likely_headers(self, index: int, device_id: bytes) -> Iterator[Header]:
        """The headers that a sector must have had if it was opened in step with the nearest sector before or after."""
        count = len(self.sectors)
        for direction in (-1, 1):
            for distance in range(1, count if self.headers else 0):
                near = self.headers.get((index + direction * distance) % count)
                if near is not None:
                    sequence = near.sequence - direction * distance
                    # A neighbour across the end of the ring: the sequence must still belong to this sector.
                    if sequence > 0 and self.index(sequence) == index:
                        yield Header(near.generation, sequence, device_id, near.epoch_public)
                    break


def _open(pieces: Sequence[Piece], device_id: bytes, epoch: bytes, keys_for: KeysFor, known: Sequence[bytes]) -> Opened:
    """Open pieces as the collector opens those of a request."""
    return open_request(Request(device_id, b"", epoch, b"", tuple(pieces)), keys_for, known)


def _open_damaged(
    ring: _Ring, index: int, device_id: bytes, keys_for: KeysFor, last_keys: dict[int, bytes], known: Sequence[bytes]
) -> Opened:
    """Open what a damaged sector holds, by its own header or the one that its neighbours say it had."""
    sector = ring.sectors[index]
    generation = ring.generations[-1] if ring.generations else 0
    before = last_keys.get((index - 1) % len(ring.sectors))
    near = [header.epoch_public for header in ring.nearby(index)]
    keys = list(dict.fromkeys([*([before] if before else []), *near, *known]))
    epoch = keys[0] if keys else bytes(32)
    plain = _open([Piece(generation, 0, bytes(32), 0, sector)], device_id, epoch, keys_for, keys)
    if plain.rows or repair_header(sector) is not None:
        return plain
    for header in dict.fromkeys(ring.likely_headers(index, device_id)):
        mended = header.pack() + sector[HEADER_BYTES:]
        opened = _open([Piece(generation, 0, bytes(32), 0, mended)], device_id, epoch, keys_for, keys)
        if opened.rows:
            # Kept is what the flash held, not what stood in for it.
            opened.quarantined = [replace(item, data=sector) for item in opened.quarantined]
            return opened
    return plain


def read(
    journal: bytes, device_id: bytes, keys_for: KeysFor, *, now_ms: int, known_epochs: Sequence[bytes] = ()
) -> Found:
    """Open a whole journal partition of the board `device_id`. `known_epochs` are epochs that the collector knows of the
    board; `now_ms` bounds records whose boot never learned the time. Raises ValueError unless it is whole sectors."""
    if not journal or len(journal) % SECTOR_BYTES:
        raise ValueError(f"a journal partition is whole sectors of {SECTOR_BYTES} bytes, not {len(journal)} bytes")
    ring = _Ring(journal)
    opened = Opened()
    last_keys: dict[int, bytes] = {}
    for generation in ring.generations:
        headers = sorted((h for h in ring.headers.values() if h.generation == generation), key=lambda h: h.sequence)
        pieces = []
        for header in headers:
            data = ring.sectors[ring.index(header.sequence)]
            data = data[HEADER_BYTES : programmed_end(data)]
            if data:
                pieces.append(Piece(generation, header.sequence, header.epoch_public, HEADER_BYTES, data))
        part = _open(pieces, device_id, headers[-1].epoch_public, keys_for, known_epochs)
        for row in part.rows:
            last_keys[ring.index(row.lsn // SECTOR_BYTES)] = row.epoch_public
        _join(opened, part)
    damaged = ring.damaged()
    for index in damaged:
        part = _open_damaged(ring, index, device_id, keys_for, last_keys, known_epochs)
        for row in part.rows:
            last_keys[index] = row.epoch_public
        _join(opened, part)
    return Found(opened, _epochs(ring, opened.rows, now_ms), _stretches(ring, opened, device_id), _states(ring))


def _join(opened: Opened, part: Opened) -> None:
    opened.rows += part.rows
    opened.quarantined += part.quarantined
    opened.spans += part.spans


def _states(ring: _Ring) -> Counter[str]:
    """How many sectors are released, unreleased, damaged, blank, or have only a torn header."""
    states: Counter[str] = Counter()
    damaged = set(ring.damaged())
    for index, sector in enumerate(ring.sectors):
        header = ring.headers.get(index)
        if header is not None:
            states["released" if header.released else "unreleased"] += 1
        elif index in damaged:
            states[DAMAGED] += 1
        else:
            states[TORN if programmed_end(sector) else "blank"] += 1
    return states


def _epochs(ring: _Ring, rows: Sequence[OpenedRow], now_ms: int) -> list[EpochFound]:
    sizes = {(row.epoch_public, row.generation, row.lsn): row.end_lsn - row.lsn for row in rows}
    placed = place(StoredRow(row.epoch_public, row.generation, row.lsn, row.plaintext, now_ms) for row in rows)
    found: dict[tuple[bytes, int], EpochFound] = {}
    for row in placed:
        size = sizes[row.epoch_public, row.generation, row.lsn]
        name = (row.epoch_public, row.generation)
        epoch = found.setdefault(name, EpochFound(*name, row.lsn, row.lsn))
        epoch.end_lsn = row.lsn + size
        said = row.decoded
        epoch.kinds[RAW_KIND if said is None else KIND_NAMES[said["kind"]]] += 1
        if said is not None and said["kind"] == records.BOOT:
            epoch.cause, epoch.version = said["cause"], said["version"]
        if row.timed:
            epoch.earliest_ms = min(row.earliest_ms, row.earliest_ms if epoch.earliest_ms is None else epoch.earliest_ms)
            epoch.latest_ms = max(row.latest_ms, epoch.latest_ms or row.latest_ms)
        header = ring.headers.get(ring.index(row.lsn // SECTOR_BYTES))
        if header is not None and header.released:
            epoch.released_bytes += size
        else:
            epoch.unreleased_bytes += size
    order = {generation: number for number, generation in enumerate(ring.generations)}
    return sorted(found.values(), key=lambda epoch: (order.get(epoch.generation, -1), epoch.first_lsn))


def _stretches(ring: _Ring, opened: Opened, device_id: bytes) -> list[Stretch]:
    """Where bytes did not open, and why as far as it shows."""
    found = []
    in_damaged: Counter[int] = Counter()
    damaged = ring.damaged()
    for row in opened.rows:
        in_damaged[ring.index(row.lsn // SECTOR_BYTES)] += row.end_lsn - row.lsn
    for index in damaged:
        lost = programmed_end(ring.sectors[index]) - in_damaged[index]
        found.append(Stretch(index * SECTOR_BYTES, lost, DAMAGED))
    for item in opened.quarantined:
        if item.reason == DAMAGED_SECTOR:
            continue
        index = ring.index(item.sequence)
        stranger = ring.headers[index].device_id != device_id
        if stranger or (item.reason != CUT_SHORT and is_sealed(item.data)):
            what = FOREIGN
        else:
            what = TORN if item.reason == CUT_SHORT else DAMAGED
        found.append(Stretch(index * SECTOR_BYTES + item.offset, len(item.data), what))
    for index, sector in enumerate(ring.sectors):
        if index not in ring.headers and 0 < (end := programmed_end(sector)) <= HEADER_BYTES:
            found.append(Stretch(index * SECTOR_BYTES, end, TORN))
    return sorted(found, key=lambda stretch: stretch.address)


# Taking in


def bring_in(store: Store, device_id: bytes, opened: Opened, now_ms: int) -> Imported:
    """Store what the collector does not have of a registered board, all of it or nothing, as received at `now_ms`;
    what it has already changes nothing. Raises sqlite3.Error."""
    store.begin()
    try:
        before = _counts(store, device_id)
        reported = _clones(store, device_id)
        new = _unknown(store, device_id, opened)
        if new.rows or new.quarantined or new.spans:
            seen = store.db.execute("SELECT last_seen_ms FROM devices WHERE device_id = ?", (device_id,)).fetchone()
            store.ingest(device_id, new, now_ms)
            # The board itself was not heard: a dump is no sign of life.
            store.db.execute("UPDATE devices SET last_seen_ms = ? WHERE device_id = ?", (*seen, device_id))
        rows, beside, quarantined = (
            now - then for now, then in zip(_counts(store, device_id), before, strict=True)
        )
        clones = tuple(sorted(_clones(store, device_id) - reported))
        store.commit()
    except BaseException:
        store.rollback()
        raise
    return Imported(rows, beside, quarantined, clones)


def _counts(store: Store, device_id: bytes) -> list[int]:
    """How many records, conflicts and quarantined stretches of a board are stored."""
    return [
        int(store.db.execute(query, (device_id,)).fetchone()[0])
        for query in (
            "SELECT COALESCE(SUM(records), 0) FROM epochs WHERE device_id = ?",
            "SELECT COUNT(*) FROM conflicts WHERE device_id = ?",
            "SELECT COUNT(*) FROM quarantine WHERE device_id = ?",
        )
    ]


def _clones(store: Store, device_id: bytes) -> set[tuple[str, str]]:
    found = store.db.execute("SELECT kind, detail FROM reports WHERE device_id = ?", (device_id,))
    return {(kind, detail) for kind, detail in found if kind in CLONES}


def _unknown(store: Store, device_id: bytes, opened: Opened) -> Opened:
    """What of this is not stored yet: a repeat must not even count in a report."""
    stored = "SELECT 1 FROM records JOIN epochs ON epochs.id = epoch WHERE device_id = ? AND epoch_public = ?"
    kept = "SELECT 1 FROM conflicts WHERE device_id = ? AND epoch_public = ?"
    same = " AND generation = ? AND lsn = ? AND plaintext = ?"

    def known(row: OpenedRow) -> bool:
        name = (device_id, row.epoch_public, row.generation, row.lsn, row.plaintext)
        return any(store.db.execute(query + same, name).fetchone() for query in (stored, kept))

    covering = "SELECT 1 FROM spans WHERE device_id = ? AND generation = ? AND first_lsn <= ? AND end_lsn >= ?"
    sectors = "SELECT data FROM quarantine WHERE device_id = ? AND LENGTH(data) = ?"
    held = {data for (data,) in store.db.execute(sectors, (device_id, SECTOR_BYTES))}

    def quarantined(item: Quarantined) -> bool:
        # A damaged sector that came over the wire may stand under another number, its own being lost. What else is in
        # quarantine has a place, by which the store knows it again.
        return item.reason == DAMAGED_SECTOR and item.data in held

    return Opened(
        [row for row in opened.rows if not known(row)],
        [item for item in opened.quarantined if not quarantined(item)],
        [span for span in opened.spans if store.db.execute(covering, (device_id, *span)).fetchone() is None],
    )
