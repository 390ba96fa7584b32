"""The figures of whole runs come from the world's own log, at the heap of a board."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_tools.bench import runs
from host_tools.bench.figures import Figure
from host_tools.simulator.runtime import BOARD_HEAP

SMALL = """
name = "small"
duration_s = 12
heap = "4M"
[[board]]
name = "gate"
[[crowd]]
board = "gate"
from_ms = 6000
count = 3
[expect]
recorded = RECORDED
"""


def metered(instructions: int) -> dict[str, Figure]:
    keys = ("load_instructions", "recover_instructions", "x25519_instructions", "scan_pieces")
    return {key: Figure(key, key, instructions, "instr") for key in keys}


def run(tmp_path: Path, recorded: int, instructions: int) -> dict[str, Figure]:
    path = tmp_path / "small.toml"
    path.write_text(SMALL.replace("RECORDED", str(recorded)), encoding="utf-8")
    return {figure.key: figure for figure in runs.demo(metered(instructions), path)}


def test_a_run_and_what_is_computed_in_it(tmp_path: Path) -> None:
    free, charged = run(tmp_path, 3, 0), run(tmp_path, 3, 2_000_000)
    assert free["demo_broken"].met is True
    assert free["demo_broken"].detail["collected"] == 3
    assert free["demo_broken"].detail["heap"] == BOARD_HEAP
    assert free["ready_ms"].value > 1000
    # 2,000,000 instructions are 10 ms: modules, recovery and two keys before ready, one path before a verdict.
    assert charged["ready_ms"].value - free["ready_ms"].value == 40
    assert charged["verdict_ms"].value - free["verdict_ms"].value == pytest.approx(10)


def test_a_broken_promise_is_a_missed_bar(tmp_path: Path) -> None:
    assert run(tmp_path, 4, 0)["demo_broken"].met is False


def test_what_scans_cost_the_flash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "WEAR_SCANS", 30)
    found = {figure.key: figure for figure in runs.wear()}
    # The frames of the cards at an uptime of under a minute, the records about the board beside them.
    assert 24 <= found["wear_bytes"].value <= 40
    assert found["wear_erases"].detail["erases"] <= 1
