"""The slowest verdict of a busy door: the journal is full when it says so, and a door that waits shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from host_tools.bench import busy
from host_tools.bench.figures import Figure
from host_tools.simulator import world
from host_tools.simulator.run import REPOSITORY_FIRMWARE

PATH = {"path_instructions": Figure("path_instructions", "", 1_000_000, "instr")}


def test_a_full_journal_and_a_busy_uplink() -> None:
    (figure,) = busy.busy(PATH, cards=120, runs=1)
    assert figure.met is True and figure.value > 5
    assert figure.detail["fill_before_percent"] > 98.9 and figure.detail["requests"] >= 1


def test_a_firmware_that_waits_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "firmware"
    shutil.copytree(REPOSITORY_FIRMWARE, tree)
    station = tree / "scanner" / "station.py"
    source = station.read_text(encoding="utf-8")
    before = "        decision, new = self._rules.decide(reader, scheme, packed, now)\n"
    assert source.count(before) == 1
    station.write_text(source.replace(before, "        __import__('time').sleep_ms(200)\n" + before), encoding="utf-8")
    bundle = world._bundle
    monkeypatch.setattr(world, "_bundle", lambda firmware, *rest: bundle(tree, *rest))
    (figure,) = busy.busy(PATH, cards=20, runs=1)
    assert figure.met is False
