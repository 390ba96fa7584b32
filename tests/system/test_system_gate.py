"""The flash gate: cards at uniformly random times, every erase at its worst; no verdict waits for one, no byte is lost."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from host_tools.formats.sector import SECTOR_BYTES
from host_tools.simulator import scenario
from host_tools.simulator.flash import SECTOR_ERASE_US, Operation
from host_tools.simulator.run import REPOSITORY_FIRMWARE, Outcome, Run
from host_tools.simulator.scan_module import COMMAND_MODE, MODE, ScanModule
from tests.system.payloads import Payloads, texts

SECOND = 1_000_000
FROM_MS = 8000
LATENCY_MS = 150
# Free text fills a sector with 45 records, so a ring of eight comes round again and again.
PLAN = """
name = "the gate"
seed = {seed}
duration_s = {seconds}
settle_s = 60
flash_timing = "worst"
[[board]]
name = "gate"
journal_kib = {kib}
config = {{ repeat_window_s = 0, journal_full = "{full}", health_s = {health_s} }}
"""
AWAY = '[[fault]]\nkind = "wifi_down"\nat_ms = {at_ms}\nfor_ms = {for_ms}\n'


@dataclass
class Erase:
    """One erase: where, when, whether the module was told to stop, and how long ago the last signal had begun."""

    address: int
    at_us: int
    stopped: bool
    since_signal_us: int


def crowd(seed: int, seconds: int, every_s: float, hold_ms: int) -> str:
    """Cards at uniformly random moments; each is held for `hold_ms`, or until the next one takes its place."""
    rng = random.Random(seed)
    count = int((seconds - FROM_MS / 1000) / every_s)
    moments = sorted(rng.randrange(FROM_MS, seconds * 1000) for _ in range(count))
    return texts("gate", 0, moments).replace("hold_ms = 700", f"hold_ms = {hold_ms}")


def watched(plan: str, firmware: Path = REPOSITORY_FIRMWARE) -> tuple[Run, Outcome, list[Erase]]:
    """Play a plan; every erase of the run beside it."""
    run = Run(scenario.parse(plan), album=Payloads(), firmware=firmware)
    checkpoint = run.world.checkpoints["gate"]
    module = checkpoint.module
    erases: list[Erase] = []
    begin = checkpoint.flash.begin_erase

    def begin_erase(address: int, size: int, now_us: int) -> Operation:
        beeps = checkpoint.log.beeps
        since = now_us - beeps[-1].signal.at_us if beeps else now_us
        stopped = isinstance(module, ScanModule) and module.registers[MODE] & 3 == COMMAND_MODE
        erases.append(Erase(address, now_us, stopped, since))
        return begin(address, size, now_us)

    checkpoint.flash.begin_erase = begin_erase  # type: ignore[method-assign]
    try:
        return run, run.play(), erases
    finally:
        run.close()


def plan(
    seed: int,
    *,
    full: str = "refuse",
    seconds: int = 1800,
    every_s: float = 1.6,
    hold_ms: int = 2500,
    health_s: int = 60,
    kib: int = 32,
) -> str:
    text = PLAN.format(seed=seed, seconds=seconds, kib=kib, full=full, health_s=health_s)
    return text + crowd(seed, seconds, every_s, hold_ms)


# Every fill: a ring that is sent as it fills; one that fills with the board's own words, few cards between them; one that
# fills in an outage and turns cards away until it is emptied; one that drops its oldest.
DOORS = {
    "busy": plan(1),
    "quiet": plan(2, every_s=25.0, seconds=5400, health_s=10),
    "full": plan(3, seconds=2400) + AWAY.format(at_ms=60_000, for_ms=1_000_000),
    "its oldest dropped": plan(4, full="overwrite") + AWAY.format(at_ms=60_000, for_ms=1_700_000),
}


@pytest.mark.parametrize("name", DOORS)
def test_no_verdict_waits_for_an_erase_and_no_byte_is_lost(name: str) -> None:
    run, outcome, erases = watched(DOORS[name])
    checkpoint = run.world.checkpoints["gate"]
    door = outcome.doors[0]
    # What was overwritten is missed as it should be: tests/system/test_system_overwrite.py.
    overwritten = ("gate: collected is not beeped", "gate: flash and collector together are not what beeped", "lost:")
    known = overwritten if name == "its oldest dropped" else ()
    assert [line for line in outcome.broken if not line.startswith(known)] == []
    assert door.unanswered == 0
    assert door.worst_latency_ms < LATENCY_MS and SECTOR_ERASE_US["worst"] > LATENCY_MS * 1000
    assert checkpoint.line.dropped_bytes == checkpoint.line.overflows == 0
    start, size = checkpoint.journal
    ready_us = checkpoint.signals.ready_us
    assert ready_us is not None
    later = [erase for erase in erases if erase.at_us > ready_us]
    assert len(later) >= 10, "the run has erases to speak of"
    assert all(start <= erase.address < start + size for erase in later), (
        "nothing but the journal is erased while cards come"
    )
    # Two ways through the gate: the module pauses after a code, or it was told to stop.
    in_pause = [erase for erase in later if erase.since_signal_us < SECOND]
    held = [erase for erase in later if erase.since_signal_us >= SECOND]
    assert all(erase.stopped for erase in held)
    assert all(350_000 <= erase.since_signal_us <= 510_000 for erase in in_pause)
    assert in_pause if name == "busy" else True, "a busy door erases in the pause after a verdict"
    assert held if name == "quiet" else True, "a quiet door holds the module"
    assert (door.signals["full"] > 0) == (name == "full")


@pytest.mark.parametrize("kind", ["ssi", "newland"])
def test_modules_of_every_kind_are_stopped_for_an_erase(kind: str) -> None:
    """A Newland reads on 0.3 s after a code: its pause is none, and it is stopped each time."""
    text = plan(1, every_s=1.3, seconds=1200).replace("repeat_window_s", f'scanner = "{kind}", repeat_window_s')
    run, outcome, erases = watched(text.replace("journal_kib", f'module = {{ kind = "{kind}" }}\njournal_kib'))
    door = outcome.doors[0]
    assert outcome.broken == [] and door.read > 500 and len(erases) >= 10
    assert door.worst_latency_ms < LATENCY_MS and run.world.checkpoints["gate"].line.dropped_bytes == 0
    assert door.figures["health"][17] == 0, "no module was taken for lost"


def test_a_card_held_before_the_module_is_read_though_it_was_stopped() -> None:
    """People come alone, at random moments, and hold the card as people do: each is read, whatever is erased meanwhile."""
    _, outcome, erases = watched(plan(5, seconds=1500, every_s=5.0, hold_ms=3500))
    door = outcome.doors[0]
    assert len(erases) >= 4 and outcome.broken == []
    moments = [show.at_ms for show in scenario.parse(plan(5, seconds=1500, every_s=5.0, hold_ms=3500)).shows]
    alone = sum(after - before >= 3500 for before, after in zip(moments, [*moments[1:], 1 << 40], strict=True))
    assert door.read >= alone > 100
    assert door.signals["recorded"] == door.read


# Firmware that does not ask: it erases between a card and its beep, or when the module reads again.
CARELESS = {
    "between card and beep": (
        "        scheme, packed = self._cards",
        "        self.ring.prepare()\n        scheme, packed = self._cards",
    ),
    "when the pause is over": (
        "_AFTER_VERDICT_MS = const(350)\n_PAUSE_ENDS_MS = const(500)",
        "_AFTER_VERDICT_MS = const(1000)\n_PAUSE_ENDS_MS = const(1500)",
    ),
}


@pytest.mark.parametrize("name", CARELESS)
def test_without_the_gate_verdicts_wait(name: str, tmp_path: Path) -> None:
    tree = tmp_path / "firmware"
    shutil.copytree(REPOSITORY_FIRMWARE, tree)
    station = tree / "scanner" / "station.py"
    source = station.read_text(encoding="utf-8")
    before, after = CARELESS[name]
    assert source.count(before) == 1, "the mutant no longer fits"
    station.write_text(source.replace(before, after), encoding="utf-8")
    _, outcome, _ = watched(plan(1, every_s=1.0), tree)
    assert outcome.doors[0].worst_latency_ms > LATENCY_MS


def test_boots_every_ten_seconds_wear_out_nothing() -> None:
    """Thirty days of a supply that comes and goes: sixty boots of it here; the rest: tests/device/device_boots.py."""
    boots = 60
    cuts = "".join(
        f'[[fault]]\nkind = "power_cut"\nat_ms = {at_ms}\noff_ms = 500\n'
        for at_ms in range(10_000, boots * 10_000, 10_000)
    )
    shows = texts("gate", 0, [10_000 * n + 7500 for n in range(0, boots, 3)])
    text = PLAN.format(seed=6, seconds=boots * 10, kib=16, full="refuse", health_s=900) + shows + cuts
    run, outcome, _ = watched(text)
    checkpoint = run.world.checkpoints["gate"]
    start, size = checkpoint.journal
    first = start // SECTOR_BYTES
    erases = checkpoint.flash.counts.erases_by_sector
    assert outcome.broken == [] and len(checkpoint.log.downs) == boots - 1
    journal = [erases.get(sector, 0) for sector in range(first, first + size // SECTOR_BYTES)]
    assert sum(erases.values()) - sum(journal) <= 1, "the file system: the first config is kept aside, once"
    # Within the last KiB of a head each boot erases what comes next anew; of thirty days, on 320 sectors:
    assert 0 < sum(journal) * (30 * 86400 // 10) // boots // 320 <= 1000
