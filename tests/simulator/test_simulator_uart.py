"""The serial line: order, FIFO, overflow, rates; and the module's protocol in the bytes of its manual."""

from __future__ import annotations

import random
from typing import Any

import pytest

from host_tools.simulator.kernel import Kernel
from host_tools.simulator.scan_module import ModuleOptions, ScanModule, crc16

LISTEN = """
import machine, asyncio, time
uart = machine.UART(1, {baud}, tx={tx}, rx=16, rxbuf={rxbuf})
async def main():
    reader = asyncio.StreamReader(uart)
    while True:
        data = await reader.read(1000)
        print(len(data), data[:8])
        {then}
asyncio.run(main())
"""


class Far:
    """The other end of the line, which keeps what it hears."""

    def __init__(self, baud: int) -> None:
        self.baud = baud
        self.heard = b""

    def receive(self, data: bytes) -> None:
        self.heard += data


def listening(rig: Any, baud: int = 9600, rxbuf: int = 256, then: str = "pass", tx: int = 17) -> Any:
    board = rig(LISTEN.format(baud=baud, rxbuf=rxbuf, then=then, tx=tx))
    board.line.device = Far(9600)
    board.run(1000)
    return board


def test_bytes_arrive_as_the_fifo_hands_them_over(rig: Any) -> None:
    board = listening(rig)
    last_us = board.line.device_sends(bytes(range(200)), 9600)
    assert last_us == board.kernel.now_us + 200 * 1041
    output = board.run(1000).splitlines()
    assert [line.split()[0] for line in output] == ["120", "80"]


def test_what_the_board_writes_arrives_at_its_rate(rig: Any) -> None:
    board = listening(rig, then="uart.write(b'got it')")
    board.line.device_sends(b"x", 9600)
    board.run(10)
    assert board.line.device.heard == b""
    board.run(20)
    assert board.line.device.heard == b"got it"


def test_a_blocked_board_loses_what_its_buffer_cannot_hold(rig: Any) -> None:
    board = listening(rig, then="time.sleep(3)")
    board.line.device_sends(b"a", 9600)
    board.run(100)
    board.line.device_sends(bytes(1000), 9600)
    output = board.run(10_000).splitlines()
    heard = sum(int(line.split()[0]) for line in output[1:])
    assert board.line.overflows > 0
    assert 256 <= heard < 1000
    assert heard + board.line.dropped_bytes == 1000


def test_a_larger_buffer_loses_nothing(rig: Any) -> None:
    board = listening(rig, rxbuf=8192, then="time.sleep(3)")
    board.line.device_sends(b"a", 9600)
    board.run(100)
    sent = bytes(i % 251 for i in range(5000))
    board.line.device_sends(sent, 9600)
    output = board.run(40_000).splitlines()
    assert sum(int(line.split()[0]) for line in output[1:]) == 5000
    assert board.line.dropped_bytes == 0


def test_rates_that_differ_make_garbage_both_ways(rig: Any) -> None:
    board = listening(rig, baud=115200, then="uart.write(b'\\x7e\\x00')")
    board.line.device_sends(b"HELLO", 9600)
    assert "HELLO" not in board.run(1000)
    assert board.line.device.heard and b"\x7e" not in board.line.device.heard
    assert board.line.garbled_bytes > 5


def test_wrong_pins_hear_nothing(rig: Any) -> None:
    board = listening(rig, tx=18)
    board.line.device_sends(b"HELLO", 9600)
    assert board.run(1000) == ""


# The module. Byte strings are those of the manuals (hardware notes 1.1 and 1.2).

ACK = bytes.fromhex("02 00 00 01 00 33 31")


class Bench:
    """A module alone on a bench, with what it sent."""

    def __init__(self, **options: Any) -> None:
        self.kernel = Kernel()
        self.sent: list[bytes] = []
        self.rates: list[int] = []
        self.module = ScanModule(
            self.kernel,
            random.Random(1),
            ModuleOptions(**options),
            send=self._send,
            decode=lambda picture: picture,
            on_read=lambda payload, at_us: None,
        )
        self.module.power_on()
        self.run(2000)

    def _send(self, data: bytes, baud: int) -> int:
        self.sent.append(data)
        self.rates.append(baud)
        return self.kernel.now_us + len(data) * 1000

    def run(self, ms: int) -> None:
        self.kernel.run(self.kernel.now_us + ms * 1000)

    def ask(self, text: str, ms: int = 50) -> bytes:
        """Everything sent within `ms` after the command."""
        before = len(self.sent)
        self.module.receive(bytes.fromhex(text))
        self.run(ms)
        return b"".join(self.sent[before:])


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("7E 00 09 01 00 00 00 DE C8", "02 00 00 01 00 33 31"),  # save
        ("7E 00 09 01 00 00 DE C8", ""),  # save as the appendix misprints it
        ("7E 00 07 01 00 2A 02 D8 0F", "02 00 00 02 39 01 C1 4C"),  # read the rate
        ("7E 00 08 01 00 02 01 AB CD", "02 00 00 01 00 33 31"),  # trigger, CRC not checked
        ("7E 00 08 01 00 02 01 02 DA", "02 00 00 01 00 33 31"),  # trigger, real CRC
        ("7E 00 08 01 00 02 01 02 DB", ""),  # wrong CRC
        ("7E 00 0A 01 00 00 00 30 1A", "03 00 00 01 00 33 31"),  # heartbeat
        ("41 42 7E 00 07 01 00 E0 01 AB CD", "02 00 00 01 05 63 94"),  # noise before; the model
    ],
)
def test_commands_of_the_manual(command: str, reply: str) -> None:
    assert Bench().ask(command, 600).hex() == bytes.fromhex(reply).hex()


