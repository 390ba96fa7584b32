"""Sockets of the board through the link model: what passes, what is held, what is refused, what is forged."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from host_tools.simulator.dns import asked_name, dns_answer
from host_tools.simulator.far_end import COLLECTOR_IP, Host, Hosts
from host_tools.simulator.http_relay import forged_reply
from host_tools.simulator.links import Link, LinkOptions
from host_tools.simulator.wifi import AccessPoint, Station

CLIENT = """
import asyncio, network, time
def stamp(*words):
    print(time.ticks_diff(time.ticks_ms(), start), *words)
start = time.ticks_ms()
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("net", "{password}")
async def ask(host, body):
    try:
        reader, writer = await asyncio.open_connection(host, 8080)
        writer.write(b"POST /v1/journal HTTP/1.1\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
        await writer.drain()
        line = await reader.readline()
        while await reader.readline() != b"\\r\\n":
            pass
        rest = await reader.read(2000)
        stamp(line.decode().strip(), rest[:24])
        reader.close()
        await reader.wait_closed()
    except OSError as error:
        stamp("OSError", error.errno)
async def main():
    for _ in range(100):
        if wlan.isconnected(): break
        await asyncio.sleep_ms(100)
    stamp("status", wlan.status(), wlan.isconnected())
    {then}
asyncio.run(main())
"""
ASK = "await ask('127.0.0.1', b'hello')"
AGAIN = "while True:\n        await asyncio.sleep(1)\n        await ask('127.0.0.1', b'hello')"


class Far:
    """A server of one answer on a loopback port, and the requests it got."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            with connection:
                data = b""
                while b"\r\n\r\n" not in data or not data.endswith(b"hello"):
                    part = connection.recv(65536)
                    if not part:
                        break
                    data += part
                self.requests.append(data)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nworld")

    def close(self) -> None:
        # A thread that waits in accept() is not woken by close() alone: it would take a connection of the next server,
        # whose socket gets the same descriptor.
        with suppress(OSError):  # on macOS: close() wakes it there
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def far() -> Iterator[Far]:
    server = Far()
    yield server
    server.close()


def attach(board: Any, collector: tuple[str, int], **options: Any) -> Link:
    board.station = Station(board.kernel, access_points=[AccessPoint("net", "secret")], notify=board.board.notify)
    board.board.link = board.link = Link(
        board.kernel,
        random.Random(1),
        LinkOptions(**options),
        carrier=board.station,
        hosts=Hosts({COLLECTOR_IP: Host(collector, 8080)}),
        clock_ms=lambda: 1_772_000_000_000,
        notify=board.board.notify,
    )
    return board.link


def linked(rig: Any, far: Far, then: str = ASK, password: str = "secret", **options: Any) -> Any:
    board = rig(CLIENT.format(password=password, then=then))
    attach(board, ("127.0.0.1", far.port), **options)
    return board


def test_a_request_reaches_the_real_server_and_takes_the_time_of_the_link(rig: Any, far: Far) -> None:
    board = linked(rig, far, latency_ms=100)
    status, answer = board.run(10_000).splitlines()
    assert status.split()[1:] == ["status", "1010", "True"]
    assert answer.split(" ", 1)[1] == "HTTP/1.1 200 OK b'world'"
    spent_ms = int(answer.split()[0]) - int(status.split()[0])
    assert 400 <= spent_ms < 450
    assert len(far.requests) == 1 and far.requests[0].endswith(b"hello")


def test_bandwidth_makes_large_requests_slow(rig: Any, far: Far) -> None:
    body = "await ask('127.0.0.1', bytes(20000) + b'hello')"
    board = linked(rig, far, then=body, bandwidth_kbit_s=32)
    status, answer = board.run(30_000).splitlines()
    assert 5000 <= int(answer.split()[0]) - int(status.split()[0]) < 9000


def test_without_an_access_point_there_is_no_route(rig: Any, far: Far) -> None:
    board = linked(rig, far)
    board.station.set_access_point(False)
    status, answer = board.run(30_000).splitlines()
    assert status.split()[1:] == ["status", "1001", "False"]
    assert "OSError" in answer
    assert far.requests == []


def test_a_wrong_password_never_connects(rig: Any, far: Far) -> None:
    board = linked(rig, far, password="other")
    assert "False" in board.run(30_000).splitlines()[0]


def test_the_station_comes_back_with_the_access_point(rig: Any, far: Far) -> None:
    board = linked(rig, far, then=AGAIN)
    board.run(8_000)
    before = len(far.requests)
    assert before >= 4
    board.station.set_access_point(False)
    board.run(30_000)
    assert len(far.requests) == before
    board.station.set_access_point(True)
    board.run(30_000)
    assert len(far.requests) > before + 4
    assert board.station.associations == 2


def test_a_black_hole_swallows_and_a_connect_times_out(rig: Any, far: Far) -> None:
    board = linked(rig, far)
    board.link.set_black_hole(True)
    status, answer = board.run(40_000).splitlines()
    assert "OSError 110" in answer
    assert int(answer.split()[0]) - int(status.split()[0]) >= 17_900
    assert far.requests == []


def test_what_a_short_black_hole_holds_arrives_after_it(rig: Any, far: Far) -> None:
    board = linked(rig, far)
    board.link.set_black_hole(True)
    board.kernel.at(5_000_000, lambda: board.link.set_black_hole(False))
    assert board.run(15_000).splitlines()[1].endswith("b'world'")


def test_loss_only_delays(rig: Any, far: Far) -> None:
    board = linked(rig, far, loss=0.4)
    assert board.run(120_000).splitlines()[1].endswith("b'world'")


def test_names_are_resolved_and_a_dead_dns_blocks_ten_seconds(rig: Any, far: Far) -> None:
    then = "await ask('centre.example', b'hello')"
    assert linked(rig, far, then=then).run(10_000).splitlines()[1].endswith("b'world'")
    board = linked(rig, far, then=then)
    board.link.dns_works = False
    status, answer = board.run(20_000).splitlines()
    assert "OSError -202" in answer
    assert 10_000 <= int(answer.split()[0]) - int(status.split()[0]) < 10_100


def test_a_captive_portal_and_a_forger_pass_nothing_on(rig: Any, far: Far) -> None:
    board = linked(rig, far)
    board.link.portal = True
    assert "<html>" in board.run(10_000)
    board = linked(rig, far)
    board.link.forging = True
    assert "200 OK b'\\x01" in board.run(10_000)
    assert board.link.forged == 1
    assert far.requests == []


def test_a_forged_reply_is_well_formed_for_its_request() -> None:
    piece = bytes(40) + (64).to_bytes(2, "little") + (5).to_bytes(2, "little") + b"abcde"
    body = bytes(45) + b"NONCE123" + piece + piece + bytes(32)
    reply = forged_reply(b"POST / HTTP/1.1\r\n\r\n" + body, 1234, random.Random(1)).partition(b"\r\n\r\n")[2]
    assert reply[:9] == b"\x01NONCE123"
    assert reply[9:-32] == b'{"stored":2,"now":1234}'


def test_a_stopped_collector_refuses(rig: Any, far: Far) -> None:
    board = linked(rig, far)
    board.link.collector_up = False
    assert "OSError 111" in board.run(10_000)


def test_what_was_sent_before_the_board_hung_up_still_arrives(rig: Any, far: Far) -> None:
    """The board gives up, the collector has the request all the same: stored, and not known to be."""
    impatient = """
    reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
    await asyncio.sleep(3)
    writer.write(b"POST /v1/journal HTTP/1.1\\r\\nContent-Length: 5\\r\\n\\r\\nhello")
    await writer.drain()
    await asyncio.sleep(2)
    writer.close()
    await writer.wait_closed()
    stamp("gave up")
    await asyncio.sleep(20)
"""
    board = linked(rig, far, then=impatient)
    board.kernel.at(5_000_000, lambda: board.link.set_black_hole(True))
    board.kernel.at(12_000_000, lambda: board.link.set_black_hole(False))
    assert "gave up" in board.run(11_000)
    assert far.requests == []
    board.run(10_000)
    assert len(far.requests) == 1
    assert board.board.state != "stuck"

DATAGRAMS = """
import asyncio, network, select, socket, time
wlan = network.WLAN(network.STA_IF)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setblocking(False)
try:
    s.sendto(b"early", ("192.168.4.9", 123))
except OSError as error:
    print("OSError", error.errno)
wlan.active(True)
wlan.connect("net", "secret")
async def main():
    while not wlan.isconnected():
        await asyncio.sleep_ms(100)
    poll = select.poll()
    poll.register(s, select.POLLIN)
    for to in (("192.168.4.9", 123), ("192.168.4.9", 99), ("192.168.4.9", 123)):
        start = time.ticks_ms()
        s.sendto(b"what time is it", to)
        while not poll.poll(0) and time.ticks_diff(time.ticks_ms(), start) < 2000:
            await asyncio.sleep_ms(10)
        try:
            print(time.ticks_diff(time.ticks_ms(), start) // 20 * 20, s.recvfrom(12))
        except OSError as error:
            print("OSError", error.errno)
    s.connect(("192.168.4.8", 123))
    s.send(b"hello")
    await asyncio.sleep_ms(300)
    print(s.recv(100))
    s.close()
asyncio.run(main())
"""


def test_datagrams_come_back_from_whoever_answers_and_are_lost_where_nobody_does(rig: Any) -> None:
    board = rig(DATAGRAMS)
    link = attach(board, ("127.0.0.1", 9), latency_ms=40)
    asked: list[tuple[str, bytes]] = []

    def clock(host: str, data: bytes) -> bytes:
        asked.append((host, data))
        if host.endswith("8"):
            link.datagram(1, "192.168.4.66", 123, b"from elsewhere")
        return b"noon, or a little later"

    link.services[123] = clock
    assert board.run(10_000).splitlines() == [
        "OSError 113",
        "80 (b'noon, or a l', ('192.168.4.9', 123))",
        "OSError 11",
        "80 (b'noon, or a l', ('192.168.4.9', 123))",
        "b'noon, or a little later'",
    ]
    assert asked == [("192.168.4.9", b"what time is it")] * 2 + [("192.168.4.8", b"hello")]


def test_datagrams_are_lost_with_the_link(rig: Any) -> None:
    board = rig(DATAGRAMS)
    link = attach(board, ("127.0.0.1", 9), loss=1.0)
    link.services[123] = lambda host, data: b"noon"
    assert "noon" not in board.run(10_000)
    board = rig(DATAGRAMS)
    link = attach(board, ("127.0.0.1", 9))
    link.services[123] = lambda host, data: b"noon"
    link.set_black_hole(True)
    assert "noon" not in board.run(10_000)


def test_a_name_server_answers_the_question_it_was_asked() -> None:
    question = b"\6centre\7example\0\0\1\0\1"
    query = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + question
    assert asked_name(query) == "centre.example"
    answer = dns_answer(query, ["10.0.0.1", "10.0.0.2"])
    assert answer is not None and answer[:8] == b"\x12\x34\x81\x80\0\1\0\2"
    assert answer[12 : 12 + len(question)] == question and answer.endswith(b"\0\4\x0a\0\0\2")
    missing = dns_answer(query, [])
    assert missing is not None and missing[3] & 15 == 3
    for broken in (b"", query[:11], query[:20], query[:5] + b"\2" + query[6:]):
        assert dns_answer(broken, ["10.0.0.1"]) is None
