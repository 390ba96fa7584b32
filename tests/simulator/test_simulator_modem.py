"""The simulated modem by itself, held to the byte strings and times of the hardware facts; and the DS3231 beside it."""

from __future__ import annotations

import errno
import random
from typing import Any

import pytest

from host_tools.simulator.board import _ops
from host_tools.simulator.cellular import Cellular
from host_tools.simulator.clock_chip import DS3231_ADDRESS, NO_DEVICE, Bus, ClockChipOptions, Ds3231
from host_tools.simulator.connection import LinkOptions
from host_tools.simulator.far_end import Hosts
from host_tools.simulator.kernel import Kernel
from host_tools.simulator.links import Link
from host_tools.simulator.modem import BOOTING, COMMAND, DATA, LCP_REQUEST, OFF, Modem, ModemOptions
from host_tools.simulator.ntp import NtpServer
from host_tools.simulator.uart import UartLine
from host_tools.simulator.wifi import Station

SECOND = 1_000_000
NOON_MS = 1_772_409_600_000  # 2026-03-02T00:00:00Z


class Bench:
    """A modem on a bench; `heard` is all that came from it."""

    def __init__(self, **options: Any) -> None:
        self.kernel = Kernel()
        self.heard = b""
        self.modem = Modem(self.kernel, ModemOptions(**options), send=self._hear, clock_ms=self.utc_ms)
        self.modem.supply(True)

    def utc_ms(self) -> int:
        return NOON_MS + self.kernel.now_us // 1000

    def _hear(self, data: bytes, baud: int) -> int:
        assert baud == self.modem.baud
        self.heard += data
        return self.kernel.now_us

    def wait(self, seconds: float) -> bytes:
        """What comes in so many seconds."""
        before = len(self.heard)
        self.kernel.run(self.kernel.now_us + int(seconds * SECOND))
        return self.heard[before:]

    def press(self, pin: str, seconds: float) -> None:
        self.modem.pin(pin, 1, self.kernel.now_us)
        self.wait(seconds)
        self.modem.pin(pin, 0, self.kernel.now_us)
        self.wait(0.001)

    def ask(self, command: str, seconds: float = 1) -> str:
        before = len(self.heard)
        self.modem.receive(command.encode() + b"\r")
        self.wait(seconds)
        return self.heard[before:].decode("latin-1")

    def on(self) -> Bench:
        self.press("pwrkey", 0.5)
        self.wait(20)
        self.ask("ATE0")
        return self

    def in_call(self) -> Bench:
        self.on()
        self.ask('AT+CGDCONT=1,"IP","v-internet"')
        assert self.ask("ATD*99#", 0.6).startswith("\r\nCONNECT 115200\r\n") and self.modem.state == DATA
        assert self.modem.attach()
        return self


def test_the_power_key_switches_on_after_eleven_seconds_and_off_after_a_long_press() -> None:
    bench = Bench()
    assert bench.modem.state == OFF and bench.ask("AT") == ""
    bench.press("pwrkey", 0.02)
    assert bench.modem.state == OFF, "too short"
    bench.press("pwrkey", 0.1)
    assert bench.modem.state == BOOTING and bench.ask("AT", 10) == ""
    assert bench.wait(4).decode().split() == ["*ATREADY:", "1", "+CPIN:", "READY", "SMS", "DONE", "PB", "DONE"]
    bench.press("pwrkey", 0.5)
    assert bench.modem.state == COMMAND, "a short press does nothing to one that is on"
    bench.press("pwrkey", 2.6)
    bench.wait(2.1)
    assert bench.modem.state == OFF


def test_a_reset_pulse_under_two_seconds_does_nothing() -> None:
    bench = Bench().on()
    bench.press("reset", 1.9)
    assert bench.modem.state == COMMAND
    bench.press("reset", 2.2)
    assert bench.modem.state == BOOTING and bench.modem.boots == 2


def test_echo_until_it_is_switched_off() -> None:
    bench = Bench(running=True)
    bench.wait(20)
    assert bench.ask("AT") == "AT\r\r\nOK\r\n"
    assert bench.ask("ATE0") == "ATE0\r\r\nOK\r\n"
    assert bench.ask("AT") == "\r\nOK\r\n"
    assert bench.ask("AT+NONSENSE") == "\r\nERROR\r\n"


