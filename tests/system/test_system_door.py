"""The door in whole runs: people counted as they pass, buttons, the lock, the voice, a strip as lamp; and the market day."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from host_tools.collector.store import Store
from host_tools.errors import UserError
from host_tools.formats.records import DOOR, HEALTH, INCIDENT, NOTE
from host_tools.simulator import scenario
from host_tools.simulator.run import Outcome, Run
from host_tools.simulator.scenario import Scenario
from tests.system.payloads import Payloads

ROOT = Path(__file__).parents[2]
SHORT_MS = 330_000
AFTER_MS = 12_000
GATE = """
name = "door"
seed = 8
start = "2026-03-02T00:00:00Z"
duration_s = {seconds}
[[board]]
name = "gate"
hardware = "{hardware}"
config = {{ health_s = 20{config} }}
"""


@pytest.fixture
def play() -> Iterator[Callable[..., tuple[Run, Outcome]]]:
    made: list[Run] = []

    def run(what: str | Scenario, *, config: str = "", seconds: int = 50, hardware: str = "esp32-devkitc-door") -> Any:
        if isinstance(what, str):
            text = GATE.format(seconds=seconds, config=config and ", " + config, hardware=hardware) + what
            what = scenario.parse(text)
        made.append(Run(what, album=Payloads()))
        return made[-1], made[-1].play()

    yield run
    for one in made:
        one.close()


def show(at_ms: int, person: int = 1) -> str:
    return f'[[show]]\nboard = "gate"\nat_ms = {at_ms}\nperson = {person}\nkind = "qrqg"\n'


def passage(at_ms: int, kind: str = "walk", **members: object) -> str:
    lines = [f"{name} = {str(value).lower()}" for name, value in members.items()]
    return "\n".join(['[[passage]]\nboard = "gate"', f'at_ms = {at_ms}\nkind = "{kind}"', *lines, ""])


def rows(run: Run, kind: int) -> list[dict[str, Any]]:
    checkpoint = next(iter(run.world.checkpoints.values()))
    with Store(run.world.database) as store:
        found = [row.decoded for row in store.rows(checkpoint.keys.device_id)]
    return [decoded for decoded in found if decoded is not None and decoded["kind"] == kind]


def codes(run: Run, kind: int) -> list[int]:
    return [row["code"] for row in rows(run, kind)]


def shorten(plan: Scenario, until_ms: int) -> None:
    """Nobody comes after `until_ms`."""
    for each in plan.passages:
        each.count = max(0, min(each.count, (until_ms - each.at_ms) // each.every_ms + 1))
    for crowd in plan.crowds:
        crowd.count = max(0, min(crowd.count, (until_ms - crowd.from_ms) // crowd.every_ms + 1))
    plan.duration_s = (until_ms + AFTER_MS) // 1000


def test_market_day(play: Callable[..., tuple[Run, Outcome]]) -> None:
    """The first minutes of it; all of it with CHOT_MARKET=full."""
    plan = scenario.load(ROOT / "scenarios" / "market-day.toml")
    whole = os.environ.get("CHOT_MARKET") == "full"
    if not whole:
        shorten(plan, SHORT_MS)
        plan.boards[0].config["health_s"] = 10
        plan.expect = scenario.Expect(door_within=0.0, incidents=1)
    _, outcome = play(plan)
    assert outcome.passed, outcome.broken
    door = outcome.doors[0]
    if not whole:
        assert door.passages == 80 and door.without_scan == 24
        assert (door.figures["health"][40], door.figures["health"][41]) == (80, 24)


def test_whoever_passes_and_whoever_opens(play: Callable[..., tuple[Run, Outcome]]) -> None:
    script = show(8000) + passage(10500, scanned=True) + passage(18000) + passage(25000, "wedge", for_ms=9000)
    script += passage(36000, "flicker", for_ms=4000)
    run, outcome = play(script, config="held_open_s = 5", seconds=50)
    assert outcome.passed, outcome.broken
    assert codes(run, DOOR) == [1, 5, 2, 4, 6, 2, 4, 3, 2]
    signals = outcome.doors[0].signals
    assert (signals["scan_first"], signals["close_door"], signals["recorded"]) == (3, 1, 1)
    health = dict(rows(run, HEALTH)[-1]["health"])
    assert (health[40], health[41], health[43]) == (2, 1, 0)
    assert health[42] > 3, "a flicker behind a shut door is counted, and is nobody"


def test_hands_the_lock_and_the_voice(play: Callable[..., tuple[Run, Outcome]]) -> None:
    script = show(9000) + passage(11500, scanned=True) + passage(16000, "help")
    script += passage(20000, "guard") + passage(22500, scanned=True)
    script += passage(28000, "tamper", for_ms=2000) + passage(31000)
    run, outcome = play(script, config='quiet_hours = ["00:00-24:00"]')
    assert outcome.passed, outcome.broken
    checkpoint = run.world.checkpoints["gate"]
    assert codes(run, INCIDENT) == [1, 3, 2] and codes(run, DOOR) == [1, 5, 2, 1, 5, 2, 4, 6, 2]
    levels = [level for _, level in checkpoint.doorway.relay_log]
    assert levels == [0, 1, 0, 1, 0], "for the card and for the guard"
    (_, opened, shut, again, _) = [at_us for at_us, _ in checkpoint.doorway.relay_log]
    recorded = next(beep.signal.at_us for beep in checkpoint.log.beeps if beep.signal.name == "recorded")
    assert 0 <= opened - recorded < 5_000 and 3_900_000 < shut - opened < 4_100_000 and again > 19_000_000
    assert checkpoint.voice is not None
    assert [said.prompt for said in checkpoint.voice.said] == [1, 11, 12, 9, 9]
    assert {said.volume for said in checkpoint.voice.said[1:]} == {9}, "quiet, once the time is known"
    assert checkpoint.voice.dropped_bytes == 0


def test_a_board_that_stands_still_leaves_a_fail_safe_door_open(play: Callable[..., tuple[Run, Outcome]]) -> None:
    script = show(9000) + '[[fault]]\nkind = "power_cut"\nat_ms = 15000\n'
    run, outcome = play(script, config='lock = "fail-safe", lock_open_s = 2', seconds=25)
    assert outcome.passed, outcome.broken
    relay = run.world.checkpoints["gate"].doorway.relay_log
    assert [level for _, level in relay] == [1, 0, 1, 1], "holds, lets one through, holds; and again after the power cut"
    assert relay[2][0] - relay[1][0] < 2_100_000 and relay[3][0] > 16_500_000


def test_help_while_there_is_no_network_is_told_later(play: Callable[..., tuple[Run, Outcome]]) -> None:
    script = passage(14000, "help") + passage(15000, "block", for_ms=32000)
    script += '[[fault]]\nkind = "wifi_down"\nat_ms = 9000\nfor_ms = 20000\n'
    run, outcome = play(script, seconds=60)
    assert outcome.passed, outcome.broken
    assert codes(run, INCIDENT) == [1] and outcome.doors[0].signals["help"] == 1
    assert [row["text"] for row in rows(run, NOTE) if "beam" in row["text"]] == ["door: the beam is blocked"]


def test_a_strip_is_a_lamp(play: Callable[..., tuple[Run, Outcome]]) -> None:
    run, outcome = play(show(9000) + passage(12000, scanned=True) + passage(18000), hardware="lilygo-t-a7670", seconds=25)
    assert outcome.passed, outcome.broken
    beeps = run.world.checkpoints["gate"].log.beeps
    assert [(beep.signal.name, beep.signal.lamp) for beep in beeps] == [
        ("recorded", "green"), ("scan_first", "red"), ("scan_first", "red")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ('kind = "jump"', "jump"),
        ('kind = "wedge"', "for_ms"),
        ('kind = "walk"\nspeed = 3', "speed"),
        ('kind = "help"', "BUTTON_HELP"),
        ('kind = "child"', "DOOR_BEAM"),
    ],
)
def test_a_passage_that_is_none(member: str, said: str) -> None:
    gate = GATE.format(seconds=9, config="", hardware="esp32-devkitc")
    with pytest.raises(UserError, match=said):
        scenario.parse(gate + f'[[passage]]\nboard = "gate"\nat_ms = 1\n{member}\n')
