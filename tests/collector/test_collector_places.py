"""A board that moves takes nobody's history along: places are told apart in journal order, not order of receipt."""

from __future__ import annotations

import pytest
from sealing_board import Board

from host_tools.collector.places import checkpoints
from host_tools.collector.timeline import place
from host_tools.errors import UserError

HOUR = 3_600_000


def places(centre, board: Board) -> list[str]:
    with centre.store() as store:
        return checkpoints(place(store.rows(board.device_id)), store.assignments(board.device_id))


def move(centre, board: Board, to: str) -> None:
    with centre.store() as store:
        store.assign(board.device_id, to, centre.now_ms)


def test_what_was_received_before_the_move_stays(centre) -> None:
    board = centre.add(Board(), "market")
    board.scan("1")
    centre.send(board)
    centre.now_ms += HOUR
    move(centre, board, "hospital")
    assert places(centre, board) == ["market"]


def test_records_in_flash_belong_to_the_place_they_were_made_at(centre) -> None:
    board = centre.add(Board(), "market")
    board.clock(centre.now_ms)
    board.scan("1")
    centre.send(board)
    board.scan("2", after_ms=60_000)
    centre.now_ms += HOUR
    move(centre, board, "hospital")
    board.scan("3", after_ms=2 * HOUR)
    centre.now_ms += 3 * HOUR
    centre.send(board)
    assert places(centre, board) == ["market", "market", "market", "hospital"]
    counted = {place["checkpoint"]: place["scans"] for place in centre.state()["checkpoints"]}
    assert counted == {"market": 2, "hospital": 1}


def test_boots_without_time_change_place_at_the_first_boot_after_the_move(centre) -> None:
    board = centre.add(Board(), "market")
    board.clock(centre.now_ms)
    board.scan("1")
    centre.send(board)
    board.scan("2")
    centre.now_ms += HOUR
    move(centre, board, "hospital")
    board.new_epoch(cause=1)
    board.scan("3")
    board.new_epoch(cause=1)
    board.scan("4")
    centre.now_ms += HOUR // 6
    centre.send(board)
    assert places(centre, board) == ["market"] * 3 + ["hospital"] * 4


def test_a_boot_known_to_be_before_the_move_does_not_change_the_place(centre) -> None:
    board = centre.add(Board(), "market")
    centre.send(board)
    board.new_epoch(cause=1)
    board.clock(centre.now_ms)
    board.scan("1", after_ms=1000)
    board.new_epoch(cause=1)
    board.scan("2")
    centre.now_ms += HOUR
    move(centre, board, "hospital")
    board.new_epoch(cause=1)
    board.clock(centre.now_ms + HOUR)
    board.scan("3")
    centre.now_ms += 2 * HOUR
    centre.send(board)
    # The boot without time is the first that may have begun after the move.
    assert places(centre, board) == ["market"] * 3 + ["hospital"] * 5


def test_a_clock_that_runs_ahead_takes_nothing_along_that_was_received(centre) -> None:
    board = centre.add(Board(), "market")
    board.clock(centre.now_ms + 9 * HOUR, source=1)
    board.scan("1")
    centre.send(board)
    centre.now_ms += HOUR
    move(centre, board, "hospital")
    board.scan("2")
    centre.send(board)
    assert places(centre, board) == ["market", "market", "hospital"]


def test_a_later_move_never_reaches_behind_an_earlier_one(centre) -> None:
    board = centre.add(Board(), "market")
    board.clock(centre.now_ms)
    board.scan("1", after_ms=HOUR)
    board.scan("2", after_ms=2 * HOUR)
    centre.now_ms += 2 * HOUR
    move(centre, board, "hospital")
    centre.now_ms -= 2 * HOUR - 60_000  # the centre's clock was set back
    move(centre, board, "school")
    centre.now_ms += 9 * HOUR
    centre.send(board)
    assert places(centre, board) == ["market", "market", "school"]


def test_two_moves_before_anything_is_received(centre) -> None:
    board = centre.add(Board(), "market")
    board.clock(centre.now_ms)
    board.scan("1", after_ms=1000)
    for name in ("hospital", "school"):
        centre.now_ms += HOUR
        move(centre, board, name)
        board.scan("2", after_ms=HOUR)
    centre.now_ms += HOUR
    centre.send(board)
    assert places(centre, board) == ["market", "market", "hospital", "school"]


def test_a_new_generation_is_told_by_time(centre) -> None:
    board = centre.add(Board(), "market")
    board.scan("1")
    centre.send(board)
    centre.now_ms += HOUR
    move(centre, board, "hospital")
    blank = Board(generation=7)
    blank.new_epoch(salt=b"new flash")
    blank.clock(centre.now_ms - HOUR // 2)
    blank.scan("2")
    blank.scan("3", after_ms=HOUR)
    centre.send(blank)
    assert sorted(places(centre, board)) == ["hospital", "market", "market", "market"]


def test_a_board_that_is_not_known_cannot_move(centre) -> None:
    with pytest.raises(UserError, match="no device"):
        move(centre, Board(9), "hospital")
