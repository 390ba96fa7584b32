"""The soak in its short form: three short days, every check of the whole one, and firmware that must not pass it."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest

from host_tools.simulator import scenario
from host_tools.simulator.crowd import Album
from host_tools.simulator.run import REPOSITORY_FIRMWARE
from host_tools.simulator.soak import SoakOutcome, run_soak

# A ring of six sectors goes round several times; the faults are those of scenarios/soak.toml.
SHORT = """
name = "soak, short"
seed = 11
day_s = 900
duration_s = 2700
settle_s = 300
[[board]]
name = "gate"
journal_kib = 24
config = { repeat_window_s = 5, health_s = 300 }
[soak]
wear = 1.5
rounds = 2
boot_days = 2
warm_scans = 60
[[crowd]]
board = "gate"
from_ms = 8000
count = 450
every_ms = 1300
hold_ms = 800
people = 12
kinds = ["text"]
days = 3
[[fault]]
kind = "kills"
at_ms = 100000
to_ms = 500000
count = 2
aimed = true
[[fault]]
kind = "kills"
at_ms = 100000
to_ms = 300000
inside = "erase"
[[fault]]
kind = "wifi_down"
at_ms = 250000
for_ms = 150000
days = 3
[[fault]]
kind = "noise"
at_ms = 700000
size = 30
days = 3
[[fault]]
kind = "collector_restart"
at_ms = 1300000
for_ms = 5000
[expect]
min_recorded = 1250
"""
ALBUM = Album()

# name -> (file, text, text after): each breaks one promise of the soak.
BREAKS = {
    "leaks a little at each scan": (
        "scanner/station.py",
        "            self.scans += 1\n",
        "            self.scans += 1\n            self._boot += (0,)\n",
    ),
    "forgets a record now and then": (
        "scanner/station.py",
        "if not self.ring.append(self._view[:n], rank):",
        "if self.scans % 50 != 49 and not self.ring.append(self._view[:n], rank):",
    ),
    "erases the first sector again and again": (
        "journal/ring.py",
        "                self.flash.ioctl(_ERASE, index)\n",
        "                for _ in range(1 if index else 4):\n                    self.flash.ioctl(_ERASE, index)\n",
    ),
}


def soak(firmware: Path = REPOSITORY_FIRMWARE, days: int = 3) -> SoakOutcome:
    plan = scenario.parse(SHORT)
    plan.shorten(days)
    return run_soak(plan, firmware=firmware, album=ALBUM)


def broken(outcome: SoakOutcome) -> list[str]:
    return [figure.name for figure in outcome.figures if not figure.kept]


def test_three_short_days_keep_every_promise() -> None:
    outcome = soak()
    print(outcome.text())
    assert outcome.passed, outcome.text()
    door = outcome.doors[0]
    assert door["power_cuts"] == 3 and door["torn_erases"] >= 1
    assert len(door["heap_by_day"]) == 3
    assert door["beeped"] == door["collected"] >= 1250
    assert min(door["heap_by_day"].values()) > 50_000


@pytest.mark.parametrize(
    ("name", "promise", "days"),
    [
        ("leaks a little at each scan", "heap", 3),
        ("forgets a record now and then", "nothing had been programmed", 1),
        ("erases the first sector again and again", "erases", 2),
    ],
)
def test_a_firmware_that_breaks_a_promise_is_found(
    name: str, promise: str, days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    file, text, after = BREAKS[name]
    copytree(REPOSITORY_FIRMWARE, tmp_path / "firmware")
    source = (tmp_path / "firmware" / file).read_text(encoding="utf-8")
    assert source.count(text) == 1, f"'{name}' no longer fits {file}"
    (tmp_path / "firmware" / file).write_text(source.replace(text, after), encoding="utf-8")
    outcome = soak(tmp_path / "firmware", days=days)
    assert not outcome.passed
    said = broken(outcome) + outcome.problems
    assert any(promise in line for line in said), outcome.text()
