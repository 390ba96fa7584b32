"""The DS3231 clock chip: read at the turn of a second, set from a better clock, its drift measured (hardware.md 4)."""

import asyncio
import time

from clock import CERTAIN
from drivers.calendar import civil, unix_s
from micropython import const

_ADDRESS = const(0x68)
_CONTROL = const(0x0E)
_STATUS = const(0x0F)
_STOPPED = const(0x80)  # OSF: the oscillator has stood still since the time was set
_YEARS_S = const(20 * 31557600)

_SOURCE = const(1)  # as a CLOCK record names it
_EDGE_MS = const(20)
_SECOND_MS = const(1500)
_LOOK_MS = const(10000)
_GOOD_MS = const(200)  # a clock with less error than this may set the chip
_MEASURE_S = const(86400)  # over a day twice that error is less than 5 ppm
_ASTRAY_MS = const(10000)  # somebody else has set it, where it is off by more than this and 500 ppm
# What the chip may be off by: one that was never measured (fakes are sold), and one that was, beside half of what was measured.
_UNKNOWN_PPM = const(50)
_MEASURED_PPM = const(5)


def _bcd(value):
    return value // 10 << 4 | value % 10


class Ds3231:
    """`i2c` has the chip; `kept` holds when it was set and its drift. `built_s`: no true time is before it."""

    def __init__(self, i2c, clock, kept, built_s):
        self._i2c = i2c
        self._clock = clock
        self._kept = kept
        self._built_s = built_s
        self._told = False
        self.state = 0  # 1 keeps time, 2 has stood still or was never set, 3 does not answer

    def read(self):
        """UTC in whole seconds, or None: it does not answer, has stood still, or says nonsense."""
        self.state = 3
        try:
            fields = self._i2c.readfrom_mem(_ADDRESS, 0, 7)
            stopped = self._i2c.readfrom_mem(_ADDRESS, _STATUS, 1)[0] & _STOPPED
        except OSError:
            return None
        self.state = 2
        second, minute, hour, _, day, month, year = [(value >> 4) * 10 + (value & 15) for value in fields]
        if stopped or hour > 23 or not (0 < day < 32 and 0 < month < 13) or minute > 59 or second > 59 or year > 99:
            return None
        found = unix_s(2000 + year, month, day, hour, minute, second)
        if not self._built_s <= found < self._built_s + _YEARS_S:
            return None
        self.state = 1
        return found

    def health(self):
        """Pairs for HEALTH: the drift that was measured."""
        return [(15, self._kept.drift)] if self._kept.drift else []

    async def edge(self):
        """(UTC in ms, error ± ms) from the turn of a second, or None."""
        before = self.read()
        start = time.ticks_ms()
        while before is not None and time.ticks_diff(time.ticks_ms(), start) < _SECOND_MS:
            early = time.ticks_ms()
            await asyncio.sleep_ms(_EDGE_MS)
            now = self.read()
            if now != before:
                if now is None or now < before:
                    break
                late = time.ticks_diff(time.ticks_ms(), early)
                return now * 1000 + late // 2, late // 2 + 1
        return None

    def _corrected(self, unix_ms, error_ms):
        """What the chip says, its drift since it was set taken out, and what that leaves open."""
        kept = self._kept
        age_s = max(0, unix_ms // 1000 - kept.set_s)
        open_ppm = _MEASURED_PPM + abs(kept.drift) // 20 if kept.drift else _UNKNOWN_PPM
        return unix_ms - age_s * kept.drift // 10000, error_ms + _GOOD_MS + age_s * open_ppm // 1000

    async def tell(self):
        """Give the board's clock what the chip knows, if it was set by this board."""
        found = await self.edge()
        if found and self._kept.set_s:
            self._clock.reading(*(self._corrected(*found) + (_SOURCE,)))

    async def _set(self):
        """Write the time at the turn of a second: with its seconds the chip's second begins anew."""
        unix_ms = self._clock.now()[0]
        await asyncio.sleep_ms(1000 - unix_ms % 1000)
        now_s = (self._clock.now()[0] + 100) // 1000
        year, month, day, hour, minute, second, weekday = civil(now_s)[:7]
        fields = bytes([_bcd(value) for value in (second, minute, hour, weekday + 1, day, month, year - 2000)])
        try:
            self._i2c.writeto_mem(_ADDRESS, 0, fields)
            self._i2c.writeto_mem(_ADDRESS, _CONTROL, b"\x1c\x00")  # oscillator on, alarms off, OSF cleared
        except OSError:
            return
        self._kept.set_s = now_s
        self._kept.hurry()

    async def compare(self):
        """Measure the chip against a clock that the collector vouches for, a day after it was set; and set it again."""
        clock, kept = self._clock, self._kept
        if clock.trust < CERTAIN or clock.source == _SOURCE or clock.now()[1] > _GOOD_MS:
            return
        chip_s = self.read()
        true_ms = clock.now()[0]
        if self.state == 3:
            return
        age_s = true_ms // 1000 - kept.set_s
        if chip_s and kept.set_s and age_s >= 0 and abs(chip_s * 1000 - true_ms) < _ASTRAY_MS + age_s // 2:
            if age_s < _MEASURE_S:
                return
            found = await self.edge()
            true_ms = clock.now()[0]
            if found:
                kept.drift = (found[0] - true_ms) * 10000 // age_s or 1
        await self._set()

    async def run(self, pulse):
        """Tell the time at boot, then watch the chip for ever."""
        if not self._told:
            self._told = True
            await self.tell()
        while True:
            pulse()
            await asyncio.sleep_ms(_LOOK_MS)
            await self.compare()


def make(board, machine, clock, kept, built_s):
    """The chip on the bus of `board`."""
    i2c = machine.I2C(0, scl=machine.Pin(board.I2C_SCL), sda=machine.Pin(board.I2C_SDA), freq=100000)
    return Ds3231(i2c, clock, kept, built_s)