@pytest.mark.parametrize(
    ("options", "command", "answer"),
    [
        ({}, "AT+CPIN?", "\r\n+CPIN: READY\r\n\r\nOK\r\n"),
        ({"sim": "pin"}, "AT+CPIN?", "\r\n+CPIN: SIM PIN\r\n\r\nOK\r\n"),
        ({"sim": "missing"}, "AT+CPIN?", "\r\n+CME ERROR: 10\r\n"),
        ({}, "AT+CSQ", "\r\n+CSQ: 18,99\r\n\r\nOK\r\n"),
        ({"registration": "searching"}, "AT+CSQ", "\r\n+CSQ: 99,99\r\n\r\nOK\r\n"),
        ({}, "AT+CEREG?", "\r\n+CEREG: 0,1\r\n\r\nOK\r\n"),
        ({"registration": "roaming"}, "AT+CGREG?", "\r\n+CGREG: 0,5\r\n\r\nOK\r\n"),
        ({"registration": "denied"}, "AT+CREG?", "\r\n+CREG: 0,3\r\n\r\nOK\r\n"),
        ({"registration": "searching"}, "AT+CREG?", "\r\n+CREG: 0,2\r\n\r\nOK\r\n"),
        ({"sim": "missing"}, "AT+CEREG?", "\r\n+CEREG: 0,0\r\n\r\nOK\r\n"),
        ({"registration": "denied"}, "ATD*99#", "\r\nNO CARRIER\r\n"),
        ({"apn": "other"}, "ATD*99#", "\r\nNO CARRIER\r\n"),
    ],
)
def test_answers(options: dict[str, Any], command: str, answer: str) -> None:
    assert Bench(**options).on().ask(command) == answer


def test_the_networks_time_only_once_it_is_wanted_on_an_a7670() -> None:
    bench = Bench().on()
    assert '"70/01/01,' in bench.ask("AT+CCLK?")
    assert "OK" in bench.ask("AT+CTZU=1")
    assert f'+CCLK: "26/03/02,07:00:{bench.kernel.now_us // SECOND:02d}+28"' in bench.ask("AT+CCLK?")
    assert '-14"' in Bench(kind="sim7600", zone_quarters=-14).on().ask("AT+CCLK?"), "a SIM7600 takes it from the factory on"


def test_connect_is_followed_by_lcp_until_somebody_answers_or_it_hangs_up() -> None:
    bench = Bench().on()
    said = bench.ask("ATD*99#", 4)
    assert said.startswith("\r\nCONNECT 115200\r\n") and bench.heard.count(LCP_REQUEST) == 2
    assert bench.wait(30).endswith(b"\r\nNO CARRIER\r\n") and bench.modem.state == COMMAND
    bench = Bench().in_call()
    assert bench.wait(60) == b"", "PPP of the board has answered"


def test_three_plus_signs_want_silence_before_and_after() -> None:
    bench = Bench().in_call()
    bench.wait(2)
    assert bench.ask("AT", 0.5) == "", "data"
    bench.modem.receive(b"+++")
    assert bench.wait(2) == b"", "no silence before"
    bench.wait(2)
    bench.modem.receive(b"+++")
    bench.wait(0.5)
    bench.modem.receive(b"~")
    assert bench.wait(2) == b"" and bench.modem.state == DATA, "no silence after"
    bench.modem.receive(b"+")
    bench.wait(1)
    bench.modem.receive(b"++")
    assert bench.wait(2) == b"", "too slow"
    bench.wait(2)
    bench.modem.receive(b"+++")
    assert bench.wait(1.1) == b"\r\nOK\r\n" and bench.modem.state == COMMAND


def test_dtr_and_a_lost_registration_hang_up_and_a_brown_out_is_silent() -> None:
    bench = Bench().in_call()
    bench.modem.pin("dtr", 0, bench.kernel.now_us)
    bench.modem.pin("dtr", 1, bench.kernel.now_us)
    assert bench.wait(0.1) == b"\r\nNO CARRIER\r\n"
    bench = Bench().in_call()
    bench.modem.registration("searching")
    assert bench.heard.endswith(b"\r\nNO CARRIER\r\n") and bench.modem.state == COMMAND
    bench = Bench().in_call()
    bench.modem.brown_out()
    assert bench.wait(11) == b"" and bench.wait(4).startswith(b"\r\n*ATREADY")


def test_a_wrong_pin_costs_a_try() -> None:
    bench = Bench(sim="pin", pin="4711").on()
    assert bench.ask('AT+CPIN="1111"') == "\r\n+CME ERROR: 16\r\n" and "+SPIC: 2," in bench.ask("AT+SPIC")
    assert bench.ask('AT+CPIN="4711"') == "\r\nOK\r\n" and "+SPIC: 3," in bench.ask("AT+SPIC")
    assert "READY" in bench.ask("AT+CPIN?")


def transfer(bus: Bus, register: int, count: int = 0, data: bytes = b"", pins: tuple[int, int] = (22, 21)) -> tuple[int, bytes]:
    _, code, found = bus.transfer(bytes((*pins, DS3231_ADDRESS, register, count)) + data)
    return code, found


