"""Who shared a place and time with a card: overlaps certain and possible, and a log of who asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_centre import START_MS, Centre
from sealing_board import Board

from host_tools.cli.main import main
from host_tools.collector.trace import Contact, Tracer

MINUTE = 60_000


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are told in local time."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def contacts(centre: Centre, card: str, stay_minutes: int = 60, **limits: int) -> list[Contact]:
    with centre.store() as store:
        tracer = Tracer(store, stay_minutes * MINUTE)
        return tracer.contacts(tracer.visits_of(card, **limits))


def others(found: list[Contact]) -> list[tuple[str, bool]]:
    return [(contact.other.card_id, contact.certain) for contact in found]


def day(centre: Centre) -> tuple[Board, Board]:
    """A market with two boards and a hospital, cards an hour and more apart."""
    gate, back, hospital = Board(1), Board(2), Board(3)
    for board, place in ((gate, "market"), (back, "market"), (hospital, "hospital")):
        centre.add(board, place)
        board.clock(START_MS)
    gate.scan("111111", after_ms=MINUTE)
    gate.scan("222222", after_ms=30 * MINUTE)
    gate.scan("333333", after_ms=31 * MINUTE)
    gate.scan("444444", after_ms=60 * MINUTE)
    back.scan("555555", after_ms=10 * MINUTE)
    hospital.scan("666666", after_ms=MINUTE)
    for board in (gate, back, hospital):
        assert centre.send(board) == 1
    return gate, back


def test_same_place_and_time(centre) -> None:
    day(centre)
    assert others(contacts(centre, "111111")) == [("555555", True), ("222222", True)]
    # An hour apart to the second and an hour's stay: by 50 ppm they may just have met.
    assert others(contacts(centre, "333333")) == [("222222", True), ("555555", True), ("444444", False)]
    assert others(contacts(centre, "666666")) == []
    assert others(contacts(centre, "111111", stay_minutes=8)) == []


def test_only_who_went_in_was_there(centre) -> None:
    board = centre.add(Board())
    board.clock(START_MS)
    board.scan("100000")
    for verdict in range(1, 9):
        board.scan(f"{verdict}", verdict=verdict)
    centre.send(board)
    assert others(contacts(centre, "100000")) == [("1", True), ("3", True), ("8", True)]
    assert contacts(centre, "2") == []


def test_who_came_and_went_was_inside_between(centre) -> None:
    """A board with two readers: a visit is from the way in to the way out, however long or short."""
    board = centre.add(Board())
    board.clock(START_MS)
    board.scan("1", after_ms=MINUTE)
    board.scan("2", after_ms=MINUTE)
    board.scan("1", reader=1, after_ms=5 * MINUTE)
    board.scan("3", after_ms=2 * MINUTE)  # card 1 has gone
    board.scan("2", reader=1, after_ms=170 * MINUTE)  # longer than the stay
    board.scan("4", after_ms=MINUTE)
    centre.send(board)
    assert others(contacts(centre, "1")) == [("2", True)]
    assert others(contacts(centre, "2")) == [("1", True), ("3", True)]
    assert others(contacts(centre, "4")) == []
    (met,) = contacts(centre, "1")
    assert met.longest_ms == pytest.approx(5 * MINUTE, abs=100)


def test_an_exit_ends_every_visit_that_the_card_began(centre) -> None:
    """Shown twice at the way in, once at the way out: who came after the exit has met nobody."""
    board = centre.add(Board())
    board.clock(START_MS)
    board.scan("1", after_ms=MINUTE)
    board.scan("1", after_ms=MINUTE, verdict=8)
    board.scan("1", after_ms=5 * MINUTE, reader=1)
    board.scan("9", after_ms=20 * MINUTE)
    centre.send(board)
    assert others(contacts(centre, "1")) == [] and others(contacts(centre, "9")) == []


def test_a_second_exit_invents_no_presence(centre) -> None:
    board = centre.add(Board())
    board.clock(START_MS)
    board.scan("9", after_ms=MINUTE)
    board.scan("9", after_ms=25 * MINUTE, reader=1)
    board.scan("1", after_ms=25 * MINUTE)
    board.scan("1", after_ms=4 * MINUTE, reader=1)
    board.scan("1", after_ms=2 * MINUTE, reader=1)
    centre.send(board)
    assert others(contacts(centre, "1")) == []


def test_who_is_seen_going_only_was_inside_before(centre) -> None:
    board = centre.add(Board())
    board.clock(START_MS)
    board.scan("1", after_ms=MINUTE)
    board.scan("2", reader=1, after_ms=30 * MINUTE)
    board.scan("3", after_ms=MINUTE)
    board.scan("2", after_ms=70 * MINUTE)  # comes again: a visit of its own
    centre.send(board)
    assert others(contacts(centre, "2")) == [("1", True)]
    assert others(contacts(centre, "3")) == [("1", True)], "card 2 had gone, and came back after the stay"
    with centre.store() as store:
        visits = Tracer(store, 60 * MINUTE).visits_of("2")
    assert [(visit.out, visit.until_ms - visit.from_ms >= 60 * MINUTE) for visit in visits] == [(True, True), (False, True)]


def test_a_boot_without_time_compares_by_uptime(centre) -> None:
    board = centre.add(Board())
    board.new_epoch(cause=1)
    board.scan("1")
    board.scan("2", after_ms=10 * MINUTE)
    board.scan("3", after_ms=90 * MINUTE)
    centre.send(board)
    assert others(contacts(centre, "1")) == [("2", True)]


def test_bounds_that_may_overlap_are_possible(centre) -> None:
    first, second = centre.add(Board(1)), centre.add(Board(2))
    first.clock(START_MS, error_ms=10)
    first.scan("1", after_ms=0)
    second.clock(START_MS + 70 * MINUTE, error_ms=15 * MINUTE, source=1)
    second.scan("2", after_ms=0)
    second.scan("3", after_ms=5 * MINUTE + 2000)
    centre.send(first)
    centre.send(second)
    assert others(contacts(centre, "1")) == [("2", False)]
    assert others(contacts(centre, "1", stay_minutes=86)) == [("2", True), ("3", False)]


def test_the_surest_overlap_of_a_visit_is_told_once(centre) -> None:
    board = centre.add(Board())
    board.clock(START_MS)
    board.scan("1")
    board.scan("2", after_ms=50 * MINUTE)
    board.scan("2", after_ms=5 * MINUTE)
    centre.send(board)
    (found,) = contacts(centre, "1")
    assert found.longest_ms // MINUTE == 10


def test_limits_and_schemes(centre) -> None:
    board = centre.add(Board())
    board.clock(START_MS)
    board.scan("7", scheme=1)
    board.scan("7", scheme=2, after_ms=300 * MINUTE)
    board.scan("8", scheme=2)
    centre.send(board)
    with centre.store() as store:
        tracer = Tracer(store, 60 * MINUTE)
        assert len(tracer.visits_of("7")) == 2
        assert [visit.scheme for visit in tracer.visits_of("7", 2)] == [2]
        assert [visit.scheme for visit in tracer.visits_of("7", None, START_MS + 70 * MINUTE)] == [2]
        assert [visit.scheme for visit in tracer.visits_of("7", None, None, START_MS + 70 * MINUTE)] == [1]
    assert others(contacts(centre, "7", scheme=1)) == []


def test_the_command_tells_notes_and_writes(centre, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day(centre)
    told = tmp_path / "trace.json"
    told.write_text("old")
    told.chmod(0o644)
    assert main(["trace", "111111", "--db", str(centre.db), "--json", str(told)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "card 111111, visits: 1"
    assert out[1] == "  market  2021-11-18 08:01:00"
    assert [line.split()[-1] for line in out[3:]] == ["certain", "certain"]
    assert " ".join(out[4].split()) == "market 2021-11-18 08:30:59 2021-11-18 09:01:00 1 222222 30 min certain"
    result = json.loads(told.read_text())
    assert [entry["other"]["id"] for entry in result["contacts"]] == ["555555", "222222"]
    assert told.stat().st_mode & 0o777 == 0o600
    assert main(["trace", "999", "--db", str(centre.db)]) == 0
    assert "no scan of it is known" in capsys.readouterr().out
    with centre.store() as store:
        logged = store.db.execute("SELECT who, card, at_ms, stay_ms FROM trace_log").fetchall()
    assert [card for _, card, _, _ in logged] == ["111111", "999"]
    assert all(who and at > START_MS and stay == 60 * MINUTE for who, _, at, stay in logged)


def test_a_card_cannot_steer_the_terminal(centre, capsys: pytest.CaptureFixture[str]) -> None:
    board = centre.add(Board(), "gate \x1b[2J")
    board.clock(START_MS)
    board.scan("1")
    board.scan("\x1b[31mred\n", scheme=0)
    centre.send(board)
    assert main(["trace", "1", "--db", str(centre.db)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and len(out.splitlines()) == 4


@pytest.mark.parametrize(
    "words",
    [
        ["--db", "none.db"],
        ["--stay", "0"],
        ["--from", "yesterday"],
        ["--scheme", "256"],
        ["--stay", "99999999999999999999"],
    ],
)
def test_mistakes_are_one_line(centre, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    database = [] if "--db" in words else ["--db", str(centre.db)]
    assert main(["trace", "1", *database, *words]) in (2, 3)
    assert capsys.readouterr().err.startswith("chot: ")
    assert not Path("none.db").exists()
