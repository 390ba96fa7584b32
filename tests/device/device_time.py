"""Where the board's time comes from, inside MicroPython: which source is believed, the clock chip and its drift, SNTP."""

import asyncio
import struct

import clock as clocks
import drivers.ds3231
from clock import CERTAIN, Clock
from drivers.calendar import civil, unix_s
from drivers.ds3231 import Ds3231
from kept import Kept
from uplink import ntp

NOON_S = 1772409600  # 2026-03-02 00:00:00 UTC
BUILT_S = NOON_S - 86400
DAY_S = 86400
_RTC, _NTP, _COLLECTOR, _MODEM = 1, 2, 3, 4


class Time:
    """Time of the board's crystal, which passes only where somebody waits."""

    def __init__(self):
        self.ms = 0

    async def sleep_ms(self, ms):
        self.ms += ms

    def ticks_ms(self):
        return self.ms

    def ticks_diff(self, a, b):
        return a - b


def clock_of(now):
    clocks.time = now
    return Clock()


def test_calendar_both_ways():
    for second in range(946684800, 4102444800, 86400 * 13 + 7919):
        assert unix_s(*civil(second)[:6]) == second
    assert civil(NOON_S)[:7] == (2026, 3, 2, 0, 0, 0, 0), "a Monday"


def test_the_smaller_error_wins_where_sources_agree():
    now = Time()
    clock = clock_of(now)
    for unix_ms, error_ms, source, wins in (
        (0, 10000, _MODEM, True), (4000, 900, _RTC, True), (4100, 5000, _MODEM, False), (4200, 60, _NTP, True),
        (4230, 80, _COLLECTOR, False), (4230, 20, _COLLECTOR, True), (4225, 5, _NTP, True), (4000, 700, _RTC, False),
    ):  # fmt: skip
        clock.reading(NOON_S * 1000 + unix_ms, error_ms, source)
        assert (clock.source == source and clock.now()[0] == NOON_S * 1000 + unix_ms) is wins, (unix_ms, source)


def test_where_two_contradict_the_more_trusted_wins():
    hour_ms = 3600000
    for first, second, wins in (
        (_MODEM, _RTC, True), (_RTC, _MODEM, False), (_RTC, _NTP, True), (_NTP, _RTC, False), (_NTP, _MODEM, False),
        (_NTP, _COLLECTOR, True), (_COLLECTOR, _NTP, False), (_COLLECTOR, _COLLECTOR, True), (_NTP, _NTP, True),
        (_COLLECTOR, _MODEM, False), (_COLLECTOR, _RTC, False),
    ):  # fmt: skip
        clock = clock_of(Time())
        clock.reading(NOON_S * 1000, 50, first)
        assert clock.record_due()
        clock.recorded()
        clock.reading(NOON_S * 1000 + hour_ms, 10, second)
        assert (clock.source, clock.now()[0]) == ((second, NOON_S * 1000 + hour_ms) if wins else (first, NOON_S * 1000))
        assert clock.record_due() is wins, "a jump is recorded, a lie is not"


def test_what_the_collector_agrees_with_is_believed_like_it():
    """So that a time server which was right once cannot lie later; a collector whose own clock was set still can be right."""
    hour_ms = 3600000
    for collector_ms, error_ms in ((20, 80), (20, 5)):
        clock = clock_of(Time())
        clock.reading(NOON_S * 1000, 30, _NTP)
        assert clock.trust < CERTAIN
        clock.reading(NOON_S * 1000 + collector_ms, error_ms, _COLLECTOR)
        assert clock.trust == CERTAIN and clock.source == (_NTP if error_ms > 30 else _COLLECTOR)
        clock.reading(NOON_S * 1000 + hour_ms, 1, _NTP)
        assert abs(clock.now()[0] - NOON_S * 1000) < 100, "a lie"
        clock.reading(NOON_S * 1000 + hour_ms, 50, _COLLECTOR)
        assert clock.now()[0] == NOON_S * 1000 + hour_ms and clock.trust == CERTAIN
    clock = clock_of(Time())
    clock.reading(NOON_S * 1000, 30, _RTC)
    clock.reading(NOON_S * 1000 + hour_ms, 30, _NTP)
    assert clock.source == _NTP and clock.trust < CERTAIN, "what contradicts vouches for nothing"


def test_a_much_surer_time_is_recorded_a_little_surer_one_is_not():
    clock = clock_of(Time())
    clock.reading(NOON_S * 1000, 10000, _MODEM)
    clock.recorded()
    clock.reading(NOON_S * 1000 + 100, 9500, _MODEM)
    assert not clock.record_due()
    clock.reading(NOON_S * 1000 + 100, 80, _COLLECTOR)
    assert clock.record_due() and clock.source == _COLLECTOR
    clock.recorded()
    clock.reading(NOON_S * 1000 + 100, 5, _COLLECTOR)
    assert not clock.record_due()


