"""The line driver inside MicroPython: what ends a line, what starts a module and stops it, and its trigger pin."""

import asyncio

from drivers.line import Line
from drivers.newland import PROFILE

GENERIC = ((9600,), b"", 0, (), b"", b"", 0, b"\r", 60, 5000)
HONEYWELL = ((9600,), b"", 0, (), b"\x16T\r", b"\x16U\r", 0, b"\r", 60, 5000)


class Uart:
    """A UART whose other end answers by the table `answers`, in its own words."""

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.rates = []
        self.sent = []
        self.out = b""

    def init(self, baudrate):
        self.rates.append(baudrate)

    def any(self):
        return len(self.out)

    def readinto(self, buffer):
        n = min(len(buffer), len(self.out))
        buffer[:n] = self.out[:n]
        self.out = self.out[n:]
        return n

    def write(self, data):
        self.sent.append(bytes(data))
        self.out += self.answers.get(bytes(data), b"")


class Pin:
    def __init__(self):
        self.levels = []

    def __call__(self, level):
        self.levels.append(level)


NEWLAND = {b"?": b"!", b"\x1b1": b"\x06", b"\x1b0": b"\x06"}
for setting in PROFILE[3]:
    NEWLAND[setting] = b"\x06"


def driver(profile=GENERIC, answers=None, trigger=None):
    got = []
    reader = Line(Uart(answers), lambda payload: got.append(bytes(payload)), None, profile, trigger)
    reader.state = 2
    return reader, got


def test_a_line_needs_its_suffix():
    for data, wanted in (
        (b"card\r", [b"card"]),
        (b"card\r\n", []),
        (b"card", []),
        (b"one\rtwo\r", []),
        (b"\r", []),
        (b"\r\r", []),
    ):
        reader, got = driver()
        reader.feed(data)
        assert got == [], "a line ends with silence"
        reader.gap()
        assert got == wanted, data
        assert reader.dropped == (0 if wanted or not data.strip() else 1) and not reader.partial()


def test_without_a_suffix_any_line_end_is_stripped():
    profile = GENERIC[:7] + (b"", 60, 5000)
    for data in (b"card", b"card\r", b"card\r\n", b"card\n"):
        reader, got = driver(profile)
        reader.feed(data)
        reader.gap()
        assert got == [b"card"]


def test_the_silence_that_ends_a_line_is_longer_where_no_end_stands():
    """The UART hands bytes over 120 at a time: at 9600 baud the pause between two is no end of a line."""
    reader, _ = driver()
    reader.feed(b"x" * 120)
    assert reader._silence() > 60 + 125
    reader.feed(b"card\r")
    assert reader._silence() == 60


def hold(reader, work):
    """What the flash gate does with a reader."""

    async def held():
        if await reader.stop():
            work()
        await reader.go()

    asyncio.run(held())


def test_strings_start_and_stop_a_module():
    reader, _ = driver(HONEYWELL)
    assert asyncio.run(reader.start()) and reader._uart.sent == [b"\x16T\r"]
    done = []
    hold(reader, lambda: done.append(list(reader._uart.sent)))
    assert done == [[b"\x16T\r", b"\x16U\r"]] and reader._uart.sent[-1] == b"\x16T\r"


def test_a_pin_starts_and_stops_a_module():
    pin = Pin()
    reader, got = driver(trigger=pin)
    assert asyncio.run(reader.start()) and pin.levels == [1, 0]
    hold(reader, lambda: pin.levels.append("work"))
    assert pin.levels == [1, 0, 1, "work", 1, 0]
    reader.feed(b"card\r")
    reader.gap()
    assert got == [b"card"] and reader._soon, "it is triggered again after each code"


def test_newland_is_asked_set_up_and_started():
    reader, _ = driver(PROFILE, NEWLAND)
    assert asyncio.run(reader.start()) and reader.reading()
    assert reader._uart.sent == [b"?"] + list(PROFILE[3]) + [b"\x1b1"]
    assert reader._uart.rates == [9600]


def test_newland_that_does_not_answer():
    reader, _ = driver(PROFILE)
    assert not asyncio.run(reader.start()) and reader.silent()
    assert reader._uart.rates == [9600, 115200]


def test_an_answer_is_no_part_of_a_code():
    reader, got = driver(PROFILE, {b"\x1b1": b"\x06card\r\n"})
    assert asyncio.run(reader._alive())
    reader.gap()
    assert got == [b"card"]
    reader.feed(b"\x06x\r\n")
    reader.gap()
    reader.feed(b"y\r\n\x06")
    assert reader._silence() == 60, "the line has ended"
    reader.gap()
    reader.feed(b"\x06")
    reader.gap()
    assert got == [b"card", b"x", b"y"], "late, or behind a code that was on its way"


def test_the_rest_of_a_code_that_began_before_is_no_code():
    reader, got = driver()
    reader._fill = 5  # bytes had come when the driver was ready
    assert asyncio.run(reader.start())
    reader.feed(b"uyen Van A|18011987|Nam\r")
    reader.gap()
    assert got == [] and reader.dropped == 1
    reader.feed(b"card\r")
    reader.gap()
    assert got == [b"card"]


def test_a_setting_that_is_not_known_stops_nothing():
    answers = dict(NEWLAND)
    del answers[b"NLS0313010=3000;"]
    reader, _ = driver(PROFILE, answers)
    assert asyncio.run(reader.start())


def test_long_noise_is_dropped_and_counted():
    reader, got = driver()
    for _ in range(20):
        reader.feed(b"x" * 256)
    reader.gap()
    assert got == [] and reader.dropped >= 1
    reader.feed(b"ok\r")
    reader.gap()
    assert got == [b"ok"]
