"""What must hold at the end of a run: collected equals beeped, record by record, and nobody broke a rule on the way."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from host_tools.collector.store import Store, StoredRow
from host_tools.formats.records import CHANGE, DOOR, HEALTH, INCIDENT, NOTE, PASSAGE, PASSAGE_WITHOUT_SCAN, SCAN
from host_tools.formats.sector import SECTOR_BYTES, Row, read_journal
from host_tools.simulator.checkpoint import Checkpoint
from host_tools.simulator.scenario import DEFAULT_CONFIG
from host_tools.simulator.world import World

# Signals that stand for exactly one record in flash, and the verdicts of such records.
KEPT_SIGNALS = ("recorded", "not_card", "refused", "place_full")
# Of these, the ones that a card may get again in the repeat window without a second record.
TURNED_AWAY = ("refused", "place_full")
# Signals that say "not recorded".
LOST_SIGNALS = ("fault", "full")
REPEAT_VERDICT = 8
HEALTH_DROPPED = 10
# Between a code's last byte and its signal.
REPEAT_SLACK_US = 1_000_000
Card = tuple[int, str]
Told = tuple[int, str, int]


@dataclass
class Expected:
    """A record that must be there (`beeped`), or may be there: its beep was cut off by the power."""

    card: Told
    beeped: bool
    what: str


@dataclass
class DoorResult:
    """The figures of one door and what was wrong there."""

    name: str
    shown: int = 0
    read: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    in_flash: int = 0
    collected: int = 0
    unbeeped: int = 0
    lost: int = 0
    unanswered: int = 0
    latency_us: list[int] = field(default_factory=list)
    ready_ms: list[int] = field(default_factory=list)
    power_cuts: int = 0
    torn_programs: int = 0
    watchdog_resets: int = 0
    passages: int = 0  # by the world's own count, with those without a scan among them
    without_scan: int = 0
    passages_told: int = 0  # the same by the records at the collector
    without_scan_told: int = 0
    incidents: int = 0
    problems: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def beeped(self) -> int:
        """Signals that promise a record."""
        return sum(self.signals[name] for name in KEPT_SIGNALS)

    @property
    def worst_latency_ms(self) -> float:
        """The longest time from a code's last byte to the buzzer, ms."""
        return max(self.latency_us, default=0) / 1000

    def as_json(self) -> dict[str, Any]:
        """The door in the JSON report."""
        latencies = sorted(self.latency_us)
        return {
            "name": self.name,
            "shown": self.shown,
            "read": self.read,
            "signals": dict(sorted(self.signals.items())),
            "beeped": self.beeped,
            "in_flash": self.in_flash,
            "collected": self.collected,
            "lost": self.lost,
            "recorded_without_beep": self.unbeeped,
            "unanswered": self.unanswered,
            "verdict_latency_ms": {
                "median": latencies[len(latencies) // 2] / 1000 if latencies else None,
                "worst": self.worst_latency_ms if latencies else None,
            },
            "ready_ms": self.ready_ms,
            "power_cuts": self.power_cuts,
            "torn_programs": self.torn_programs,
            "watchdog_resets": self.watchdog_resets,
            "passages": self.passages,
            "without_scan": self.without_scan,
            "passages_told": self.passages_told,
            "without_scan_told": self.without_scan_told,
            "incidents": self.incidents,
            "problems": self.problems,
            **self.figures,
        }


def card_of(row: Row | StoredRow) -> Card | None:
    """Scheme and id of a SCAN that stands for a recorded or not_card signal, None for any other record."""
    decoded = row.decoded
    if decoded is None or decoded["kind"] != SCAN or decoded["verdict"] == REPEAT_VERDICT:
        return None
    return decoded["scheme"], decoded["id"]


def told_of(row: Row | StoredRow) -> Told | None:
    """The same with the number of the reader."""
    card = card_of(row)
    return None if card is None or row.decoded is None else (*card, row.decoded["reader"])


def _window_us(checkpoint: Checkpoint) -> int:
    return int({**DEFAULT_CONFIG, **checkpoint.plan.config}["repeat_window_s"]) * 1_000_000


def expected_records(checkpoint: Checkpoint) -> tuple[list[Expected], list[str]]:
    """What the records of a door must be, in order, from the world's own log; and signals that nothing explains."""
    problems: list[str] = []
    found: list[tuple[int, Expected]] = []
    # When a card was last recorded as turned away, at the latest and for sure; and what it was told.
    turned_away: dict[tuple[int, Told, str], int] = {}
    for beep in checkpoint.log.beeps:
        signal, read = beep.signal, beep.read
        if signal.name not in KEPT_SIGNALS:
            continue
        at = f"{signal.at_us / 1e6:.3f} s"
        shown = read.showing if read is not None else None
        if read is None or shown is None or shown.scheme is None or shown.card is None:
            problems.append(f"'{signal.name}' at {at}, but nothing readable was shown")
            continue
        told = (shown.scheme, "" if signal.name == "not_card" else shown.card, read.reader)
        known = False
        if signal.name in TURNED_AWAY:
            key = (signal.boot, told, signal.name)
            since_us = signal.at_us - turned_away.get(key, -(1 << 60))
            if since_us < _window_us(checkpoint) - REPEAT_SLACK_US:
                continue
            known = since_us < _window_us(checkpoint) + REPEAT_SLACK_US
            turned_away[key] = signal.at_us
        found.append((signal.at_us, Expected(told, not known, f"{shown.label} at {at}")))
    ends = {down.boot for down in checkpoint.log.downs}
    for read in checkpoint.log.reads:
        shown = read.showing
        cut_short = read.signal is None and read.boot in ends
        if cut_short and shown is not None and shown.scheme is not None and shown.card is not None:
            told = (shown.scheme, shown.card, read.reader)
            found.append((read.at_us, Expected(told, False, shown.label)))
    found.sort(key=lambda item: item[0])
    return [expected for _, expected in found], problems


def _unfounded_repeats(checkpoint: Checkpoint) -> list[str]:
    """Signals that say "already recorded" to somebody whose card was not recorded in the repeat window of that boot."""
    window_us = _window_us(checkpoint) + REPEAT_SLACK_US
    recorded: dict[tuple[int, int | None, str | None, int], int] = {}
    problems: list[str] = []
    for beep in checkpoint.log.beeps:
        signal, shown = beep.signal, beep.read.showing if beep.read is not None else None
        reader = beep.read.reader if beep.read is not None else 0
        card = (signal.boot, shown.scheme if shown else None, shown.card if shown else None, reader)
        if signal.name == "recorded":
            recorded[card] = signal.at_us
        elif signal.name == "repeat" and signal.at_us - recorded.get(card, -window_us - 1) > window_us:
            problems.append(f"'repeat' at {signal.at_us / 1e6:.3f} s, but that card was not recorded before")
    return problems


def match(rows: list[Told], expected: list[Expected]) -> tuple[list[int], str | None]:
    """Find the expected records in `rows`, one by one in order. Returns the indexes of `expected` that `rows` are,
    and the first thing that does not fit. Records that may or may not be there make several readings possible."""
    # Each state is a position in `expected` that the rows so far can have led to; chains remember from where.
    states: list[int] = [0]
    chains: list[dict[int, tuple[int, int]]] = []
    for number, card in enumerate(rows):
        after: dict[int, tuple[int, int]] = {}
        for position in states:
            at = position
            while at < len(expected):
                if expected[at].card == card:
                    after.setdefault(at + 1, (position, at))
                if expected[at].beeped:
                    break
                at += 1
        if not after:
            wanted = [expected[position].what for position in states if position < len(expected)]
            return [], f"record {number + 1} is {card}, wanted {wanted[0] if wanted else 'no further record'}"
        chains.append(after)
        states = list(after)
    ends = [position for position in states if not any(item.beeped for item in expected[position:])]
    position = max(ends or states)
    indexes: list[int] = []
    end = position
    for after in reversed(chains):
        position, index = after[position]
        indexes.append(index)
    indexes.reverse()
    if not ends:
        missing = next(item for item in expected[end:] if item.beeped)
        return indexes, f"beeped but not there: {missing.what}"
    return indexes, None


def _undecided(checkpoint: Checkpoint, lsn: int, size: int) -> bool:
    """True when a power cut left cells undecided in the `size` bytes at `lsn`: a frame there reads whole at one time and
    torn at another, so the board was right whichever way it took it."""
    offset, partition_size = checkpoint.journal
    sequence, at = divmod(lsn, SECTOR_BYTES)
    address = offset + (sequence - 1) % (partition_size // SECTOR_BYTES) * SECTOR_BYTES
    loose = checkpoint.flash.unstable.get(address // SECTOR_BYTES)
    return loose is not None and any(loose[at : at + size])


def _judge_records(door: DoorResult, checkpoint: Checkpoint, stored: list[StoredRow], journal: list[Row]) -> None:
    expected, door.problems = expected_records(checkpoint)
    collected = [card for row in stored if (card := told_of(row)) is not None]
    door.collected = len(collected)
    indexes, mismatch = match(collected, expected)
    beeped = sum(item.beeped for item in expected)
    door.unbeeped = sum(not expected[index].beeped for index in indexes)
    kept = Counter(item.card for item in expected if item.beeped) & Counter(collected)
    door.lost = beeped - sum(kept.values())
    if mismatch is not None:
        door.problems.append(f"collected is not beeped: {mismatch}")
    door.in_flash = sum(card_of(row) is not None for row in journal)
    by_name = {(row.epoch_public, row.lsn): row.plaintext for row in stored}
    for row in journal:
        there = by_name.get((row.epoch_public, row.lsn))
        if there is not None and there != row.plaintext:
            door.problems.append(f"flash and collector disagree about record {row.lsn}")
        # n, ciphertext, tag, CRC: a frame is 11 bytes longer than its plaintext.
        if there is None and row.released and not _undecided(checkpoint, row.lsn, len(row.plaintext) + 11):
            door.problems.append(f"released but not at the collector: record {row.lsn}")
    in_flash = {(row.epoch_public, row.lsn) for row in journal}
    oldest = min((row.lsn for row in journal), default=0)
    for stored_row in stored:
        gone = stored_row.lsn >= oldest and (stored_row.epoch_public, stored_row.lsn) not in in_flash
        if gone and not _undecided(checkpoint, stored_row.lsn, len(stored_row.plaintext) + 11):
            door.problems.append(f"at the collector but not in flash: record {stored_row.lsn}")
    both: list[Row | StoredRow] = [*stored, *journal]
    combined = {(row.generation, row.lsn, row.epoch_public): told_of(row) for row in both}
    _, kept_mismatch = match([card for _, card in sorted(combined.items()) if card is not None], expected)
    if kept_mismatch is not None:
        door.problems.append(f"flash and collector together are not what beeped: {kept_mismatch}")


def _passwords(config: dict[str, Any]) -> list[tuple[str, bytes]]:
    """What of a config is nobody else's business, by name."""
    cellular = config.get("cellular") or {}
    found = [("wifi password", str(network.get("password") or "")) for network in config.get("wifi", ())]
    found += [(f"cellular {name}", str(cellular.get(name) or "")) for name in ("pin", "password")]
    return [(name, secret.encode()) for name, secret in found if secret]


def _judge_secrets(door: DoorResult, checkpoint: Checkpoint, stored: list[StoredRow]) -> None:
    console = checkpoint.board.console()
    told = [row.plaintext for row in stored if row.decoded is not None and row.decoded["kind"] in (NOTE, CHANGE)]
    for name, secret in _passwords({**DEFAULT_CONFIG, **checkpoint.plan.config}):
        alone = re.compile(rb"(?<![0-9A-Za-z])" + re.escape(secret) + rb"(?![0-9A-Za-z])")
        if any(alone.search(text) for text in (console, *told)):
            door.problems.append(f"{name} stands in the console log or in a NOTE")
    lower = console.lower()
    keys = checkpoint.keys
    for name, secret in (
        ("device_key", keys.device_key),
        ("collector_private", keys.collector_private),
        ("list_key", keys.list_key),
    ):
        if secret in console or secret.hex().encode() in lower:
            door.problems.append(f"{name} stands in the console log")


def _last_health(stored: list[StoredRow]) -> dict[int, int]:
    """The last HEALTH at the collector: key -> value."""
    for row in reversed(stored):
        decoded = row.decoded
        if decoded is not None and decoded["kind"] == HEALTH:
            return {int(key): int(value) for key, value in decoded["health"]}
    return {}


def _judge_doorway(door: DoorResult, checkpoint: Checkpoint, stored: list[StoredRow]) -> None:
    told = Counter((row.decoded["kind"], row.decoded.get("code")) for row in stored if row.decoded is not None)
    door.passages, door.without_scan = checkpoint.doorway.truth.passages, checkpoint.doorway.truth.without_scan
    door.without_scan_told = told[DOOR, PASSAGE_WITHOUT_SCAN]
    door.passages_told = told[DOOR, PASSAGE] + door.without_scan_told
    door.incidents = sum(count for (kind, _), count in told.items() if kind == INCIDENT)


def judge_door(world: World, checkpoint: Checkpoint) -> DoorResult:
    """Everything that must hold for one door."""
    log, keys = checkpoint.log, checkpoint.keys
    door = DoorResult(checkpoint.plan.name, shown=len(log.shown), read=len(log.reads))
    door.signals.update(beep.signal.name for beep in log.beeps)
    with Store(world.database) as store:
        stored = store.rows(keys.device_id)
    journal = read_journal(checkpoint.journal_image(), keys.device_key, keys.collector_private)
    _judge_records(door, checkpoint, stored, journal)
    door.problems += _unfounded_repeats(checkpoint)
    _judge_secrets(door, checkpoint, stored)
    _judge_doorway(door, checkpoint, stored)
    ends = {down.boot for down in log.downs}
    for read in log.reads:
        if read.signal is not None:
            if read.signal.name not in LOST_SIGNALS:
                door.latency_us.append(read.signal.at_us - read.at_us)
        elif read.ready and read.boot not in ends and read.at_us < world.kernel.now_us - 1_000_000:
            door.unanswered += 1
    last_ready = checkpoint.signals.ready_us
    door.ready_ms = [ready_us // 1000 for ready_us in log.ready_us]
    if last_ready is not None:
        door.ready_ms.append((last_ready - checkpoint.on_since_us) // 1000)
    door.power_cuts = sum(down.reason == "power cut" for down in log.downs)
    door.torn_programs = sum(down.torn for down in log.downs)
    door.watchdog_resets = sum(down.reason == "watchdog" for down in log.downs)
    door.problems += [f"flash: {violation}" for violation in checkpoint.flash.violations]
    door.problems += checkpoint.board.faults
    if any(reader.module.bricked for reader in checkpoint.readers):
        door.problems.append("the scan module was sent the command that erases its firmware")
    door.figures = {**checkpoint.figures(), "health": _last_health(stored)}
    return door


def judge_expectations(world: World, doors: list[DoorResult]) -> list[str]:
    """The promises of the scenario that were broken, one line each."""
    expect = world.scenario.expect
    sums: Counter[str] = Counter()
    for door in doors:
        sums.update(door.signals)
        counts = {"shown": door.shown, "read": door.read, "collected": door.collected, "lost": door.lost}
        sums.update({**counts, "power_cuts": door.power_cuts, "torn_programs": door.torn_programs})
        sums.update(watchdog_resets=door.watchdog_resets, forged=door.figures["forged"], unanswered=door.unanswered)
        sums.update(incidents=door.incidents)
        sums.update(dropped=door.figures["health"].get(HEALTH_DROPPED, 0))
    broken = [f"{door.name}: {problem}" for door in doors for problem in door.problems]
    names = ("shown", "read", "recorded", "not_card", "repeat", "refused", "place_full", "fault", "full", "collected", "lost")
    for name in (*names, "power_cuts", "torn_programs", "watchdog_resets", "incidents", "unanswered"):
        wanted = getattr(expect, name)
        if wanted is not None and sums[name] != wanted:
            broken.append(f"{name}: {sums[name]}, the scenario states {wanted}")
    for name in ("recorded", "forged", "dropped"):
        least = getattr(expect, f"min_{name}")
        if sums[name] < least:
            broken.append(f"{name}: {sums[name]}, the scenario states at least {least}")
    for door in doors if expect.door_within is not None else []:
        for name, true, counted in (
            ("passages", door.passages, door.passages_told),
            ("without a scan", door.without_scan, door.without_scan_told),
        ):
            if abs(counted - true) > (expect.door_within or 0) * true:
                broken.append(f"{door.name}: {name}: {counted} counted, there were {true}")
    for door in doors:
        if door.worst_latency_ms > expect.verdict_latency_ms:
            broken.append(
                f"{door.name}: verdict after {door.worst_latency_ms:.0f} ms, at most {expect.verdict_latency_ms}"
            )
        late = max(door.ready_ms, default=0)
        if late > expect.ready_ms:
            broken.append(f"{door.name}: ready after {late} ms, at most {expect.ready_ms}")
    return broken
