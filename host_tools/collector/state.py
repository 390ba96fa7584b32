"""What the page shows: scans by checkpoint and the state of each board. No card id leaves through it."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host_tools.collector import gaps
from host_tools.collector.opening import CUT_SHORT
from host_tools.collector.places import checkpoints
from host_tools.collector.schema import UNSCANNED, WAVED_IN
from host_tools.collector.store import CLONES, Store, StoredRow
from host_tools.collector.timeline import Placed, place
from host_tools.formats import records
from host_tools.formats.sector import SECTOR_BYTES

LAST_MINUTE_MS = 60_000
DAY_MS = 86_400_000
# More power-ups a day than this need no exact figure.
BOOTS_LOOKED_AT = 100
# Records looked at for what happened lately; a door sees fewer people than that in a minute.
RECENT_RECORDS = 400
RECENT_EPOCHS = 3
# How often the boards' records are looked at again; every reader in between gets the same answer.
REFRESH_S = 0.5
# Gaps told one by one, the latest first; the counts of the boards are of all.
GAPS_TOLD = 100
HEALTH_NAMES = {
    1: "heap_free_bytes",
    2: "sectors_unreleased",
    3: "sectors_lost",
    4: "sectors_unusable",
    5: "link",
    6: "rssi_dbm",
    7: "supply_mv",
    8: "temperature_decidegrees",
    9: "scans_since_boot",
    10: "reads_dropped",
    11: "uplink_failures",
    12: "longest_loop_ms",
    13: "longest_verdict_ms",
    14: "scan_module_state",
    15: "clock_drift_tenth_ppm",
    16: "journal_fill_percent",
    17: "scan_module_losses",
    18: "cards_not_readable",
    19: "people_inside",
    20: "exit_module_state",
    21: "notes_let_go",
    40: "passages",
    41: "passages_without_scan",
    42: "beam_flickers",
    43: "door_records_lost",
}


# Of a checkpoint; the last one is counted anew for each state.
_COUNTS = ("scans", "not_cards", "unscanned", "waved_in", "last_minute")


@dataclass
class _Share:
    """What one board adds to one checkpoint."""

    scans: int
    not_cards: int
    unscanned: int  # passages without a scan
    waved_in: int  # let in by a guard without a card
    recent: deque[Placed]


@dataclass
class _Board:
    version: tuple[int, int]
    shares: dict[str, _Share]
    clock_known: bool


def gap_json(device_id: bytes, gap: gaps.Gap) -> dict[str, Any]:
    """A gap of a board's journal for machines; times are UTC in ms, `earliest` 0 where nothing is known before it."""
    return {
        "device": device_id.hex(),
        "checkpoints": list(gap.checkpoints),
        "generation": f"{gap.generation:08x}",
        "first_sector": gap.first,
        "first_offset": gap.offset,
        "last_sector": gap.last,
        "end_offset": gap.end,
        "cause": gap.cause,
        "earliest": gap.earliest_ms,
        "latest": gap.latest_ms,
        "records": gap.records,
    }