class Chip:
    """A DS3231 as its data sheet has it, its crystal off by `ppm`; time passes with `now`."""

    def __init__(self, now, ppm=0):
        self.now = now
        self.ppm = ppm
        self.registers = bytearray(19)
        self.registers[15] = 0x88
        self.base_ms = 946684800000
        self.at_ms = 0
        self.missing = False
        self.writes = 0

    def ms(self):
        passed = self.now.ms - self.at_ms
        return self.base_ms + passed + passed * self.ppm // 1000000

    def readfrom_mem(self, address, register, count):
        if self.missing or address != 0x68:
            raise OSError(19)
        date = civil(self.ms() // 1000)
        for i, value in enumerate((date[5], date[4], date[3], date[6] + 1, date[2], date[1], date[0] % 100)):
            self.registers[i] = value // 10 << 4 | value % 10
        return bytes(self.registers[register : register + count])

    def writeto_mem(self, address, register, data):
        if self.missing:
            raise OSError(19)
        self.writes += 1
        if register == 0:
            second, minute, hour, weekday, day, month, year = [(value >> 4) * 10 + (value & 15) for value in data]
            assert 1 <= weekday <= 7
            self.base_ms, self.at_ms = unix_s(2000 + year, month, day, hour, minute, second) * 1000, self.now.ms
        else:
            self.registers[register : register + len(data)] = data


class Nvs:
    def __init__(self):
        self.blobs = {}
        self.fresh = {}
        self.commits = 0

    def get_blob(self, key, buffer):
        if key not in self.blobs:
            raise OSError(-4354)
        data = self.blobs[key]
        buffer[: len(data)] = data
        return len(data)

    def set_blob(self, key, data):
        self.fresh[key] = bytes(data)

    def commit(self):
        self.blobs.update(self.fresh)
        self.commits += 1


async def hold(work):
    await work()


class Board:
    """One boot of a board with a chip; `nvs` and `chip` outlive it."""

    def __init__(self, now, chip, nvs):
        drivers.ds3231.asyncio = drivers.ds3231.time = now
        self.now = now
        self.clock = clock_of(now)
        self.kept = Kept(nvs, self.clock, hold)
        self.driver = Ds3231(chip, self.clock, self.kept, BUILT_S)

    def told(self, true_ms, error_ms=30):
        """The collector says the time."""
        self.clock.reading(true_ms, error_ms, _COLLECTOR)
        asyncio.run(self.driver.compare())
        asyncio.run(self.kept.save())


def start(ppm=0):
    now = Time()
    return now, Chip(now, ppm), Nvs()


def test_a_chip_that_was_never_set_is_not_believed_and_then_set():
    now, chip, nvs = start()
    board = Board(now, chip, nvs)
    asyncio.run(board.driver.tell())
    assert not board.clock.known() and board.driver.state == 2 and board.driver.health() == []
    now.ms += 12345
    board.told(NOON_S * 1000 + 321)
    true_ms = NOON_S * 1000 + 321 + now.ms - 12345
    assert abs(chip.ms() - true_ms) <= 150 and not chip.registers[15] & 0x80 and chip.registers[14] == 0x1C
    assert board.kept.set_s == chip.ms() // 1000 and board.driver.read() is not None


def test_a_clock_that_is_not_good_enough_sets_nothing():
    now, chip, nvs = start()
    board = Board(now, chip, nvs)
    for source, error_ms in ((_COLLECTOR, 300), (_MODEM, 10000), (_RTC, 10), (_NTP, 10)):
        board.clock = board.driver._clock = clock_of(now)
        board.clock.reading(NOON_S * 1000, error_ms, source)
        asyncio.run(board.driver.compare())
    assert chip.writes == 0


def test_the_truth_lies_within_what_the_chip_says_and_its_drift_is_taken_out():
    for ppm in (0, 2, -2, 30, -45, 120, -200):
        now, chip, nvs = start(ppm)
        zero_ms = NOON_S * 1000
        Board(now, chip, nvs).told(zero_ms + now.ms)
        errors = []
        for days in (1, 3, 9):
            now.ms += days * DAY_S * 1000 + 4321
            board = Board(now, chip, nvs)  # after as many days without power
            asyncio.run(board.driver.tell())
            assert board.clock.known() and board.clock.source == _RTC
            said_ms, error_ms = board.clock.now()
            off_ms = abs(said_ms - zero_ms - now.ms)
            if abs(ppm) <= 50 or board.kept.drift:
                assert off_ms <= error_ms, (ppm, days, off_ms, error_ms)
            errors.append((off_ms, error_ms))
            board.told(zero_ms + now.ms)
        drift = Board(now, chip, nvs).kept.drift
        assert abs(drift - ppm * 10) <= 30, (ppm, drift)
        assert board.driver.health() == [(15, drift)]
        if abs(ppm) > 20:
            assert errors[2][0] < 9 * abs(ppm) * 86 // 4, "nine days, and the drift is out of it"


def test_a_chip_that_stood_still_says_so_and_one_of_nonsense_is_not_believed():
    now, chip, nvs = start()
    Board(now, chip, nvs).told(NOON_S * 1000)
    chip.registers[15] |= 0x80
    board = Board(now, chip, nvs)
    asyncio.run(board.driver.tell())
    assert not board.clock.known() and board.driver.state == 2
    board.told(NOON_S * 1000 + now.ms)
    assert not chip.registers[15] & 0x80, "set anew"
    for base_s in (BUILT_S - 10, 4102444799, 946684800):
        chip.base_ms, chip.at_ms = base_s * 1000, now.ms
        assert board.driver.read() is None
    chip.missing = True
    assert board.driver.read() is None and board.driver.state == 3
    asyncio.run(board.driver.compare())
    asyncio.run(board.driver.tell())

    class Noise:
        def readfrom_mem(self, address, register, count):
            return bytes((0xFF,)) * count if register == 0 else b"\0"

    assert Ds3231(Noise(), board.clock, board.kept, BUILT_S).read() is None


def test_a_chip_that_somebody_else_set_is_set_again_at_once():
    now, chip, nvs = start()
    board = Board(now, chip, nvs)
    board.told(NOON_S * 1000)
    chip.base_ms += 3600000
    board.told(NOON_S * 1000 + now.ms)
    assert abs(chip.ms() - NOON_S * 1000 - now.ms) < 200 and board.kept.drift == 0


def test_what_is_kept_is_written_only_when_it_changed():
    now, chip, nvs = start()
    board = Board(now, chip, nvs)
    board.told(NOON_S * 1000)
    assert nvs.commits == 1
    asyncio.run(board.kept.save())
    assert nvs.commits == 1
    board.kept.sent_bytes = 5000000000
    board.kept.month = 24315
    asyncio.run(board.kept.save())
    again = Kept(nvs, board.clock, hold)
    assert (again.sent_bytes, again.month, again.set_s) == (5000000000, 24315, board.kept.set_s)
    nvs.blobs["kept"] = b"short"
    assert Kept(nvs, board.clock, hold).set_s == 0


def packet(nonce, came_s, left_s, mode=4, leap=0, stratum=2, delay=0, dispersion=0):
    fraction = 1 << 31
    return struct.pack(
        ">BBBbII4s8s8sIIII", leap << 6 | 4 << 3 | mode, stratum, 6, -20, delay, dispersion, b"SIM\0", bytes(8), nonce,
        came_s & 0xFFFFFFFF, fraction, left_s & 0xFFFFFFFF, fraction,
    )  # fmt: skip


def test_ntp_answers():
    nonce = b"\x01\x02\x03\x04\x05\x06\x07\x08"
    ntp_s = NOON_S + 2208988800
    good = packet(nonce, ntp_s, ntp_s)
    assert ntp.reading(good, nonce, 80, BUILT_S) == (NOON_S * 1000 + 500 + 41, 42)
    spread = packet(nonce, ntp_s, ntp_s, delay=65536 // 10, dispersion=65536 // 20)
    assert ntp.reading(spread, nonce, 80, BUILT_S) == (NOON_S * 1000 + 541, 42 + 50 + 50)
    held = packet(nonce, ntp_s, ntp_s + 1)
    assert ntp.reading(held, nonce, 1080, BUILT_S) == (NOON_S * 1000 + 1541, 42)
    for bad, wait_ms in (
        (good[:47], 80), (packet(b"12345678", ntp_s, ntp_s), 80), (packet(nonce, ntp_s, ntp_s, mode=3), 80),
        (packet(nonce, ntp_s, ntp_s, leap=3), 80), (packet(nonce, ntp_s, ntp_s, stratum=0), 80),
        (packet(nonce, ntp_s, ntp_s, stratum=16), 80), (packet(nonce, 0, 0), 80), (packet(nonce, ntp_s - 1, ntp_s), 80),
        (packet(nonce, ntp_s + 1, ntp_s), 80), (packet(nonce, ntp_s, ntp_s, dispersion=65536 * 9), 80),
        (packet(nonce, ntp_s - 2 * DAY_S, ntp_s - 2 * DAY_S), 80), (packet(nonce, 1 << 30, 1 << 30), 80),
        (b"", 80), (bytes(48), 80),
    ):  # fmt: skip
        assert ntp.reading(bad, nonce, wait_ms, BUILT_S) is None, bad


def test_ntp_after_its_seconds_have_wrapped():
    later_s = 2100000000  # 2036-07-18
    nonce = bytes(8)
    answer = packet(nonce, later_s + 2208988800, later_s + 2208988800)
    assert ntp.reading(answer, nonce, 20, later_s - DAY_S)[0] // 1000 == later_s
