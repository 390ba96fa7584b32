"""Scenario files: what is accepted, and the one line that says what is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from host_tools.cards.people import expected, person
from host_tools.errors import UserError
from host_tools.simulator import scenario
from host_tools.simulator.crowd import Album, showings
from host_tools.simulator.judge import Expected, match
from host_tools.simulator.signals import SignalDecoder

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.toml"))
LEAST = 'name = "x"\nduration_s = 1\n[[board]]\nname = "a"\n'


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_scenarios_of_the_repository_are_valid(path: Path) -> None:
    loaded = scenario.load(path)
    if loaded.expect.shown is not None:
        assert sum(1 for _ in showings(loaded)) == loaded.expect.shown


def test_defaults_and_nested_tables() -> None:
    plan = scenario.parse(
        LEAST + 'module = { framed_output = false, registers = { "0005" = 3 } }\nlink = { loss = 1 }\n'
    )
    assert plan.start_ms == 1772409600000
    assert plan.boards[0].module.framed_output is False
    assert plan.boards[0].module.registers == {5: 3}
    assert plan.boards[0].link.loss == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "scenario: "),
        ('name = "x"\nduration_s = 1', "'board' is missing"),
        (LEAST + "colour = 1", "board 1: there is no 'colour'"),
        (LEAST + "power_on_ms = '1'", "power_on_ms: must be int"),
        (LEAST + "power_on_ms = -1", "must not be negative"),
        (LEAST + "power_on_ms = true", "must be int"),
        (LEAST + '[[board]]\nname = "a"', "of its own name"),
        (LEAST + '[[show]]\nboard = "b"\nat_ms = 1\nkind = "qrqg"', "no board 'b'"),
        (LEAST + '[[show]]\nboard = "a"\nat_ms = 1', "exactly one of kind, text, hex, fill"),
        (LEAST + '[[show]]\nboard = "a"\nat_ms = 1\nkind = "visa"', "no 'visa'"),
        (LEAST + '[[show]]\nboard = "a"\nat_ms = 1\nkind = "qrqg"\nmedium = "stone"', "no 'stone'"),
        (LEAST + '[[show]]\nboard = "a"\nat_ms = 1\nhex = "0"', "hex is not hex"),
        (LEAST + '[[fault]]\nkind = "earthquake"\nat_ms = 1', "no kind 'earthquake'"),
        ('start = "noon"\n' + LEAST, "start is no moment"),
        ('flash_timing = "slow"\n' + LEAST, "typical or worst"),
        (LEAST + "module = { registers = { zz = 1 } }", "named in hex"),
        (LEAST + '[[fault]]\nkind = "kills"\nat_ms = 1\ninside = "read"', "program or erase"),
        (LEAST + "[soak]\nheap = 1", "there is no 'heap'"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_place(text: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    with pytest.raises(UserError) as caught:
        scenario.parse(text)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(UserError):
        scenario.load(Path("does-not-exist.toml"))


def test_a_crowd_is_the_same_for_the_same_seed_and_its_pictures_can_be_read() -> None:
    text = LEAST + '[[crowd]]\nboard = "a"\nfrom_ms = 100\ncount = 12\nevery_ms = 10\npeople = 5\nworn = true\n'
    first, second = (list(showings(scenario.parse(text))) for _ in range(2))
    assert first == second
    assert [showing.at_ms for showing in first] == list(range(100, 220, 10))
    card = expected("qrqg", person(0))
    assert (first[0].scheme, first[0].card) == (card.scheme, card.id)
    assert first[0].card == first[5].card and first[0].payload == first[5].payload
    album = Album()
    for showing in first[:5]:
        assert album.decode(album.picture(showing)) == showing.payload


def test_what_comes_every_day_comes_every_day_and_a_shorter_run_has_its_share() -> None:
    text = LEAST.replace("duration_s = 1", "duration_s = 40\nday_s = 10") + (
        '[[crowd]]\nboard = "a"\nfrom_ms = 3000\ncount = 2\nevery_ms = 500\ndays = 4\n'
        '[[crowd]]\nboard = "a"\nfrom_ms = 13200\ncount = 1\n'
        '[[fault]]\nkind = "power_cut"\nat_ms = 25000\ndays = 2\n[expect]\nmin_recorded = 8\n'
    )
    plan = scenario.parse(text)
    times = [showing.at_ms for showing in showings(plan)]
    assert times == [3000, 3500, 13000, 13200, 13500, 23000, 23500, 33000, 33500]
    plan.shorten(3)
    assert [showing.at_ms for showing in showings(plan)] == times[:7]
    assert (plan.duration_s, plan.expect.min_recorded, plan.faults[0].days) == (30, 6, 1)
    plan.shorten(1)
    assert [showing.at_ms for showing in showings(plan)] == times[:2]
    assert (plan.duration_s, plan.expect.min_recorded, plan.faults[0].days) == (10, 2, 0)


# Matching records with beeps.


def beeped(number: int) -> Expected:
    return Expected((1, str(number)), True, f"beep {number}")


def perhaps(number: int) -> Expected:
    return Expected((1, str(number)), False, f"cut {number}")


def rows(*numbers: int) -> list[tuple[int, str]]:
    return [(1, str(number)) for number in numbers]


def test_records_match_beeps_one_by_one() -> None:
    assert match(rows(1, 2, 3), [beeped(1), beeped(2), beeped(3)]) == ([0, 1, 2], None)


def test_a_record_whose_beep_was_cut_may_be_there_or_not() -> None:
    wanted = [beeped(1), perhaps(2), beeped(3)]
    assert match(rows(1, 2, 3), wanted) == ([0, 1, 2], None)
    assert match(rows(1, 3), wanted) == ([0, 2], None)
    # The same card again after the cut: one record is the beeped one's.
    again = [perhaps(2), beeped(2)]
    assert match(rows(2), again) == ([1], None)
    assert match(rows(2, 2), again) == ([0, 1], None)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (rows(1), "beeped but not there: beep 2"),
        (rows(2, 1), "record 1"),
        (rows(1, 2, 2), "record 3"),
        (rows(9), "record 1"),
    ],
)
def test_what_does_not_match_is_said(there: list[tuple[int, str]], said: str) -> None:
    found = match(there, [beeped(1), beeped(2)])[1]
    assert found is not None and said in found


# Signals.


def heard(*events: tuple[int, int, int]) -> Counter[str]:
    """Signals from (ms, Hz, duty) settings of the buzzer."""
    counts: Counter[str] = Counter()
    decoder = SignalDecoder(lambda signal: counts.update([signal.name]), (25, 26, 27), 32)
    for ms, hz, duty in events:
        decoder.pwm(32, hz, duty, ms * 1000)
    return counts


def test_the_first_tone_names_a_signal() -> None:
    assert heard((0, 2700, 0), (0, 2700, 9), (150, 2700, 0)) == {"recorded": 1}
    assert heard((0, 900, 9), (120, 900, 0), (200, 900, 9), (320, 900, 0)) == {"not_card": 1}
    assert heard((0, 300, 9), (150, 300, 0), (250, 300, 9), (400, 300, 0), (500, 300, 9)) == {"fault": 1}
    assert heard((0, 300, 9), (150, 300, 0), (950, 300, 9)) == {"fault": 2}
    # The board was blocked for 100 ms between the two tones of one signal; a full ring turned away two people.
    assert heard((0, 900, 9), (120, 900, 0), (300, 900, 9), (420, 900, 0)) == {"not_card": 1}
    assert heard((0, 700, 9), (350, 700, 0), (450, 700, 9), (800, 700, 0), (1000, 700, 9)) == {"full": 2}


def test_two_single_tones_are_two_signals_however_close() -> None:
    assert heard((0, 2700, 9), (100, 2700, 0), (180, 2700, 9)) == {"recorded": 2}
    assert heard((0, 2700, 9), (90, 2700, 9)) == {"recorded": 2}
    assert heard((0, 2700, 9), (5, 2700, 9)) == {"recorded": 1}
    assert heard((0, 2700, 9), (100, 2000, 9)) == {"recorded": 1, "repeat": 1}
