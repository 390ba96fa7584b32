"""The collector on the network: sizes and clocks of requests, hostile connections, and the page."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time

import pytest
from sealing_board import Board

from host_tools.collector import doorman, server
from host_tools.collector.page import PAGE
from host_tools.errors import UserError
from host_tools.formats import records


def raw(centre, data: bytes, *, wait_s: float = 5.0) -> bytes:
    """What the collector says to these bytes until it closes the connection or falls silent."""
    with socket.create_connection(("127.0.0.1", centre.port), timeout=wait_s) as connection:
        connection.sendall(data)
        said = b""
        try:
            while chunk := connection.recv(4096):
                said += chunk
        except TimeoutError:
            said += b"(silence)"
        return said


def head(*lines: str) -> bytes:
    return "\r\n".join(("POST /v1/journal HTTP/1.1", "Host: x", *lines, "", "")).encode()


def test_a_large_body_is_refused_before_it_is_read(centre) -> None:
    started = time.monotonic()
    assert raw(centre, head("Content-Length: 999999999999")).startswith(b"HTTP/1.1 413")
    assert raw(centre, head("Transfer-Encoding: chunked") + b"11000\r\n" + b"x" * 0x11000).startswith(b"HTTP/1.1 413")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: -1"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: x"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["X: " + "y" * 20_000],
    ],
)
def test_lengths_that_lie_are_refused(centre, lines: list[str]) -> None:
    assert raw(centre, head(*lines) + b"hello", wait_s=2).split(b" ", 2)[1] == b"400"
    assert centre.get("/v1/state")[0] == 200


def test_a_packed_body_is_not_unpacked(centre) -> None:
    board = centre.add(Board())
    body = gzip.compress(board.request([]))
    said = raw(centre, head(f"Content-Length: {len(body)}", "Content-Encoding: gzip", "Connection: close") + body)
    assert said.startswith(b"HTTP/1.1 401")


def test_a_slow_body_and_a_slow_head_are_closed(make_centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_TIMEOUT_S", 0.3)
    monkeypatch.setattr(doorman, "KEEPALIVE_S", 0.3)
    monkeypatch.setattr(doorman.Doorman.__init__, "__defaults__", (0.3,))
    centre = make_centre()
    assert raw(centre, head("Content-Length: 100") + b"slow").startswith(b"HTTP/1.1 408")
    assert raw(centre, b"POST /v1/jour") == b""
    assert raw(centre, b"") == b""
    kept_open = raw(centre, b"GET /v1/state HTTP/1.1\r\nHost: x\r\n\r\n")
    assert kept_open.startswith(b"HTTP/1.1 200") and not kept_open.endswith(b"(silence)")
    assert centre.get("/")[0] == 200


def test_a_request_in_hand_outlives_the_clock_of_its_head(make_centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorman.Doorman.__init__, "__defaults__", (0.2,))
    centre = make_centre()
    board = centre.add(Board())
    body = board.request([])
    with socket.create_connection(("127.0.0.1", centre.port), timeout=5) as connection:
        connection.sendall(head(f"Content-Length: {len(body)}") + body[:20])
        time.sleep(0.5)
        connection.sendall(body[20:])
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_crowd_does_not_keep_boards_out(make_centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorman, "MAX_CONNECTIONS", 5)
    monkeypatch.setattr(doorman.Doorman.__init__, "__defaults__", (0.4,))
    centre = make_centre()
    crowd = [socket.create_connection(("127.0.0.1", centre.port), timeout=5) for _ in range(30)]
    try:
        for connection in crowd:
            assert connection.recv(1) == b""
    finally:
        for connection in crowd:
            connection.close()
    assert centre.send(centre.add(Board()), []) == 0


def test_a_port_in_use_is_a_user_error(centre, tmp_path) -> None:
    second = server.CollectorServer(centre.db, [bytes(32)], clock_ms=lambda: 0, port=centre.port)
    with pytest.raises(UserError, match=str(centre.port)):
        second.start()
    second.stop()


def test_it_starts_again_on_the_same_database(make_centre) -> None:
    first = make_centre()
    board = first.add(Board())
    board.scan("1")
    first.send(board)
    first.server.stop()
    second = make_centre()
    board.scan("2")
    assert second.send(board) == 1
    with second.store() as kept:
        assert [row.lsn for row in kept.rows(board.device_id)] == board.lsns


def test_the_page_is_whole_in_itself(centre) -> None:
    status, body, headers = centre.get("/")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.search(rb"https?://|//[a-z]+\.|src=|@import", body)
    assert "innerHTML" not in PAGE
    for word in ("Lượt quét", "Scans by checkpoint"):
        assert word.encode() in body


def test_whoever_went_by_without_a_scan_is_counted(centre) -> None:
    board = centre.add(Board(), "chợ An Cựu")
    board.clock(centre.now_ms - 90_000)
    for code in (1, 5, 6, 2, 4, 6, 3, 6):
        board.append(kind=records.DOOR, code=code)
    for code in (1, 3, 2, 3, 6):
        board.append(kind=records.INCIDENT, code=code)
    centre.send(board)
    place = centre.state()["checkpoints"][0]
    assert (place["unscanned"], place["waved_in"], place["scans"]) == (3, 2, 0)
    with centre.store() as store:
        store.assign(board.device_id, "chợ Đông Ba", centre.now_ms)
    centre.now_ms += 600_000
    board.append(kind=records.DOOR, code=6, after_ms=600_000)
    centre.send(board)
    places = {place["checkpoint"]: place for place in centre.state()["checkpoints"]}
    assert [places[name]["unscanned"] for name in ("chợ An Cựu", "chợ Đông Ba")] == [3, 1]


def test_the_state_says_what_boards_say_and_names_no_card(centre) -> None:
    board = centre.add(Board(), "chợ Đông Ba <b>")
    board.append(kind=records.BOOT, cause=1, version="1.0.0 micropython 1.28", config=3)
    before = centre.state()
    assert before["checkpoints"][0]["scans"] == 0 and "last_latest" not in before["checkpoints"][0]
    board.clock(centre.now_ms - 90_000)
    board.scan("046099012345", after_ms=1000, scheme=2)
    board.scan("THECARD", after_ms=79_000, verdict=1, scheme=0)
    board.scan("", after_ms=1000, verdict=4, scheme=9)
    board.append(kind=records.HEALTH, health=[[1, 91234], [2, 4], [5, 1], [6, -67], [10, 3], [11, 2], [99, -5]])
    centre.send(board)
    state = centre.state()
    text = json.dumps(state, ensure_ascii=False)
    assert "046099012345" not in text and "THECARD" not in text
    place = state["checkpoints"][0]
    assert (place["checkpoint"], place["scans"], place["not_cards"]) == ("chợ Đông Ba <b>", 3, 1)
    assert place["last_minute"] == 2
    assert place["last_earliest"] <= centre.now_ms - 9000 <= place["last_latest"]
    described = state["boards"][0]
    assert described["firmware"] == "1.0.0 micropython 1.28"
    assert described["health"] == {
        "heap_free_bytes": 91234,
        "sectors_unreleased": 4,
        "link": 1,
        "rssi_dbm": -67,
        "reads_dropped": 3,
        "uplink_failures": 2,
        "99": -5,
    }
    assert described["clock_known"] and described["last_seen"] == centre.now_ms
    centre.now_ms += 120_000
    board.new_epoch(cause=1)
    board.scan("5")
    centre.send(board)
    state = centre.state()
    assert not state["boards"][0]["clock_known"]
    # The scan that no clock places may be two minutes old, so it is not said to be of the last one.
    assert (state["checkpoints"][0]["scans"], state["checkpoints"][0]["last_minute"]) == (4, 0)


def test_the_state_of_a_long_journal_equals_that_of_a_short_one(centre) -> None:
    board = centre.add(Board())
    board.clock(centre.now_ms)
    for number in range(1200):
        board.scan(f"{number:06d}", after_ms=10)
    centre.now_ms += 12_000
    for at in range(0, len(board.pieces()), 8):
        centre.send(board, board.pieces()[at : at + 8])
    place = centre.state()["checkpoints"][0]
    assert place["scans"] == 1200
    assert place["last_latest"] - centre.now_ms <= 25


def test_the_clock_of_a_board_is_the_collectors(centre) -> None:
    board = centre.add(Board())
    centre.now_ms += 123_456
    assert centre.send(board, []) == 0
