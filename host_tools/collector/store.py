"""The collector's store: devices and their keys, and all that was received, each thing once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from host_tools.collector import alive, vault
from host_tools.collector.opening import CUT_SHORT, NOT_PARSED, Opened, OpenedRow, Quarantined
from host_tools.collector.schema import connect
from host_tools.errors import UserError
from host_tools.formats import records
from host_tools.formats.keys import KEY_BYTES
from host_tools.formats.sector import SECTOR_BYTES
from host_tools.text import say

DEVICE_ID_BYTES = 8
# Epochs of a board that are tried on bytes which nothing in their request opens.
RECENT_EPOCHS = 8

# Kinds of report.
CLONE_BYTES = "clone: one name, two contents"
CLONE_OVERLAP = "clone: epochs overlap"
CLONE_GENERATION = "clone: an epoch in two generations"
CLONE_ALIVE = "clone: two boots alive at once"
CLONES = (CLONE_BYTES, CLONE_OVERLAP, CLONE_GENERATION, CLONE_ALIVE)
QUARANTINE = "quarantine"
UNKNOWN_COLLECTOR_KEY = "collector key not held"
REFUSED_EPOCH = "epoch key refused"


@dataclass(frozen=True)
class StoredRow:
    """A record as stored. `received_ms` is its first receipt."""

    epoch_public: bytes
    generation: int
    lsn: int
    plaintext: bytes
    received_ms: int

    @property
    def decoded(self) -> dict[str, Any] | None:
        """What the record says, None if it is kept raw."""
        return records.decode(self.plaintext)


@dataclass(frozen=True)
class Assignment:
    """A board's place from a time on. `marks` gives, for each generation known when it was told, the position up to
    which all was received then and so belongs to the place before."""

    checkpoint: str
    from_ms: int
    marks: dict[int, int]


class Store:
    """One connection to the database; use it in the thread that made it. The key that wraps device keys lies in a file
    beside the database and is made with the first device. Without `make` the database must be there already."""

    def __init__(self, path: Path | str, *, make: bool = True) -> None:
        self.path = Path(path)
        self.db = connect(self.path, make=make)

    def close(self) -> None:
        """Close the connection."""
        self.db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Devices and places

    def register_device(self, device_id: bytes, device_key: bytes, checkpoint: str, from_ms: int) -> None:
        """Take up a board: its 8-byte id, its 32-byte key, and the checkpoint it serves from `from_ms` on. Telling the
        same again changes nothing; another key for a known board is a UserError."""
        if len(device_id) != DEVICE_ID_BYTES or len(device_key) != KEY_BYTES:
            raise ValueError(f"a device id has {DEVICE_ID_BYTES} bytes and its key {KEY_BYTES}")
        known = self.device_key(device_id)
        if known is not None and known != device_key:
            raise UserError(
                say(f"thiết bị {device_id.hex()} đã có khoá khác", f"device {device_id.hex()} has another key already"),
                hint=say("kiểm tra tệp identity", "check the identity file"),
            )
        if known is not None:
            return
        empty = self.db.execute("SELECT 1 FROM devices LIMIT 1").fetchone() is None
        wrapped = vault.wrap(vault.wrapping_key(self.path, make=empty), device_id, device_key)
        self.db.execute("BEGIN IMMEDIATE")
        try:
            self.db.execute("INSERT INTO devices VALUES (?, ?, ?, NULL)", (device_id, wrapped, from_ms))
            self.db.execute(
                "INSERT INTO assignments (device_id, checkpoint, from_ms) VALUES (?, ?, ?)",
                (device_id, checkpoint, from_ms),
            )
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def device_key(self, device_id: bytes) -> bytes | None:
        """The key of a board, None if it is not known."""
        row = self.db.execute("SELECT wrapped_key FROM devices WHERE device_id = ?", (device_id,)).fetchone()
        return None if row is None else vault.unwrap(vault.wrapping_key(self.path, make=False), device_id, row[0])

    def devices(self) -> list[bytes]:
        """The ids of all boards."""
        return [row[0] for row in self.db.execute("SELECT device_id FROM devices ORDER BY device_id")]

    def assign(self, device_id: bytes, checkpoint: str, from_ms: int) -> None:
        """Move a board to another checkpoint from `from_ms` on; what it recorded before keeps its place (places.py)."""
        if device_id not in self.devices():
            raise UserError(
                say(f"không có thiết bị {device_id.hex()}", f"no device {device_id.hex()}"),
                hint=say("thêm bằng 'chot collector add-device'", "'chot collector add-device' adds it"),
            )
        self.db.execute("BEGIN IMMEDIATE")
        try:
            made = self.db.execute(
                "INSERT INTO assignments (device_id, checkpoint, from_ms) VALUES (?, ?, ?)",
                (device_id, checkpoint, from_ms),
            )
            self.db.execute(
                "INSERT INTO assignment_marks SELECT ?, generation, MAX(end_lsn) FROM spans WHERE device_id = ?"
                " GROUP BY generation",
                (made.lastrowid, device_id),
            )
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def assignments(self, device_id: bytes) -> list[Assignment]:
        """The places of a board, in the order it was told."""
        found = []
        told = self.db.execute(
            "SELECT id, checkpoint, from_ms FROM assignments WHERE device_id = ? ORDER BY id", (device_id,)
        )
        for key, checkpoint, from_ms in told.fetchall():
            marks = self.db.execute("SELECT generation, end_lsn FROM assignment_marks WHERE assignment = ?", (key,))
            found.append(Assignment(checkpoint, from_ms, dict(marks.fetchall())))
        return found

    # Taking in

    def begin(self) -> None:
        """Open the transaction that a batch of `ingest` calls goes into."""
        self.db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the batch durable: on return it is on the disk."""
        self.db.execute("COMMIT")

    def rollback(self) -> None:
        """Drop the batch, if one is open."""
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")

    def ingest(self, device_id: bytes, opened: Opened, received_ms: int) -> None:
        """Store what a request holds, inside a transaction: all of it or, on an exception, none of it."""
        self.db.execute("SAVEPOINT request")
        try:
            self.db.execute(
                "UPDATE devices SET last_seen_ms = MAX(COALESCE(last_seen_ms, 0), ?) WHERE device_id = ?",
                (received_ms, device_id),
            )
            touched = {self._put(device_id, row, received_ms) for row in opened.rows}
            for epoch in sorted(epoch for epoch in touched if epoch is not None):
                self._check_overlap(device_id, epoch, received_ms)
            for item in opened.quarantined:
                self._quarantine(device_id, item, received_ms)
            for span in opened.spans:
                self._cover(device_id, *span)
            if opened.heard is not None:
                for other in alive.note(self.db, device_id, opened.heard):
                    self._report_pair(device_id, CLONE_ALIVE, opened.heard.epoch_public, other, "", received_ms)
        except BaseException:
            self.db.execute("ROLLBACK TO request")
            self.db.execute("RELEASE request")
            raise
        self.db.execute("RELEASE request")

    def _put(self, device_id: bytes, row: OpenedRow, received_ms: int) -> int | None:
        """Store a record; returns its epoch if it is new there."""
        epoch, generation = self._epoch(device_id, row)
        if generation != row.generation:
            self._beside(device_id, row, received_ms, CLONE_GENERATION)
            return None
        decoded = records.decode(row.plaintext)
        kind = None if decoded is None else decoded["kind"]
        scan = decoded if kind == records.SCAN else None
        card = None if scan is None else records.packed_card(row.plaintext)
        added = self.db.execute(
            "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?)",
            (epoch, row.lsn, kind, card, row.plaintext, received_ms),
        )
        if added.rowcount == 0:
            stored = self.db.execute("SELECT plaintext FROM records WHERE epoch = ? AND lsn = ?", (epoch, row.lsn))
            if stored.fetchone()[0] != row.plaintext:
                self._beside(device_id, row, received_ms, CLONE_BYTES)
            return None
        self.db.execute(
            "UPDATE epochs SET first_lsn = MIN(first_lsn, ?), end_lsn = MAX(end_lsn, ?), records = records + 1,"
            " scans = scans + ?, not_cards = not_cards + ? WHERE id = ?",
            (
                row.lsn,
                row.end_lsn,
                scan is not None,
                scan is not None and scan["verdict"] == records.NOT_A_CARD,
                epoch,
            ),
        )
        if kind is not None:
            self.db.execute(
                "INSERT INTO latest VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (device_id, kind) DO UPDATE SET"
                " generation = excluded.generation, lsn = excluded.lsn, epoch = excluded.epoch,"
                " plaintext = excluded.plaintext"
                " WHERE excluded.generation != latest.generation OR excluded.lsn > latest.lsn",
                (device_id, kind, row.generation, row.lsn, epoch, row.plaintext),
            )
        return epoch

    def _epoch(self, device_id: bytes, row: OpenedRow) -> tuple[int, int]:
        find = "SELECT id, generation FROM epochs WHERE device_id = ? AND epoch_public = ?"
        found = self.db.execute(find, (device_id, row.epoch_public)).fetchone()
        if found is None:
            self.db.execute(
                "INSERT INTO epochs (device_id, epoch_public, generation, first_lsn, end_lsn) VALUES (?, ?, ?, ?, ?)",
                (device_id, row.epoch_public, row.generation, row.lsn, row.end_lsn),
            )
            found = self.db.execute(find, (device_id, row.epoch_public)).fetchone()
        return found[0], found[1]

    def _beside(self, device_id: bytes, row: OpenedRow, received_ms: int, kind: str) -> None:
        self.db.execute(
            "INSERT OR IGNORE INTO conflicts VALUES (?, ?, ?, ?, ?, ?)",
            (device_id, row.epoch_public, row.generation, row.lsn, row.plaintext, received_ms),
        )
        self.report(device_id, kind, f"{row.epoch_public.hex()[:16]} {row.generation:08x}:{row.lsn}", received_ms)

    def _check_overlap(self, device_id: bytes, epoch: int, received_ms: int) -> None:
        """Two epochs of a generation that overlap in position: two boards wrote on from the same flash."""
        others = self.db.execute(
            "SELECT mine.epoch_public, other.epoch_public, mine.generation FROM epochs mine JOIN epochs other"
            " ON other.device_id = mine.device_id AND other.generation = mine.generation AND other.id != mine.id"
            " AND other.first_lsn < mine.end_lsn AND other.end_lsn > mine.first_lsn WHERE mine.id = ?",
            (epoch,),
        )
        for mine, other, generation in others.fetchall():
            self._report_pair(device_id, CLONE_OVERLAP, mine, other, f" {generation:08x}", received_ms)

    def _report_pair(self, device_id: bytes, kind: str, one: bytes, other: bytes, where: str, at_ms: int) -> None:
        pair = " ".join(sorted((one.hex()[:16], other.hex()[:16])))
        self.report(device_id, kind, pair + where, at_ms)

    def _quarantine(self, device_id: bytes, item: Quarantined, received_ms: int) -> None:
        name = f"{item.generation}:{item.sequence}:{item.offset}:".encode()
        digest = hashlib.sha256(name + item.data).digest()
        added = self.db.execute(
            "INSERT OR IGNORE INTO quarantine"
            " (device_id, digest, generation, sequence, offset, epoch_public, data, reason, received_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                device_id,
                digest,
                item.generation,
                item.sequence,
                item.offset,
                item.epoch_public,
                item.data,
                item.reason,
                received_ms,
            ),
        )
        if added.rowcount:
            place = f" {item.generation:08x}:{item.sequence}+{item.offset}"
            # Every power cut leaves a torn end: one matter that counts, not one for each.
            where = "" if item.reason in (CUT_SHORT, NOT_PARSED) else place
            self.report(device_id, QUARANTINE, item.reason + where, received_ms)

    def _cover(self, device_id: bytes, generation: int, first_lsn: int, end_lsn: int) -> None:
        """Note that positions were received, joined with those of the same sector that touch them."""
        sector = first_lsn - first_lsn % SECTOR_BYTES
        where = "device_id = ? AND generation = ? AND first_lsn BETWEEN ? AND ? AND end_lsn >= ?"
        touching = (device_id, generation, sector, end_lsn, first_lsn)
        low, high = self.db.execute(
            f"SELECT MIN(first_lsn), MAX(end_lsn) FROM spans WHERE {where}", touching
        ).fetchone()
        if low is not None:
            self.db.execute(f"DELETE FROM spans WHERE {where}", touching)
            first_lsn, end_lsn = min(first_lsn, low), max(end_lsn, high)
        self.db.execute("INSERT INTO spans VALUES (?, ?, ?, ?)", (device_id, generation, first_lsn, end_lsn))

    def report(self, device_id: bytes, kind: str, detail: str, at_ms: int) -> None:
        """Note what somebody must look at; the same matter again only counts."""
        self.db.execute(
            "INSERT INTO reports (device_id, kind, detail, first_ms, last_ms) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (device_id, kind, detail) DO UPDATE SET times = times + 1, last_ms = excluded.last_ms",
            (device_id, kind, detail, at_ms, at_ms),
        )

    # Reading

    def rows(self, device_id: bytes) -> list[StoredRow]:
        """All records of a board, by generation and position."""
        found = self.db.execute(
            "SELECT epoch_public, generation, lsn, plaintext, received_ms FROM records JOIN epochs ON epochs.id = epoch"
            " WHERE device_id = ? ORDER BY generation, lsn, epoch",
            (device_id,),
        )
        return [StoredRow(*row) for row in found]

    def recent_epochs(self, device_id: bytes) -> list[bytes]:
        """The epochs of a board that were met last, the latest first."""
        found = self.db.execute(
            "SELECT epoch_public FROM epochs WHERE device_id = ? ORDER BY id DESC LIMIT ?", (device_id, RECENT_EPOCHS)
        )
        return [row[0] for row in found]

    def devices_with_card(self, cards: Iterable[bytes]) -> list[bytes]:
        """The boards at which one of these packed card ids was shown."""
        cards = list(cards)
        marks = ", ".join("?" * len(cards))
        found = self.db.execute(
            "SELECT DISTINCT device_id FROM records JOIN epochs ON epochs.id = epoch"
            f" WHERE card IN ({marks}) ORDER BY 1",
            cards,
        )
        return [row[0] for row in found]

    def reports(self, limit: int = -1) -> list[tuple[bytes, str, str, int, int, int]]:
        """What somebody must look at, the latest first: (device id, kind, detail, first ms, last ms, times)."""
        return self.db.execute(
            "SELECT device_id, kind, detail, first_ms, last_ms, times FROM reports"
            " ORDER BY last_ms DESC, id DESC LIMIT ?",
            (limit,),
        ).fetchall()

    def log_trace(
        self,
        at_ms: int,
        who: str,
        card: str,
        scheme: int | None,
        stay_ms: int,
        from_ms: int | None,
        to_ms: int | None,
    ) -> None:
        """Note who asked where a card had been; durable on return."""
        self.db.execute(
            "INSERT INTO trace_log (at_ms, who, card, scheme, stay_ms, from_ms, to_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (at_ms, who, card, scheme, stay_ms, from_ms, to_ms),
        )
