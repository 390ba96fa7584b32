"""The figures of whole runs: the demo scenario on the board's heap, power to ready, latency, flash wear."""

from __future__ import annotations

from pathlib import Path

from host_tools.bench.figures import ROOT, Figure, model_ms
from host_tools.build.partitions import find
from host_tools.simulator.flash import SECTOR_BYTES
from host_tools.simulator.run import Run, run_scenario
from host_tools.simulator.runtime import BOARD_HEAP
from host_tools.simulator.scenario import BoardPlan, Crowd, Expect, Scenario, load
from host_tools.simulator.world import World
from host_tools.text import say

DEMO = ROOT / "scenarios" / "demo.toml"
READY_MS = 5_000
VERDICT_MS = 150
WEAR_SCANS = 300
_EVERY_MS = 1_250
_FIRST_MS = 6_000
_COUNT_FROM_US = 5_000_000
# An X25519 for the epoch's public key, and one for the secret shared with the collector.
_BOOT_KEYS = 2


def demo(metered: dict[str, Figure], path: Path = DEMO) -> list[Figure]:
    """The scenario at the heap of a 110 KB board; what computes no time there is added from the metered figures."""
    scenario = load(path)
    scenario.heap = BOARD_HEAP
    outcome = run_scenario(scenario)
    runtime = " ".join(outcome.runtime.split())
    boot = metered["load_instructions"].value + metered["recover_instructions"].value
    boot_ms = model_ms(boot + _BOOT_KEYS * metered["x25519_instructions"].value)
    ready_ms = max(ms for door in outcome.doors for ms in door.ready_ms)
    path_ms = max(model_ms(figure.value) for key, figure in metered.items() if key.startswith("scan_"))
    latency_ms = max(door.worst_latency_ms for door in outcome.doors)
    computed, waited = say("tính toán", "computing"), say("chờ", "waiting")
    return [
        Figure(
            "demo_broken",
            say(f"lời hứa bị phá trong demo, heap {BOARD_HEAP}", f"promises broken in the demo, heap {BOARD_HEAP}"),
            len(outcome.broken),
            "",
            0,
            runtime,
            {
                "heap": scenario.heap,
                "runtime": runtime,
                "broken": outcome.broken,
                "collected": sum(door.collected for door in outcome.doors),
            },
        ),
        Figure(
            "ready_ms",
            say("từ lúc có điện tới sẵn sàng, lâu nhất", "power to ready, worst"),
            round(ready_ms + boot_ms),
            "ms",
            READY_MS,
            f"{ready_ms} {waited} + {boot_ms:.0f} {computed}",
        ),
        Figure(
            "verdict_ms",
            say("byte cuối tới còi trong demo, lâu nhất", "last byte to buzzer in the demo, worst"),
            round(latency_ms + path_ms, 1),
            "ms",
            VERDICT_MS,
            f"{latency_ms:.1f} {waited} + {path_ms:.1f} {computed}",
        ),
    ]


class _Counts:
    """Flash counters of the first door: bytes programmed on the whole chip, erases of the journal."""

    def __init__(self) -> None:
        self.programmed_bytes = 0
        self.erases = 0

    def take(self, world: World) -> None:
        door = next(iter(world.checkpoints.values()))
        journal = find(door.partitions, "journal")
        first, end = journal.offset // SECTOR_BYTES, (journal.offset + journal.size) // SECTOR_BYTES
        counts = door.flash.counts
        self.programmed_bytes = counts.programmed_bytes
        self.erases = sum(erases for sector, erases in counts.erases_by_sector.items() if first <= sector < end)


def wear() -> list[Figure]:
    """A few hundred scans at one door with its uplink: what they cost the flash, all records and marks included."""
    seconds = (_FIRST_MS + WEAR_SCANS * _EVERY_MS) // 1000 + 5
    scenario = Scenario(
        name="wear",
        boards=[BoardPlan("door", config={"repeat_window_s": 20})],
        duration_s=seconds,
        crowds=[Crowd("door", _FIRST_MS, WEAR_SCANS, every_ms=_EVERY_MS, people=40, kinds=["qrqg"], media=["plastic"])],
        expect=Expect(recorded=WEAR_SCANS, collected=WEAR_SCANS),
    )
    before, after = _Counts(), _Counts()
    with Run(scenario) as run:
        run.world.kernel.run(_COUNT_FROM_US)  # the board has started, and nobody has come yet
        before.take(run.world)
        outcome = run.play()
        after.take(run.world)
    if outcome.broken:
        raise RuntimeError("; ".join(outcome.broken))
    programmed = after.programmed_bytes - before.programmed_bytes
    erases = after.erases - before.erases
    return [
        Figure(
            "wear_bytes",
            say(f"byte ghi cho mỗi lượt, {WEAR_SCANS} lượt", f"bytes programmed a scan, {WEAR_SCANS} scans"),
            round(programmed / WEAR_SCANS, 1),
            "bytes",
            detail={"programmed_bytes": programmed},
        ),
        Figure(
            "wear_erases",
            say("lần xoá cho 1000 lượt", "erases per 1000 scans"),
            round(1000 * erases / WEAR_SCANS, 1),
            "",
            detail={"erases": erases},
        ),
    ]
