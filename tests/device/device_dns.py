"""The name look-up inside MicroPython: answers as servers give them, answers that lie or break off, servers that are silent."""

import asyncio
import random
import socket

from uplink import dns

ASKED = bytes(dns.query("centre.example", b"\x12\x34"))
ROW = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04"


def reply(rows=b"", count=0, flags=b"\x81\x80", asked=ASKED):
    return asked[:2] + flags + b"\0\x01" + bytes((0, count)) + b"\0\0\0\0" + asked[12:] + rows


def test_a_query_is_what_a_server_expects():
    assert ASKED == b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x06centre\x07example\0\0\x01\0\x01"
    for name in ("", "a..b", "x" * 64 + ".example", ".example"):
        try:
            dns.query(name, b"\0\0")
        except ValueError:
            continue
        raise AssertionError(name)


def test_addresses_are_found_among_other_rows():
    alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x06\x03www\xc0\x13"
    longhand = b"\x03www\x07example\0\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x02"
    six = b"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10" + bytes(16)
    assert dns.answer(reply(ROW + b"\x0a\0\0\x01", 1), ASKED) == ["10.0.0.1"]
    assert dns.answer(reply(alias + six + longhand + ROW + b"\x0a\0\0\x01", 4), ASKED) == ["10.0.0.2", "10.0.0.1"]
    many = b"".join(ROW + bytes((10, 0, 0, n)) for n in range(9))
    assert dns.answer(reply(many, 9), ASKED) == ["10.0.0.%d" % n for n in range(4)]
    assert dns.answer(reply(flags=b"\x81\x83"), ASKED) == [], "no such name"


def test_what_is_no_answer_to_the_question_counts_for_nothing():
    good = reply(ROW + b"\x0a\0\0\x01", 1)
    other = bytes(dns.query("centre.example", b"\x12\x35"))
    name = bytes(dns.query("central.exampl", b"\x12\x34"))
    for wrong in (
        b"",
        good[:11],
        good[:20],
        good[: len(ASKED) + 8],
        ASKED,
        reply(ROW + b"\x0a\0\0\x01", 1, asked=other),
        reply(ROW + b"\x0a\0\0\x01", 1, asked=name),
        reply(ROW + b"\x0a\0\0\x01", 1, flags=b"\x01\x80"),
        reply(ROW + b"\x0a\0\0\x01", 1, flags=b"\x81\x82"),
        reply(b"\xff" * 30, 3),
        reply(ROW[:-1] + b"\xff\x0a\0\0\x01", 1),
        reply(),
    ):
        assert dns.answer(wrong, ASKED) is None, wrong


def test_spoilt_answers_never_do_more_than_fail():
    random.seed(5)
    good = reply(ROW + b"\x0a\0\0\x01" + ROW + b"\x0a\0\0\x02", 2)
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(random.randint(1, 4)):
            data[random.randint(0, len(data) - 1)] = random.getrandbits(8)
        found = dns.answer(bytes(data[: random.randint(0, len(data))]), ASKED)
        assert found is None or all([len(address.split(".")) == 4 for address in found])


class Server:
    """A DNS server on a port of this machine; `answers` are functions of a query, in turn."""

    def __init__(self, *answers):
        self.port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.port.bind(socket.getaddrinfo("127.0.0.1", 0)[0][-1])
        self.port.setblocking(False)
        self.answers = list(answers)
        self.asked = 0
        # The port that bind() chose is in the address of what it sends.
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        probe.bind(socket.getaddrinfo("127.0.0.1", 53053)[0][-1])
        self.port.sendto(b"x", socket.getaddrinfo("127.0.0.1", 53053)[0][-1])
        self.address = probe.recvfrom(10)[1]
        probe.close()

    async def serve(self):
        while True:
            await asyncio.sleep_ms(5)
            try:
                query, sender = self.port.recvfrom(512)
            except OSError:
                continue
            self.asked += 1
            data = self.answers.pop(0)(query) if self.answers else None
            if data:
                self.port.sendto(data, sender)


def resolve(*answers):
    """(what is found, how often it was asked, how often the loop ran meanwhile) with a server that answers like this."""
    server = Server(*answers)
    original = dns.socket.getaddrinfo
    turns = [0]

    class Socket:
        AF_INET = socket.AF_INET
        SOCK_DGRAM = socket.SOCK_DGRAM
        socket = socket.socket

        @staticmethod
        def getaddrinfo(host, port):
            assert (host, port) == ("127.0.0.1", 53)
            return [(0, 0, 0, "", server.address)]

    async def others():
        while True:
            turns[0] += 1
            await asyncio.sleep_ms(10)

    async def run():
        tasks = [asyncio.create_task(server.serve()), asyncio.create_task(others())]
        try:
            return await dns.resolve("centre.example", "127.0.0.1", lambda n: b"\x12\x34"[:n])
        finally:
            for task in tasks:
                task.cancel()

    dns.socket = Socket
    try:
        found = asyncio.run(run())
    finally:
        dns.socket = socket
        server.port.close()
    assert original
    return found, server.asked, turns[0]


def test_a_server_is_asked_again_and_nobody_is_blocked_meanwhile():
    def good(query):
        return reply(ROW + b"\x0a\0\0\x01", 1, asked=query)

    found, asked, turns = resolve(good)
    assert (found, asked) == (["10.0.0.1"], 1)
    found, asked, turns = resolve(lambda query: None, lambda query: b"nonsense", good)
    assert (found, asked) == (["10.0.0.1"], 3) and turns > 100
