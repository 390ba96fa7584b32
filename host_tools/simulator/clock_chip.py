"""The I2C bus of a board, and a DS3231 on it: time on a battery, a crystal with an error, the oscillator-stop flag."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from host_tools.simulator.kernel import Kernel

DS3231_ADDRESS = 0x68
_REGISTERS = 0x13
_CONTROL, _STATUS = 0x0E, 0x0F
_OSCILLATOR_STOPPED = 0x80
_NEVER_SET_US = 946_684_800_000_000  # 2000-01-01
# At 100 kHz a byte and its acknowledgement.
BYTE_US = 90
NO_DEVICE = 19


class Device(Protocol):
    """A chip on the bus."""

    def read(self, register: int, count: int) -> bytes:
        """`count` registers from one on."""

    def write(self, register: int, data: bytes) -> None:
        """Bytes into registers from one on."""


class Bus:
    """One bus on a board's pins; the board names them when it uses it."""

    def __init__(self, scl: int, sda: int) -> None:
        self._pins = (scl, sda)
        self.devices: dict[int, Device] = {}
        self.cut_off = False  # a broken wire

    def transfer(self, payload: bytes) -> tuple[int, int, bytes]:
        """One request of the board: (how long it takes, us; 0 or an errno; what was read)."""
        scl, sda, address, register, count = struct.unpack_from("<BBBBB", payload)
        data = payload[5:]
        device = self.devices.get(address)
        if (scl, sda) != self._pins or device is None or self.cut_off:
            return BYTE_US, NO_DEVICE, b""
        taken_us = BYTE_US * (3 + len(data) + count)
        if count:
            return taken_us, 0, device.read(register, count)
        device.write(register, data)
        return taken_us, 0, b""


@dataclass
class ClockChipOptions:
    """One board's DS3231; `ahead_ms` of UTC when the run begins, or never set."""

    drift_ppm: float = 0.0
    battery: bool = True
    set: bool = False
    ahead_ms: int = 0


class Ds3231:
    """The chip. It counts whole seconds from the moment its seconds were written."""

    def __init__(self, kernel: Kernel, options: ClockChipOptions, clock_ms: Callable[[], int]) -> None:
        self._kernel = kernel
        self.options = options
        self._others = bytearray(_REGISTERS)
        self._base_us = _NEVER_SET_US
        self._base_at_us = kernel.now_us
        self._others[_CONTROL] = 0x1C
        self._others[_STATUS] = _OSCILLATOR_STOPPED
        if options.set:
            self._others[_STATUS] = 0
            self._base_us = (clock_ms() + options.ahead_ms) * 1000

    def power_cut(self) -> None:
        """VCC goes; without a battery time stands still, and the chip says so."""
        if not self.options.battery:
            self._base_us, self._base_at_us = _NEVER_SET_US, self._kernel.now_us
            self._others[_STATUS] |= _OSCILLATOR_STOPPED

    def now_us(self) -> int:
        """What it shows, us since 1970."""
        passed_us = self._kernel.now_us - self._base_at_us
        return self._base_us + passed_us + int(passed_us * self.options.drift_ppm / 1e6)

    def read(self, register: int, count: int) -> bytes:
        """`count` registers from one on; the time in them is of one moment."""
        shown = datetime.fromtimestamp(self.now_us() // 1_000_000, timezone.utc)
        fields = (shown.second, shown.minute, shown.hour, shown.isoweekday(), shown.day, shown.month, shown.year % 100)
        self._others[:7] = bytes(value // 10 << 4 | value % 10 for value in fields)
        return bytes(self._others[register : register + count])

    def write(self, register: int, data: bytes) -> None:
        """Bytes into registers from one on; where the seconds are among them the second begins anew."""
        self.read(0, 7)
        for offset, value in enumerate(data):
            at = register + offset
            if at == _STATUS:
                value &= self._others[_STATUS] | ~_OSCILLATOR_STOPPED  # the flag can only be cleared
            self._others[at] = value
        if register < 7:
            second, minute, hour, _, day, month, year = (value // 16 * 10 + value % 16 for value in self._others[:7])
            written = datetime(2000 + year, month, day, hour, minute, second, tzinfo=timezone.utc)
            self._base_us, self._base_at_us = int(written.timestamp()) * 1_000_000, self._kernel.now_us
