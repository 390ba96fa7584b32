"""Rules as whole runs: two readers, in and out, a limit, hours and a time not known, what is no card; records say why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from host_tools.collector.store import Store
from host_tools.formats.records import HEALTH, SCAN
from host_tools.simulator import scenario
from host_tools.simulator.run import Outcome, Run
from tests.system.payloads import Payloads

GATE = """
name = "rules"
seed = 3
start = "2026-03-02T00:00:00Z" # a Monday, seven in Huế
duration_s = {seconds}
heap = "{heap}"
[[board]]
name = "gate"
hardware = "{hardware}"
config = {{ {config} }}
{module}
"""
TWO = "esp32-s3-devkitc-1"
# With 8 MiB of PSRAM that board has megabytes; with every part of a door and two readers 110 KB no longer do.
HEAPS = {TWO: "150wK", "esp32-devkitc": "110wK"}
EXIT = "[board.exit_module]\nboot_us = 900_000\n"


@pytest.fixture
def play() -> Iterator[Callable[..., tuple[Run, Outcome]]]:
    made: list[Run] = []

    def run(config: str, shows: str, *, seconds: int = 40, two: bool = False) -> tuple[Run, Outcome]:
        hardware = TWO if two else "esp32-devkitc"
        module = EXIT if two else ""
        text = GATE.format(seconds=seconds, config=config, hardware=hardware, module=module, heap=HEAPS[hardware]) + shows
        made.append(Run(scenario.parse(text), album=Payloads()))
        return made[-1], made[-1].play()

    yield run
    for one in made:
        one.close()


def show(at_ms: int, person: int, *, reader: int = 0, kind: str = "qrqg", hold_ms: int = 900) -> str:
    return (
        f'[[show]]\nboard = "gate"\nat_ms = {at_ms}\nperson = {person}\nkind = "{kind}"\n'
        f"reader = {reader}\nhold_ms = {hold_ms}\n"
    )


def rows(run: Run, kind: int) -> list[dict[str, Any]]:
    with Store(run.world.database) as store:
        found = [row.decoded for row in store.rows(run.world.checkpoints["gate"].keys.device_id)]
    return [decoded for decoded in found if decoded is not None and decoded["kind"] == kind]


def verdicts(run: Run) -> list[tuple[int, int]]:
    return [(row["reader"], row["verdict"]) for row in rows(run, SCAN)]


def test_in_and_out_are_told_apart_and_a_place_is_full(play: Callable[..., Any]) -> None:
    shows = (
        show(7000, 1) + show(9000, 2)
        + show(11000, 3)  # full
        + show(13000, 1, reader=1)  # one goes
        + show(15000, 3) + show(17000, 2)  # who waited; who is in already
        + show(19000, 9, reader=1, kind="vietqr")
    )  # fmt: skip
    run, outcome = play('exit_scanner = "gm65", most_inside = 2, health_s = 10', shows, two=True)
    assert outcome.broken == []
    assert verdicts(run) == [(0, 1), (0, 1), (0, 7), (1, 3), (0, 1), (1, 4)]
    door = outcome.doors[0]
    assert dict(door.signals) == {"recorded": 4, "place_full": 1, "repeat": 1, "not_card": 1}
    last = dict(rows(run, HEALTH)[-1]["health"])
    assert (last[19], last[20], last[9]) == (2, 1, 6)


def test_two_cards_at_once_at_both_readers(play: Callable[..., Any]) -> None:
    """Each is recorded and beeped for, the second one a moment after the first; nobody's bytes are mixed with the other's."""
    shows = "".join(show(7000 + 1500 * n, n) + show(7000 + 1500 * n + n * 7, 100 + n, reader=1) for n in range(20))
    run, outcome = play('exit_scanner = "gm65"', shows, two=True, seconds=50)
    door = outcome.doors[0]
    assert sorted(verdicts(run)) == [(0, 3)] * 20 + [(1, 3)] * 20
    assert door.read == door.signals["recorded"] == 40 and door.unanswered == 0 and door.worst_latency_ms < 150
    beeps = [beep.signal.at_us for beep in run.world.checkpoints["gate"].log.beeps]
    assert min(after - before for before, after in zip(beeps, beeps[1:], strict=False)) >= 70_000


@pytest.mark.parametrize("seed", [1, 2])
def test_passes_of_two_kilobytes_at_both_readers_fit_the_heap(play: Callable[..., Any], seed: int) -> None:
    """Lists, two readers, and passes from abroad among the cards: on the heap of a board nothing crashes, all are answered."""
    kinds = ("foreign", "shc", "cccd", "bhyt-new", "qrqg", "vds-nc")
    shows = "".join(
        show(8000 + 1500 * n + 433 * way, 2 * n + way, reader=way, kind=kinds[(n + seed) % len(kinds)])
        for n in range(60)
        for way in (0, 1)
    )
    run, outcome = play('exit_scanner = "gm65", lists = ["deny"], health_s = 10', shows, two=True, seconds=110)
    assert outcome.broken == []
    door = outcome.doors[0]
    # A card that comes just as its module is stopped for an erase may be taken away unread; that is seen, no beep.
    assert len(rows(run, SCAN)) == door.read == door.signals["recorded"] >= 119
    assert [row["text"] for row in rows(run, 7) if row["level"] == 3] == ["lists: no deny list in force"]


def test_one_module_fails_and_the_other_goes_on(play: Callable[..., Any]) -> None:
    fault = '[[fault]]\nkind = "module_cut_off"\nreader = 1\nat_ms = 10000\nfor_ms = 60950\n'  # ends between two cards
    shows = "".join(show(7000 + 2000 * n, n) + show(8000 + 2000 * n, 100 + n, reader=1) for n in range(50))
    run, outcome = play('exit_scanner = "auto", scanner = "auto", health_s = 900', shows + fault, two=True, seconds=120)
    assert outcome.broken == []
    readers = [row["reader"] for row in rows(run, SCAN)]
    assert readers.count(0) == 50 and 15 <= readers.count(1) <= 25, "those shown to a module without wires are not read"
    states = [(row["uptime_ms"], dict(row["health"])[14], dict(row["health"])[20]) for row in rows(run, HEALTH)]
    told = [at_ms for at_ms, first, second in states if first == 1 and second in (0, 3)]
    assert told and told[0] < 40_000, "the centre is told within thirty seconds"
    assert states[-1][1:] == (1, 1), "and that it is back"


def test_hours(play: Callable[..., Any]) -> None:
    """Seven in the morning at the first card: open from 07:00 to 07:00:20 would be odd, so the door opens at 08:00."""
    shows = show(7000, 1) + show(9000, 2) + show(12000, 2)
    run, outcome = play('hours = ["1-5 08:00-17:00"]', shows)
    assert outcome.broken == []
    assert verdicts(run) == [(0, 9), (0, 9)], "a card that is shown again is told so again, and recorded once"
    assert dict(outcome.doors[0].signals) == {"refused": 3}
    run, outcome = play('hours = ["1-5 06:00-17:00"]', shows)
    assert verdicts(run) == [(0, 1), (0, 1)] and dict(outcome.doors[0].signals) == {"recorded": 2, "repeat": 1}


def test_nobody_is_refused_for_a_time_that_is_not_known(play: Callable[..., Any]) -> None:
    away = '[[fault]]\nkind = "wifi_down"\nat_ms = 0\nfor_ms = 20000\n'
    run, outcome = play('hours = ["08:00-17:00"]', show(7000, 1) + show(38000, 2) + away, seconds=60)
    assert outcome.broken == []
    assert verdicts(run) == [(0, 1), (0, 9)], "once the centre has told the time, the hours hold"


def test_other_codes_can_be_refused_and_leave_nothing(play: Callable[..., Any]) -> None:
    text = '[[show]]\nboard = "gate"\nat_ms = 9000\ntext = "Nguyễn Văn A, 18/1/1987"\n'
    run, outcome = play('other_codes = "refuse"', show(7000, 1) + text + show(11000, 2, kind="foreign"))
    assert outcome.broken == []
    assert [(row["verdict"], row["scheme"], row["id"]) for row in rows(run, SCAN)][1] == (4, 0, "")
    assert [row["verdict"] for row in rows(run, SCAN)] == [3, 4, 3]


def test_an_exit_scanner_on_a_board_without_one_is_said(play: Callable[..., Any]) -> None:
    run, outcome = play('exit_scanner = "gm65"', show(7000, 1))
    assert outcome.broken == [] and verdicts(run) == [(0, 3)]
    notes = [row["text"] for row in rows(run, 7)]
    assert "exit_scanner: this board has no place for it" in notes
