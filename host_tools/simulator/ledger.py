"""The ledger of a soak: what was programmed and what beeped, written down as it happens, and compared at the end."""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from host_tools.formats.keys import KeyRing
from host_tools.formats.records import CLOCK, SCAN
from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES, Header, Row, parse_header, read_journal, walk_frames
from host_tools.simulator.checkpoint import Beep, Checkpoint, Read
from host_tools.simulator.flash import Operation
from host_tools.simulator.judge import KEPT_SIGNALS, LOST_SIGNALS, REPEAT_SLACK_US, Card, card_of
from host_tools.simulator.scenario import DEFAULT_CONFIG, Soak

# A code is answered within so long, or not at all.
_ANSWERED_US = 1_500_000
# Rows that wait in memory before they go into the ledger's file.
_ROWS_AT_ONCE = 1000
_MOST_PROBLEMS = 100

_TABLE = """
CREATE TABLE rows (epoch_public BLOB, lsn INTEGER, plaintext BLOB, scan INTEGER, beeped INTEGER,
                   PRIMARY KEY (epoch_public, lsn)) WITHOUT ROWID;
"""
# The collector's records of one board, in the ledger's own columns.
_AT_COLLECTOR = """
CREATE TEMP VIEW collected AS SELECT epoch_public, lsn, plaintext, kind, generation
FROM centre.records JOIN centre.epochs ON epochs.id = epoch WHERE device_id = x'{device}';
"""


@dataclass
class _Programmed:
    """A record of a scan that has been programmed whole, and has not been signalled yet."""

    at_us: int
    boot: int
    row: Row
    card: Card


@dataclass
class Comparison:
    """What came of comparing the ledger with the collector, record by record: epoch key, lsn and plaintext."""

    beeped: int = 0  # records that were beeped
    collected: int = 0  # scans at the collector
    records: int = 0  # records of every kind at the collector
    lost: int = 0  # beeped, and not there or not the same
    missing: int = (
        0  # other records that were programmed, that the board does not hold for sending, and that are not there
    )
    different: int = 0  # one name, two contents
    strange: int = 0  # at the collector, but never programmed, not even torn by a power cut