def test_the_clock_chip_keeps_time_at_its_own_pace_and_says_when_it_stood_still() -> None:
    kernel = Kernel()
    chip = Ds3231(kernel, ClockChipOptions(drift_ppm=100.0, battery=False), lambda: NOON_MS)
    bus = Bus(22, 21)
    bus.devices[DS3231_ADDRESS] = chip
    assert transfer(bus, 0x0F, 1) == (0, b"\x80"), "never set"
    assert transfer(bus, 0, 7, pins=(18, 19)) == (NO_DEVICE, b""), "other pins"
    transfer(bus, 0, data=bytes((0x58, 0x59, 0x23, 1, 0x31, 0x12, 0x26)))
    transfer(bus, 0x0E, data=b"\x1c\x00")
    kernel.run(1_999_000)
    assert transfer(bus, 0, 7)[1][:3] == bytes((0x59, 0x59, 0x23)), "its second began when it was written"
    kernel.run(2_000_000)
    assert transfer(bus, 0, 7)[1] == bytes((0, 0, 0, 5, 1, 1, 0x27)) and transfer(bus, 0x0F, 1)[1] == b"\0"
    kernel.run(2_000_000 + 100_000 * SECOND)
    assert chip.now_us() - 1_798_761_600 * SECOND - 100_000 * SECOND == 10_000_200
    transfer(bus, 0x0F, data=b"\x80")
    assert transfer(bus, 0x0F, 1)[1] == b"\0", "nobody can set the flag"
    chip.power_cut()
    assert transfer(bus, 0x0F, 1)[1] == b"\x80" and chip.now_us() == 946_684_800 * SECOND
    bus.cut_off = True
    assert transfer(bus, 0, 7) == (NO_DEVICE, b"")


def test_the_time_server_answers_whoever_asks() -> None:
    server = NtpServer(lambda: NOON_MS + 250)
    answer = server.answer("", b"\x23" + bytes(39) + b"questions")
    assert answer is not None and len(answer) == 48 and answer[0] == 0x24 and answer[24:32] == b"question"
    assert int.from_bytes(answer[40:44], "big") == NOON_MS // 1000 + 2_208_988_800 and answer[44] == 0x40
    server.up = False
    assert server.answer("", bytes(48)) is None


def test_a_new_rate_is_acknowledged_at_the_old_one_and_forgotten_with_the_supply() -> None:
    rates: list[int] = []
    bench = Bench().on()
    bench.modem._wires = lambda data, baud: rates.append(baud) or bench.kernel.now_us  # type: ignore[func-returns-value]
    bench.ask("AT+IPR=921600")
    assert rates == [115_200] and bench.modem.baud == 921_600
    bench.ask("AT")
    assert rates[-1] == 921_600
    bench.modem.brown_out()
    bench.wait(20)
    assert bench.modem.baud == 115_200
    for refused in ({"fast": False}, {}):
        other = Bench(**refused).on()
        assert other.ask("AT+IPR=921600" if refused else "AT+IPR=123456") == "\r\nERROR\r\n" and other.modem.baud == 115_200


def test_ppp_takes_the_time_of_its_bytes_on_the_uart() -> None:
    kernel = Kernel()
    line = UartLine(kernel, random.Random(1), tx_pin=27, rx_pin=26, on_bytes=lambda count: None)
    modem = line.device = Modem(kernel, ModemOptions(), send=line.device_sends, clock_ms=lambda: NOON_MS)
    cellular = Cellular(kernel, modem, line, lambda kind, ident, value: None)
    for baud, ms in ((115_200, 130), (921_600, 16)):
        modem.baud = baud
        cellular._free_us = [0, 0]
        assert abs(cellular.over_us(0, 1480, True) // 1000 - ms) <= 1
        assert abs(cellular.over_us(0, 1480, True) // 1000 - 2 * ms) <= 2, "one behind the other"
        assert abs(cellular.over_us(0, 1480, False) // 1000 - ms) <= 1, "the other way is free"


def test_what_was_open_over_a_call_ends_with_it() -> None:
    """The next call has another address; with Wi-Fi the board keeps its own."""
    kernel = Kernel()
    told: list[tuple[int, ...]] = []
    line = UartLine(kernel, random.Random(1), tx_pin=27, rx_pin=26, on_bytes=lambda count: None)
    modem = line.device = Modem(kernel, ModemOptions(), send=line.device_sends, clock_ms=lambda: NOON_MS)
    cellular = Cellular(kernel, modem, line, lambda kind, ident, value: None)
    station = Station(kernel, access_points=[], notify=lambda kind, ident, value: None)
    for carrier, failed in ((cellular, [(_ops.EVENT_FAILED, 7, errno.ECONNABORTED)]), (station, [])):
        told.clear()
        link = Link(
            kernel,
            random.Random(1),
            LinkOptions(),
            carrier=carrier,
            hosts=Hosts(),
            clock_ms=lambda: NOON_MS,
            notify=lambda *what: told.append(what),
        )
        carrier.associated = True
        assert link.connect(7, 80) == 0
        carrier.associated = False
        carrier.changed()
        assert told == failed
