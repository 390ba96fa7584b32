"""Runs a soak: many simulated days of a few checkpoints, and a table of what was promised and what came of it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from host_tools.formats.sector import SECTOR_BYTES
from host_tools.simulator.crowd import Album
from host_tools.simulator.ledger import Comparison, Ledger
from host_tools.simulator.run import REPOSITORY_FIRMWARE, Run
from host_tools.simulator.scenario import Scenario, Soak
from host_tools.text import say

# Between two sweeps of the ledger: a board cannot look further ahead than that.
_SWEEP_US = 60_000_000


@dataclass
class Figure:
    """One promise: its figure, what it is held against, and whether it was kept."""

    name: str
    measured: str
    bound: str
    kept: bool


@dataclass
class SoakOutcome:
    """What a soak came to."""

    scenario: str
    seed: int
    runtime: str
    days: float
    figures: list[Figure]
    problems: list[str]
    doors: list[dict[str, Any]]
    real_s: float

    @property
    def passed(self) -> bool:
        """True when every promise held."""
        return not self.problems and all(figure.kept for figure in self.figures)

    def as_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return {**asdict(self), "passed": self.passed}

    def text(self) -> str:
        """The report for a person."""
        head = (say("lời hứa", "promise"), say("đo được", "measured"), say("mức", "bound"), "")
        rows = [head]
        for figure in self.figures:
            verdict = say("giữ", "kept") if figure.kept else say("PHÁ", "BROKEN")
            rows.append((figure.name, figure.measured, figure.bound, verdict))
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += ["", say("Chạy trên: ", "Runtime: ") + self.runtime.replace("\n", ", ")]
        lines.append(
            say(
                f"{self.days:.1f} ngày ảo trong {self.real_s / 60:.1f} phút, seed {self.seed}",
                f"{self.days:.1f} virtual days in {self.real_s / 60:.1f} minutes, seed {self.seed}",
            )
        )
        lines += [f"  - {problem}" for problem in self.problems[:20]]
        lines.append(
            say("Mọi lời hứa được giữ.", "Every promise held.")
            if self.passed
            else say("Có lời hứa bị phá.", "A promise was broken.")
        )
        return "\n".join(lines)


class DayLines:
    """Prints one line for each simulated day that is over."""

    def __init__(self, run: Run, ledgers: list[Ledger]) -> None:
        self._run = run
        self._ledgers = ledgers
        self._began_s = time.monotonic()
        self._day = 0

    def __call__(self) -> None:
        day = self._run.world.kernel.now_us // (self._run.scenario.day_s * 1_000_000)
        if day <= self._day:
            return
        self._day = day
        beeped = sum(ledger.beeped for ledger in self._ledgers)
        boots = sum(ledger.checkpoint.board.boots for ledger in self._ledgers)
        elapsed_s = time.monotonic() - self._began_s
        heap_kb = max(heap_by_day(ledger).get(day - 1, 0) for ledger in self._ledgers) / 1024
        print(
            say(
                f"ngày {day:3}: {beeped:8} lượt đã kêu, {_scans(self._run):8} đã thu, {boots:4} lần khởi động,"
                f" heap {heap_kb:.1f} KB, {elapsed_s:6.0f} s, {beeped / elapsed_s:4.0f} lượt/s",
                f"day {day:3}: {beeped:8} scans beeped, {_scans(self._run):8} collected, {boots:4} boots,"
                f" heap {heap_kb:.1f} KB, {elapsed_s:6.0f} s, {beeped / elapsed_s:4.0f} scans/s",
            ),
            flush=True,
        )


def _scans(run: Run) -> int:
    """Scans at the collector so far, by its own count."""
    with closing(sqlite3.connect(run.world.database)) as database:
        return int(database.execute("SELECT COALESCE(SUM(scans), 0) FROM epochs").fetchone()[0])


def play(run: Run, *, day_lines: bool = False) -> SoakOutcome:
    """Run a scenario with a [soak] table to its end, and judge it."""
    scenario, world, began_s = run.scenario, run.world, time.monotonic()
    soak = scenario.soak or Soak()
    day_us = scenario.day_s * 1_000_000
    days = -(-scenario.duration_s // scenario.day_s)
    ledgers = [Ledger(checkpoint, soak, day_us, days) for checkpoint in world.checkpoints.values()]
    tell: Callable[[], None] = DayLines(run, ledgers) if day_lines else lambda: None
    end_us = (scenario.duration_s + scenario.settle_s) * 1_000_000
    try:
        while world.kernel.now_us < end_us:
            world.kernel.run(min(end_us, world.kernel.now_us + _SWEEP_US))
            for ledger in ledgers:
                ledger.sweep()
            tell()
        compared = [ledger.compare(world.database) for ledger in ledgers]
        figures = _figures(scenario, soak, ledgers, compared)
        return SoakOutcome(
            scenario=scenario.name,
            seed=scenario.seed,
            runtime=ledgers[0].checkpoint.board.runtime_name,
            days=scenario.duration_s / scenario.day_s,
            figures=figures,
            problems=[
                f"{ledger.checkpoint.plan.name}: {problem}" for ledger in ledgers for problem in _problems(ledger)
            ],
            doors=[_door(ledger, comparison) for ledger, comparison in zip(ledgers, compared, strict=True)],
            real_s=time.monotonic() - began_s,
        )
    finally:
        for ledger in ledgers:
            ledger.close()


def _problems(ledger: Ledger) -> list[str]:
    checkpoint = ledger.checkpoint
    flash = [f"flash: {violation}" for violation in checkpoint.flash.violations[:20]]
    return ledger.problems + flash + checkpoint.board.faults


def wear(ledger: Ledger) -> tuple[float, float]:
    """Erases of the journal's sectors: their mean, and those of the most erased one over it."""
    offset, size = ledger.checkpoint.journal
    sectors = range(offset // SECTOR_BYTES, (offset + size) // SECTOR_BYTES)
    erases = [ledger.checkpoint.flash.counts.erases_by_sector.get(sector, 0) for sector in sectors]
    mean = sum(erases) / len(erases)
    return mean, max(erases) / mean if mean else 1.0


def heap_by_day(ledger: Ledger) -> dict[int, int]:
    """The least that lived on the heap of a warm boot after a collection, by day."""
    days: dict[int, int] = {}
    for (_, day), live_bytes in ledger.heap.items():
        days[day] = min(days.get(day, live_bytes), live_bytes)
    return days


def longest_boot(ledger: Ledger) -> dict[int, int]:
    """The same of the boot that lived through most days."""
    boots: dict[int, dict[int, int]] = {}
    for (boot, day), live_bytes in ledger.heap.items():
        boots.setdefault(boot, {})[day] = live_bytes
    return max(boots.values(), key=len, default={})


def _drift(days: dict[int, int]) -> float:
    """How far the last day is from the first, as a share."""
    if not days:
        return 0.0
    first, last = days[min(days)], days[max(days)]
    return abs(last - first) / first


def _figures(scenario: Scenario, soak: Soak, ledgers: list[Ledger], compared: list[Comparison]) -> list[Figure]:
    expect = scenario.expect

    def total(count: Callable[[Ledger], int]) -> int:
        return sum(count(ledger) for ledger in ledgers)

    recorded = total(lambda ledger: ledger.signals["recorded"])
    beeped = sum(comparison.beeped for comparison in compared)
    lost = sum(comparison.lost for comparison in compared)
    odd = sum(comparison.missing + comparison.different + comparison.strange for comparison in compared)
    unanswered = total(lambda ledger: ledger.unanswered)
    watchdog = total(lambda ledger: sum(down.reason == "watchdog" for down in ledger.checkpoint.log.downs))
    latency_ms = max(ledger.worst_latency_us for ledger in ledgers) / 1000
    ready_ms = max((us // 1000 for ledger in ledgers for us in ledger.checkpoint.log.ready_us), default=0)
    drift = max(_drift(heap_by_day(ledger)) for ledger in ledgers)
    last_day = -(-scenario.duration_s // scenario.day_s) - 1
    measured = all(days.get(0) and days.get(last_day) for days in map(heap_by_day, ledgers))
    boot_drift = max(_drift(longest_boot(ledger)) for ledger in ledgers)
    boot_days = max(len(longest_boot(ledger)) for ledger in ledgers)
    rounds, worn = max((wear(ledger) for ledger in ledgers), key=lambda pair: pair[1])
    rows = [
        (
            say("lượt đã ghi", "scans recorded"),
            f"{recorded}",
            f"≥ {expect.min_recorded}",
            recorded >= expect.min_recorded,
        ),
        (
            say("đã kêu = đã thu (khoá, lsn, nội dung)", "beeped = collected (key, lsn, plaintext)"),
            f"{beeped - lost} / {beeped}",
            say("tất cả", "all"),
            not lost,
        ),
        (say("bản ghi khác thiếu, khác hay lạ", "other records missing, different, strange"), f"{odd}", "0", not odd),
        (
            say("mã không được trả lời", "codes unanswered"),
            f"{unanswered}",
            f"≤ {expect.unanswered or 0}",
            unanswered <= (expect.unanswered or 0),
        ),
        (
            say("watchdog", "watchdog resets"),
            f"{watchdog}",
            f"≤ {expect.watchdog_resets}",
            watchdog <= expect.watchdog_resets,
        ),
        (
            say("trả lời chậm nhất", "slowest verdict"),
            f"{latency_ms:.1f} ms",
            f"≤ {expect.verdict_latency_ms} ms",
            latency_ms <= expect.verdict_latency_ms,
        ),
        (
            say("sẵn sàng chậm nhất", "slowest ready"),
            f"{ready_ms} ms",
            f"≤ {expect.ready_ms} ms",
            ready_ms <= expect.ready_ms,
        ),
        (
            say("heap, ngày đầu và cuối", "heap, first and last day"),
            f"{100 * drift:.2f} %",
            f"≤ {100 * soak.heap_drift:.0f} %",
            drift <= soak.heap_drift and measured,
        ),
        (
            say("heap, ngày đầu và cuối của một lần chạy", "heap, first and last day of one boot"),
            f"{100 * boot_drift:.2f} %",
            f"≤ {100 * soak.heap_drift:.0f} %",
            boot_drift <= soak.heap_drift,
        ),
        (
            say("lần chạy dài nhất, ngày", "longest boot, days"),
            f"{boot_days}",
            f"≥ {soak.boot_days}",
            boot_days >= soak.boot_days,
        ),
        (
            say("lượt xoá một sector, nhiều nhất / trung bình", "erases of a sector, most / mean"),
            f"{worn:.3f}",
            f"≤ {soak.wear}" if rounds >= soak.rounds else say("chưa xét", "not judged yet"),
            worn <= soak.wear or rounds < soak.rounds,
        ),
    ]
    return [Figure(*row) for row in rows]


def _door(ledger: Ledger, comparison: Comparison) -> dict[str, Any]:
    """The figures of one door, for the JSON report."""
    checkpoint = ledger.checkpoint
    downs = checkpoint.log.downs
    boot = longest_boot(ledger)
    return {
        "name": checkpoint.plan.name,
        "shown": ledger.shown,
        "read": ledger.read,
        "signals": dict(sorted(ledger.signals.items())),
        **asdict(comparison),
        "recorded_without_beep": ledger.unbeeped,
        "unanswered": ledger.unanswered,
        "power_cuts": sum(down.reason == "power cut" for down in downs),
        "torn_programs": ledger.torn_programs,
        "torn_erases": ledger.torn_erases,
        "latency_ms": dict(sorted(ledger.latencies_ms.items())),
        "heap_by_day": dict(sorted(heap_by_day(ledger).items())),
        "heap_of_the_longest_boot": dict(sorted(boot.items())),
        **checkpoint.figures(),
        "wear": wear(ledger)[1],
    }


def run_soak(
    scenario: Scenario, *, firmware: Path = REPOSITORY_FIRMWARE, album: Album | None = None, keep: Path | None = None
) -> SoakOutcome:
    """Run a soak and end everything."""
    with Run(scenario, firmware=firmware, album=album, keep=keep) as run:
        return play(run)