class Ledger:
    """Follows one checkpoint. `sweep()` takes over what the checkpoint's log holds and lets the log forget it, so that
    a run of any length stays small; the records themselves lie in a file in the checkpoint's directory."""

    def __init__(self, checkpoint: Checkpoint, soak: Soak, day_us: int, days: int) -> None:
        self.checkpoint = checkpoint
        self._soak = soak
        self._day_us = day_us
        self._days = days  # what comes after them is not another day
        self._keys = KeyRing(checkpoint.keys.device_key, [checkpoint.keys.collector_private])
        self._path = checkpoint.directory / "ledger.db"
        self._database = sqlite3.connect(self._path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.executescript(_TABLE)
        self._rows: list[tuple[bytes, int, bytes, bool, bool]] = []
        # By sector of the flash: its header, and the epoch in force at the append position.
        self._sectors: dict[int, tuple[Header, bytes]] = {}
        self._unsignalled: deque[_Programmed] = deque()
        self._torn: list[tuple[int, int, int]] = []  # generation, first lsn, end lsn
        self._recorded_us: dict[tuple[int, Card | None], int] = {}
        self._scans_of_boot: Counter[int] = Counter()
        self._answered_boots: set[int] = set()  # they have written the time that the centre told them
        window_s = {**DEFAULT_CONFIG, **checkpoint.plan.config}["repeat_window_s"]
        self._repeat_us = int(window_s) * 1_000_000 + REPEAT_SLACK_US
        # (boot, day) -> the least that lived on the heap after a collection.
        self.heap: dict[tuple[int, int], int] = {}
        self.shown = self.read = self.unanswered = self.unbeeped = self.torn_programs = self.torn_erases = 0
        self.signals: Counter[str] = Counter()
        self.latencies_ms: Counter[int] = Counter()
        self.worst_latency_us = 0
        self.problems: list[str] = []
        checkpoint.board.on_flash = self._programmed
        checkpoint.flash.on_torn = self._was_torn
        checkpoint.board.on_collected = self._collected

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    @property
    def beeped(self) -> int:
        """Signals so far that promise a record."""
        return sum(self.signals[name] for name in KEPT_SIGNALS)

    def note(self, problem: str) -> None:
        """Something that must not be."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(problem)

    # As it happens.

    def _collected(self, live_bytes: int) -> None:
        boot, day = self.checkpoint.board.boots, self.checkpoint.now_us // self._day_us
        if boot in self._answered_boots and self._scans_of_boot[boot] >= self._soak.warm_scans and day < self._days:
            key = boot, day
            self.heap[key] = min(self.heap.get(key, live_bytes), live_bytes)

    def _sector(self, sector: int) -> tuple[Header, bytes] | None:
        known = self._sectors.get(sector)
        if known is None:
            header = parse_header(self.checkpoint.flash.cells(sector * SECTOR_BYTES, HEADER_BYTES))
            if header is None:
                return None
            known = self._sectors[sector] = header, header.epoch_public
        return known

    def _programmed(self, address: int, size: int, erase: bool) -> None:
        """A flash operation of the board has ended: what is in the cells now is opened with the board's keys."""
        offset, partition_bytes = self.checkpoint.journal
        if not offset <= address < offset + partition_bytes:
            return
        sector, at = divmod(address, SECTOR_BYTES)
        if erase or at < HEADER_BYTES:
            self._sectors.pop(sector, None)
            return
        known = self._sector(sector)
        if known is None:
            self.note(f"programmed at {address:#x}, in a sector without a header")
            return
        header, epoch_public = known
        walk = walk_frames(
            self.checkpoint.flash.cells(address, size),
            generation=header.generation,
            sequence=header.sequence,
            offset=at,
            epoch_public=epoch_public,
            keys_for=self._keys,
            others=(header.epoch_public,),
        )
        if walk.unread:
            self.note(f"programmed at {address:#x}, but it does not open")
        boot = self.checkpoint.board.boots
        for frame in walk.frames:
            self._sectors[sector] = header, frame.epoch_public
            if frame.plaintext is None:
                continue
            lsn = header.sequence * SECTOR_BYTES + frame.offset
            row = Row(frame.epoch_public, lsn, frame.plaintext, header.generation, False)
            card = card_of(row)
            if card is None:
                self._write(row, beeped=False)
                decoded = row.decoded
                if decoded is not None and decoded["kind"] == CLOCK:
                    self._answered_boots.add(boot)
            else:
                self._scans_of_boot[boot] += 1
                self._unsignalled.append(_Programmed(self.checkpoint.now_us, boot, row, card))

    def _was_torn(self, operation: Operation) -> None:
        if operation.data is None:
            self.torn_erases += 1
            return
        self.torn_programs += 1
        sector, at = divmod(operation.address, SECTOR_BYTES)
        known = self._sector(sector)
        if known is not None and at >= HEADER_BYTES:
            lsn = known[0].sequence * SECTOR_BYTES + at
            self._torn.append((known[0].generation, lsn, lsn + operation.size))

    def _write(self, row: Row, *, beeped: bool) -> None:
        self._rows.append((row.epoch_public, row.lsn, row.plaintext, card_of(row) is not None, beeped))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        self._database.execute("BEGIN")
        try:
            self._database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", self._rows)
        except sqlite3.IntegrityError:
            self.note("a position was sealed twice under one key")
        self._database.execute("COMMIT")
        self._rows.clear()

    # Now and then.

    def sweep(self) -> None:
        """Take over what the checkpoint's log holds by now."""
        log = self.checkpoint.log
        self.shown += len(log.shown)
        log.shown.clear()
        for beep in log.beeps:
            self._take_beep(beep)
        log.beeps.clear()
        settled_us = self.checkpoint.now_us - _ANSWERED_US
        ends = {down.boot: down.at_us for down in log.downs}
        while log.reads and log.reads[0].at_us < settled_us:
            self._take_read(log.reads.pop(0), ends)

    def _take_read(self, read: Read, ends: dict[int, int]) -> None:
        self.read += 1
        if read.signal is None:
            ended_us = ends.get(read.boot)
            if read.ready and (ended_us is None or ended_us > read.at_us + _ANSWERED_US):
                self.unanswered += 1
        elif read.signal.name not in LOST_SIGNALS:
            latency_us = read.signal.at_us - read.at_us
            self.latencies_ms[latency_us // 1000] += 1
            self.worst_latency_us = max(self.worst_latency_us, latency_us)

    def _take_beep(self, beep: Beep) -> None:
        signal, shown = beep.signal, beep.read.showing if beep.read is not None else None
        self.signals[signal.name] += 1
        at = f"'{signal.name}' at {signal.at_us / 1e6:.3f} s"
        card: Card | None = None
        if shown is not None and shown.scheme is not None and shown.card is not None:
            card = shown.scheme, shown.card
        if signal.name == "repeat":
            recorded_us = self._recorded_us.get((signal.boot, card))
            if recorded_us is None or signal.at_us - recorded_us > self._repeat_us:
                self.note(f"{at}, but that card was not recorded before")
        elif signal.name in KEPT_SIGNALS:
            programmed = self._answered(signal.at_us, signal.boot)
            if programmed is None:
                self.note(f"{at}, but nothing had been programmed for it")
                return
            if programmed.card != card:
                self.note(f"{at}: programmed was {programmed.card}, shown was {card}")
            self._write(programmed.row, beeped=True)
            if len(self._recorded_us) >= _ROWS_AT_ONCE:
                self._recorded_us = {key: us for key, us in self._recorded_us.items() if key[0] == signal.boot}
            self._recorded_us[signal.boot, card] = signal.at_us

    def _answered(self, at_us: int, boot: int) -> _Programmed | None:
        """The record that a signal of `boot` stands for: the last one programmed before it. Those before that one were
        never signalled, which only a power cut excuses."""
        found = None
        while self._unsignalled and self._unsignalled[0].at_us <= at_us:
            if found is not None:
                self._never_signalled(found, boot)
            found = self._unsignalled.popleft()
        if found is not None and found.boot != boot:
            self._never_signalled(found, boot)
            return None
        return found

    def _never_signalled(self, programmed: _Programmed, boot: int) -> None:
        self.unbeeped += 1
        self._write(programmed.row, beeped=False)
        if programmed.boot == boot:
            self.note(f"recorded at {programmed.at_us / 1e6:.3f} s, but never signalled")

    # At the end.

    def compare(self, database: Path) -> Comparison:
        """Everything programmed against everything at the collector."""
        self.sweep()
        board = self.checkpoint.board.boots
        while self._unsignalled:
            self._never_signalled(self._unsignalled.popleft(), board)
        self._flush()
        keys = self.checkpoint.keys
        image = self.checkpoint.journal_image()
        unsent = {
            (row.epoch_public, row.lsn)
            for row in read_journal(image, keys.device_key, keys.collector_private)
            if not row.released
        }
        result = Comparison()
        ours = self._database
        ours.execute("ATTACH ? AS centre", (str(database),))
        ours.executescript(_AT_COLLECTOR.format(device=keys.device_id.hex()))
        result.beeped = ours.execute("SELECT count(*) FROM rows WHERE beeped").fetchone()[0]
        result.records = ours.execute("SELECT count(*) FROM collected").fetchone()[0]
        result.collected = ours.execute("SELECT count(*) FROM collected WHERE kind = ?", (SCAN,)).fetchone()[0]
        with closing(
            ours.execute(
                "SELECT rows.epoch_public, rows.lsn, beeped, collected.plaintext IS NULL FROM rows LEFT JOIN collected"
                " USING (epoch_public, lsn) WHERE collected.plaintext IS NOT rows.plaintext"
            )
        ) as wrong:
            for epoch_public, lsn, beeped, absent in wrong:
                if beeped:
                    result.lost += 1
                    self.note(f"beeped but not at the collector: record {lsn}")
                elif not absent:
                    result.different += 1
                    self.note(f"flash and collector disagree about record {lsn}")
                elif (epoch_public, lsn) not in unsent:
                    result.missing += 1
                    self.note(f"programmed but not at the collector: record {lsn}")
        with closing(
            ours.execute(
                "SELECT generation, collected.lsn FROM collected LEFT JOIN rows USING (epoch_public, lsn)"
                " WHERE rows.lsn IS NULL"
            )
        ) as extra:
            for generation, lsn in extra:
                if not any(of == generation and first <= lsn < end for of, first, end in self._torn):
                    result.strange += 1
                    self.note(f"at the collector but never programmed: record {lsn}")
        return result