@pytest.mark.parametrize(
    ("body", "crc"),
    [
        ("09 01 00 00 00", 0xDEC8),
        ("00 01 00", 0x3331),
        ("00 01 3E", 0xE4AC),
        ("08 01 00 02 01", 0x02DA),
        ("07 01 00 2A 02", 0xD80F),
        ("0A 01 00 00 00", 0x301A),
        ("08 02 00 2A 39 01", 0xA7EA),
    ],
)
def test_the_published_crc_values(body: str, crc: int) -> None:
    assert crc16(bytes.fromhex(body)) == crc


def test_a_command_with_a_gap_of_more_than_400_ms_gets_no_reply() -> None:
    bench = Bench()
    assert bench.ask("7E 00 07 01 00", 300) + bench.ask("00 01 AB CD") != b""
    assert bench.ask("7E 00 07 01 00", 450) + bench.ask("00 01 AB CD") == b""


def test_settings_are_lost_without_a_save_and_kept_with_one() -> None:
    bench = Bench()
    assert bench.ask("7E 00 08 01 00 05 03 AB CD") == ACK
    bench.module.power_off()
    bench.module.power_on()
    bench.run(2000)
    assert bench.module.registers[5] == 10
    bench.ask("7E 00 08 01 00 05 03 AB CD")
    bench.ask("7E 00 09 01 00 00 00 AB CD")
    bench.module.power_off()
    bench.module.power_on()
    bench.run(2000)
    assert bench.module.registers[5] == 3


def test_the_rate_changes_after_its_acknowledgement_and_a_factory_reset_returns_it() -> None:
    bench = Bench()
    assert bench.ask("7E 00 08 02 00 2A 1A 00 AB CD", 100) == ACK
    assert bench.module.baud == 115200 and bench.rates[-1] == 9600
    bench.ask("7E 00 08 01 00 D9 50 AB CD", 100)
    assert not bench.module.ready
    bench.run(2000)
    assert bench.module.ready and bench.module.baud == 9600


def test_the_module_is_deaf_until_it_has_booted() -> None:
    bench = Bench()
    bench.module.reboot()
    assert bench.ask("7E 00 0A 01 00 00 00 30 1A") == b""


def test_output_formats() -> None:
    bench = Bench()
    assert bench.module.framed(b"12") == b"12\r"
    bench.ask("7E 00 08 01 00 60 80 AB CD")
    bench.ask("7E 00 08 01 00 1A 40 AB CD")
    assert bench.module.framed(b"12") == b"\x04\x00\x0212"
    bench.ask("7E 00 08 01 00 60 A1 AB CD")
    assert bench.module.framed(b"12") == b"\x04\x00\x0412\r\n"
    bench.ask("7E 00 08 01 00 1A 01 AB CD")
    assert bench.module.framed(b"12") == b"\x03\x00\x0412\r\n" + crc16(b"12\r\n").to_bytes(2, "big")


def test_a_2016_module_does_not_keep_the_framed_bit() -> None:
    bench = Bench(framed_output=False)
    bench.ask("7E 00 08 01 00 60 81 AB CD")
    assert bench.module.registers[0x60] == 0x01
    assert bench.module.framed(b"12") == b"12\r"


def test_continuous_reading_with_interval_and_same_code_delay() -> None:
    bench = Bench()
    bench.ask("7E 00 08 01 00 05 05 AB CD")
    bench.ask("7E 00 08 01 00 13 94 AB CD")  # the same code again only after 2 s
    bench.sent.clear()
    bench.module.show(b"ONE")
    bench.run(1500)
    assert bench.sent == [b"ONE\r"]
    bench.run(1000)
    assert bench.sent == [b"ONE\r"] * 2
    bench.module.show(b"TWO")
    bench.run(1000)
    assert bench.sent[2:] == [b"TWO\r"]
    bench.module.show(None)
    bench.run(5000)
    assert len(bench.sent) == 3


def test_command_mode_reads_once_after_the_acknowledgement() -> None:
    bench = Bench()
    bench.ask("7E 00 08 01 00 00 15 AB CD")
    bench.sent.clear()
    bench.module.show(b"ONE")
    bench.run(3000)
    assert bench.sent == []
    assert bench.ask("7E 00 08 01 00 02 01 02 DA", 3000) == ACK + b"ONE\r"
    assert bench.module.registers[2] == 0


def test_the_command_that_erases_firmware_is_the_end_of_the_module() -> None:
    bench = Bench()
    bench.ask("7E 00 05 01 00 00 00 AB CD")
    assert bench.module.bricked
    assert bench.ask("7E 00 0A 01 00 00 00 30 1A") == b""