class StateView:
    """Makes the state out of the database; asks it again only about boards that sent something. One thread."""

    def __init__(self, database: Path, clock_ms: Callable[[], int]) -> None:
        self._store = Store(database)
        self._clock_ms = clock_ms
        self._boards: dict[bytes, _Board] = {}
        self._missing: dict[bytes, tuple[tuple[Any, ...], gaps.Missing]] = {}
        # What is missing of the journals as the last state told it, the latest first.
        self.lost: list[tuple[bytes, gaps.Gap]] = []
        self._made_s: float | None = None
        self._made = b""

    def close(self) -> None:
        """Close the database connection."""
        self._store.close()

    def json(self) -> bytes:
        """The state as JSON bytes, at most half a second old."""
        now = time.monotonic()
        if self._made_s is None or now - self._made_s >= REFRESH_S:
            self._made = json.dumps(self.state(), ensure_ascii=False, separators=(",", ":")).encode()
            self._made_s = now
        return self._made

    def state(self) -> dict[str, Any]:
        """The state: `now`, `checkpoints`, `boards`, `missing`, `reports`; times are UTC in ms."""
        now = self._clock_ms()
        boards: list[dict[str, Any]] = []
        places: dict[str, dict[str, Any]] = {}
        lost: list[tuple[bytes, gaps.Gap]] = []
        for device_id in self._store.devices():
            board = self._board(device_id)
            for name, share in board.shares.items():
                entry = places.setdefault(name, dict.fromkeys(_COUNTS, 0) | {"checkpoint": name})
                for count in _COUNTS[:-1]:
                    entry[count] += getattr(share, count)
                entry["last_minute"] += sum(scan.earliest_ms >= now - LAST_MINUTE_MS for scan in share.recent)
                last = max(share.recent, key=lambda scan: (scan.latest_ms, scan.earliest_ms), default=None)
                if last is not None and last.latest_ms >= entry.get("last_latest", 0):
                    entry["last_earliest"], entry["last_latest"] = last.earliest_ms, last.latest_ms
            lacks = self._lacks(device_id, board)
            lost += [(device_id, gap) for gap in lacks.gaps if gap.loses]
            boards.append(self._describe(device_id, board, lacks))
        self.lost = sorted(lost, key=lambda pair: pair[1].latest_ms, reverse=True)[:GAPS_TOLD]
        matters = [
            {"device": device.hex(), "kind": kind, "detail": detail, "last": last_ms, "times": times}
            for device, kind, detail, _, last_ms, times in self._store.reports(20)
        ]
        return {
            "now": now,
            "checkpoints": list(places.values()),
            "boards": boards,
            "missing": [gap_json(device_id, gap) for device_id, gap in self.lost],
            "reports": matters,
        }

    def _lacks(self, device_id: bytes, board: _Board) -> gaps.Missing:
        """What a board's journal lacks; looked at again when a sector came or went, and while something is undecided."""
        shape = self._store.db.execute(
            "SELECT COUNT(*), COUNT(DISTINCT first_lsn / ?1), MAX(first_lsn) / ?1 FROM spans WHERE device_id = ?2"
            " GROUP BY generation",
            (SECTOR_BYTES, device_id),
        ).fetchall()
        known = self._missing.get(device_id)
        if known is None or known[0][:2] != (shape, board.version[1]) or not (
            known[1].settled or known[0][2] == board.version[0]
        ):
            known = (shape, board.version[1], board.version[0]), gaps.missing(self._store, device_id)
            self._missing[device_id] = known
        return known[1]

    def _describe(self, device_id: bytes, board: _Board, lacks: gaps.Missing) -> dict[str, Any]:
        latest = dict(
            self._store.db.execute("SELECT kind, plaintext FROM latest WHERE device_id = ?", (device_id,)).fetchall()
        )
        boot = records.decode(latest[records.BOOT]) if records.BOOT in latest else None
        health = records.decode(latest[records.HEALTH]) if records.HEALTH in latest else None
        seen, quarantined, torn, conflicts, clones = self._store.db.execute(
            "SELECT last_seen_ms, (SELECT COUNT(*) FROM quarantine WHERE device_id = ?1),"
            " (SELECT COUNT(*) FROM quarantine WHERE device_id = ?1 AND reason = ?2),"
            " (SELECT COUNT(*) FROM conflicts WHERE device_id = ?1),"
            f" (SELECT COUNT(*) FROM reports WHERE device_id = ?1 AND kind IN ({', '.join('?' * len(CLONES))}))"
            " FROM devices WHERE device_id = ?1",
            (device_id, CUT_SHORT, *CLONES),
        ).fetchone()
        return {
            "device": device_id.hex(),
            "checkpoint": self._store.assignments(device_id)[-1].checkpoint,
            "last_seen": seen,
            "firmware": None if boot is None else boot["version"],
            "config": None if boot is None else boot["config"],
            "boot_cause": None if boot is None else boot["cause"],
            "power_ons_day": self._power_ons(device_id),
            "health": {} if health is None else {HEALTH_NAMES.get(k, str(k)): v for k, v in health["health"]},
            "clock_known": board.clock_known,
            "quarantined": quarantined,
            "torn": torn,  # of those, what lies torn at the end of a sector: what a power cut leaves
            "conflicts": conflicts,
            "clones": clones,
            "missing_sectors": sum(gap.whole_sectors for gap in lacks.gaps if gap.loses),
            "holes": lacks.holes,
            "overwritten_sectors": lacks.sectors(gaps.OVERWRITTEN),
            "overwritten_said": lacks.said_overwritten,
            "unusable_numbers": lacks.sectors(gaps.UNUSABLE),
        }

    def _power_ons(self, device_id: bytes) -> int:
        """How often its supply came back, as far as BOOT records of the last day say."""
        found = self._store.db.execute(
            "SELECT plaintext FROM records WHERE kind = ? AND received_ms > ? AND epoch IN"
            " (SELECT id FROM epochs WHERE device_id = ? ORDER BY id DESC LIMIT ?)",
            (records.BOOT, self._clock_ms() - DAY_MS, device_id, BOOTS_LOOKED_AT),
        )
        said = (records.decode(plaintext) for (plaintext,) in found)
        return sum(boot is not None and boot["cause"] == records.CAUSE_POWER_ON for boot in said)

    def _board(self, device_id: bytes) -> _Board:
        records_held, scans, not_cards = self._store.db.execute(
            "SELECT COALESCE(SUM(records), 0), COALESCE(SUM(scans), 0), COALESCE(SUM(not_cards), 0)"
            " FROM epochs WHERE device_id = ?",
            (device_id,),
        ).fetchone()
        told = self._store.assignments(device_id)
        known = self._boards.get(device_id)
        version = (records_held, len(told))
        if known is not None and known.version == version:
            return known
        if len(told) == 1:
            recent = place(self._recent(device_id))
            unscanned, waved_in = self._count(device_id, UNSCANNED), self._count(device_id, WAVED_IN)
            shares = {told[0].checkpoint: _Share(scans, not_cards, unscanned, waved_in, deque(filter(_is_scan, recent)))}
        else:
            recent = place(self._store.rows(device_id))
            shares = {assignment.checkpoint: _Share(0, 0, 0, 0, deque(maxlen=RECENT_RECORDS)) for assignment in told}
            for record, name in zip(recent, checkpoints(recent, told), strict=True):
                if record.decoded is None:
                    continue
                share = shares[name]
                share.unscanned += _is(record, records.DOOR, records.PASSAGE_WITHOUT_SCAN)
                share.waved_in += _is(record, records.INCIDENT, records.WITHOUT_CARD)
                if _is_scan(record):
                    share.scans += 1
                    share.not_cards += record.decoded["verdict"] == records.NOT_A_CARD
                    share.recent.append(record)
        newest = self._store.recent_epochs(device_id)[:1]
        board = _Board(version, shares, any(record.timed and record.epoch_public in newest for record in recent))
        self._boards[device_id] = board
        return board

    def _count(self, device_id: bytes, index: tuple[str, str]) -> int:
        """How many records of a board an index of some of them knows (schema.py)."""
        name, condition = index
        epochs = "SELECT id FROM epochs WHERE device_id = ?"
        query = f"SELECT COUNT(*) FROM records INDEXED BY {name} WHERE epoch IN ({epochs}) AND {condition}"
        return int(self._store.db.execute(query, (device_id,)).fetchone()[0])

    def _recent(self, device_id: bytes) -> list[StoredRow]:
        """The last records of a board's latest epochs, and those that tell the time of the rest."""
        rows: dict[tuple[bytes, int], StoredRow] = {}
        epochs = self._store.db.execute(
            "SELECT id, epoch_public, generation FROM epochs WHERE device_id = ? ORDER BY id DESC LIMIT ?",
            (device_id, RECENT_EPOCHS),
        )
        for epoch, public, generation in epochs.fetchall():
            timing = "SELECT lsn, plaintext, received_ms FROM records WHERE epoch = ? AND kind IN (1, 2)"
            newest = "SELECT lsn, plaintext, received_ms FROM records WHERE epoch = ? ORDER BY lsn DESC LIMIT ?"
            found = self._store.db.execute(timing, (epoch,)).fetchall()
            found += self._store.db.execute(newest, (epoch, RECENT_RECORDS)).fetchall()
            for lsn, plaintext, received_ms in found:
                rows[public, lsn] = StoredRow(public, generation, lsn, plaintext, received_ms)
        return list(rows.values())


def _is_scan(record: Placed) -> bool:
    return record.decoded is not None and record.decoded["kind"] == records.SCAN


def _is(record: Placed, kind: int, code: int) -> bool:
    decoded = record.decoded
    return decoded is not None and decoded["kind"] == kind and decoded["code"] == code
