"""The doorway's model beside the firmware's reading of it, both in CPython: random people, counted without a board."""

from __future__ import annotations

import functools
import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from host_tools.simulator.doorway import Doorway
from host_tools.simulator.kernel import Kernel
from host_tools.simulator.scenario import Passage

ROOT = Path(__file__).parents[2]
PINS = {"DOOR_CONTACT": 1, "DOOR_BEAM": 2, "BUTTON_HELP": 3, "BUTTON_GUARD": 4, "TAMPER_PIN": 5}
LOOK_US = 20_000


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Any:
    """firmware/scanner/door.py, as CPython reads it."""
    colours = SimpleNamespace(RED=1, GREEN=2, BLUE=3, YELLOW=4)
    drivers = ModuleType("drivers")
    drivers.lamp = colours  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "drivers", drivers)
    monkeypatch.setitem(sys.modules, "micropython", SimpleNamespace(const=lambda value: value))
    spec = importlib.util.spec_from_file_location("firmware_door", ROOT / "firmware" / "scanner" / "door.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class World:
    """A doorway whose levels a loop looks at as the firmware does, at a phase of its own."""

    def __init__(self, door: Any, seed: int) -> None:
        self.kernel = Kernel()
        self.levels: dict[int, int] = {}
        self.rng = random.Random(seed)
        self.events: list[int] = []
        self.doorway = Doorway(self.kernel, random.Random(f"{seed} doorway"), PINS, self.levels.__setitem__)
        self.door = door.Door(self.events.append, lambda: None, 30_000)

    def plan(self, *passages: Passage) -> None:
        for passage in passages:
            for at_us, action in self.doorway.plan(passage):
                self.kernel.at(at_us, action)

    def run(self, seconds: int) -> None:
        at_us = self.rng.randrange(LOOK_US)
        while at_us < seconds * 1_000_000:
            self.kernel.run(at_us)
            self.door.look(at_us // 1000, self.levels[1] == 1, self.levels[2] == 1)
            at_us += LOOK_US + self.rng.randrange(2_000)  # the loop has other things to do


@pytest.mark.parametrize("seed", range(6))
def test_everybody_is_counted_once(door: Any, seed: int) -> None:
    world = World(door, seed)
    world.plan(*(Passage("gate", 2_000 + 4_000 * n, ("walk", "child", "wheelchair")[n % 3]) for n in range(60)))
    world.run(250)
    assert (world.door.passages, world.door.without_scan) == (60, 60)
    assert world.events.count(door.PASSAGE_WITHOUT_SCAN) == world.doorway.truth.without_scan == 60


def test_in_a_storm_of_flicker_nobody_is_made_up(door: Any) -> None:
    world = World(door, 7)
    world.plan(Passage("gate", 2_000, "wedge", for_ms=600_000), Passage("gate", 3_000, "flicker", for_ms=590_000))
    world.run(610)
    assert world.door.passages == 0 and world.door.ignored > 500


def test_random_crowds_stay_within_two_in_a_hundred(door: Any) -> None:
    told = true = 0
    for seed in range(4):
        world = World(door, 100 + seed)
        at_ms = 3_000
        while at_ms < 900_000:
            scanned = world.rng.random() < 0.6
            if scanned:
                scan_ms = at_ms - 2_000
                world.kernel.at(scan_ms * 1000, functools.partial(world.door.scanned, scan_ms, scan_ms))
            kind = world.rng.choice(("walk", "walk", "walk", "child", "wheelchair"))
            world.plan(Passage("gate", at_ms, kind, scanned=scanned))
            if world.rng.random() < 0.2:  # somebody at his heels
                world.plan(Passage("gate", at_ms + (2_100 if kind == "wheelchair" else 800), "child"))
            at_ms += world.rng.randrange(3_200, 9_000)
        world.run(910)
        told += world.door.without_scan
        true += world.doorway.truth.without_scan
    assert true > 200
    assert abs(told - true) <= true * 0.02, (told, true)
