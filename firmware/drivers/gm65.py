"""GROW "7E 00" scan modules (GM60, GM65, GM805, GM810, GM812, GM861): framed output, else lines (hardware.md 1.1-1.3).

Never sent: command type 05, which erases the module's firmware.
"""

import asyncio

from drivers.module import Module
from micropython import const

_MAX_PAYLOAD_BYTES = const(3072)  # a version 40 symbol holds 2,953
_FRAMED = const(1)
_LINES = const(2)

_SCAN_HEADER = const(0x04)
_REPLY_HEADER = const(0x02)
_LONGEST_REPLY_BYTES = const(33)  # to a read of the first 27 registers

_READ = const(7)
_WRITE = const(8)
_SAVE = const(9)
_MODE = const(0x0000)
_SETUP_CODES = const(0x0003)
_READ_TIME = const(0x0006)
_FRAME_HEADER = const(0x001A)
_BAUD = const(0x002A)
_OUTPUT = const(0x0060)
_POWER = const(0x00D9)
_REGISTERS = const(27)  # 0000 to 001A are read at once; 0060 stands behind them

_COMMAND_MODE = const(0x15)
_CONTINUOUS = const(0x16)  # light and aim while reading; the module's own beeper off: a beep means "recorded"
_INDUCTION = const(0x17)
_FRAMED_BIT = const(0x80)
_FAIL_BIT = const(0x10)
_LINE_WITH_CR = const(0x01)
_DEEP_SLEEP = const(0xA5)
_WAKE = const(0x00)
_BACK_MS = const(1500)  # of continuous reading before induction; less than the read time
_ASLEEP_MS = const(500)

# (register, value): configuration codes disabled; 1 s between reads; reads without end; UART, UTF-8; the same code
# again only after 3 s; frames begin with 04.
_SETTINGS = (
    (_SETUP_CODES, 0x02),
    (0x0005, 10),
    (_READ_TIME, 0),
    (0x000D, 0x0C),
    (0x0013, 0x80 | 30),
    (_FRAME_HEADER, 0x40),
)
_CODES_OFF = b"_SET_CODE_OFF"  # newer models take this instead of register 0003
_FAIL_TIME = const(20)  # tenths of a second until "cannot read it"


def crc16(data):
    """CRC-16/XMODEM over type to data of a command or reply."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


class Gm65(Module):
    """A module of the family. With `on_fail` it waits for the picture to change and says when it could not read what came.

    Without, it reads continuously: then its read-fail text comes all the time, whether a card is there or not.
    """

    def __init__(self, uart, on_payload, on_fail=None):
        super().__init__(uart, on_payload, on_fail)
        self._mode = _INDUCTION if on_fail else _CONTINUOUS
        self._kept = None  # the settings as the module took them

    # Bytes in

    def _parse(self):
        if self.state == _LINES:
            self._find_replies()
        else:
            self._find_frames()

    def gap(self):
        """The line has been silent: end a line, or give up the frame that waits for its rest."""
        if self.state == _LINES:
            self._end_line()
        while self._fill:
            # What looked like a header was none: a whole frame may stand behind it.
            self._drop()
            self._shift(1)
            self._find_frames()

    def _find_frames(self):
        buffer = self._buffer
        at = 0
        while True:
            left = self._fill - at
            if left < 4:
                if left == 0 or buffer[at] == _SCAN_HEADER or buffer[at] == _REPLY_HEADER:
                    break
                n = 0
            elif buffer[at] == _SCAN_HEADER:
                n = self._scan_frame(at, left)
            elif buffer[at] == _REPLY_HEADER and buffer[at + 1] == 0:
                n = self._reply_frame(at, left)
            else:
                n = 0
            if n < 0:
                break
            if n:
                at += n
            else:
                self._drop()
                at += 1
        if at:
            self._shift(at)

    def _scan_frame(self, at, left):
        """Length of the scan frame at `at`, -1 when its end is not here yet, 0 when it is none."""
        buffer = self._buffer
        n = buffer[at + 1] << 8 | buffer[at + 2]
        if n == 0 or n > _MAX_PAYLOAD_BYTES:
            return 0
        end = at + 3 + n
        if left < 3 + n:
            return -1
        if left > 3 + n and buffer[end] != _SCAN_HEADER and buffer[end] != _REPLY_HEADER:
            return 0  # what follows is no header: this frame lost bytes and swallowed the next one's
        self._deliver(self._view[at + 3 : end])
        return 3 + n

    def _reply_frame(self, at, left):
        """As _scan_frame, for a reply to a command: its CRC is always there and right."""
        buffer = self._buffer
        n = buffer[at + 3] + 6
        if n > _LONGEST_REPLY_BYTES:
            return 0
        if left < n:
            return -1
        end = at + n
        if crc16(self._view[at + 2 : end - 2]) != buffer[end - 2] << 8 | buffer[end - 1]:
            return 0
        self._reply = bytes(self._view[at + 4 : end - 2])
        self._noisy = False
        return n

    def _find_replies(self):
        # Lines and replies share the wire: a reply counts at the start of a line only.
        while self._fill >= 7 and self._buffer[0] == _REPLY_HEADER and self._buffer[1] == 0:
            n = self._reply_frame(0, self._fill)
            if n <= 0:
                return
            self._shift(n)

    # The module's settings

    def _command(self, kind, address, data):
        """Send one command; its reply's data, or None."""
        frame = bytes((kind, len(data), address >> 8, address & 0xFF)) + data
        crc = crc16(frame)
        return self._ask(b"\x7e\0" + frame + bytes((crc >> 8, crc & 0xFF)))

    async def _get(self, register, count):
        reply = await self._command(_READ, register, bytes((count,)))
        return reply if reply and len(reply) == count else None

    def _set(self, register, *values):
        return self._command(_WRITE, register, bytes(values))

    async def _registers(self):
        """0000 to 001A, and 0060; None when the module does not answer, in two attempts."""
        registers = await self._get(_MODE, _REGISTERS) or await self._get(_MODE, _REGISTERS)
        return registers and registers + (await self._get(_OUTPUT, 1) or b"\0")

    def _settings(self, registers):
        """Those of the registers that this driver sets."""
        return registers and bytes([registers[0], registers[-1]] + [registers[at] for at, _ in _SETTINGS])

    async def _probe(self):
        """Find the rate the module speaks, and what it is set to."""
        for baudrate in (9600, 115200):
            self._rate(baudrate)
            registers = await self._registers()
            if registers:
                return baudrate, registers
        return 0, None

    async def _configure(self):
        """Bring the module to its settings, writing only what differs and saving once, and only what it keeps."""
        baudrate, found = await self._probe()
        if not found:
            return None
        await self._set(_MODE, _COMMAND_MODE)  # no scan may fall into the exchange
        wanted = bytearray(found)
        for register, value in _SETTINGS:
            wanted[register] = value
        fail_bit = 0
        if self._on_fail:
            wanted[_READ_TIME] = _FAIL_TIME
            fail_bit = _FAIL_BIT
        now = found
        for output in (_FRAMED_BIT, _FRAMED_BIT, _LINE_WITH_CR):
            if not now[-1] & _FRAMED_BIT or output & _FRAMED_BIT:
                wanted[-1] = output | fail_bit  # lines only for a 2016 module, in which the bit does not stick
            differs = False
            for at in range(1, _REGISTERS + 1):
                if now[at] != wanted[at]:
                    differs = True
                    await self._set(at if at < _REGISTERS else _OUTPUT, wanted[at])
            if not differs:
                break
            now = await self._registers() or now
        if now[_SETUP_CODES] != wanted[_SETUP_CODES]:
            self._uart.write(_CODES_OFF)
            await self._rest(50)
        await self._set(_MODE, self._mode)
        self._kept = self._settings(await self._registers())
        if not self._kept:
            return None
        if self._kept != self._settings(found):
            await self._command(_SAVE, 0, b"\0")
        if baudrate == 9600:
            await self._faster()  # unsaved: a power cycle lands on 9600 again
        self._suffix = b"\r" if now[-1] == wanted[-1] else b""
        return _FRAMED if now[-1] & _FRAMED_BIT else _LINES

    async def _faster(self):
        """Go to 115200. The acknowledgement may be lost, so a read at the new rate decides."""
        await self._set(_BAUD, 0x1A, 0x00)
        for baudrate in (115200, 9600):
            self._rate(baudrate)
            for _ in range(2):
                if await self._get(_MODE, 1):
                    return

    async def _alive(self):
        """True when the module answers and has kept its settings."""
        return self._settings(await self._registers()) == self._kept

    async def _reset(self):
        """Deep sleep, and awake again: the module reboots and keeps its settings."""
        await self._set(_POWER, _DEEP_SLEEP)
        await self._rest(_ASLEEP_MS)
        await self._set(_POWER, _WAKE)

    def _pause(self):
        return self._set(_MODE, _COMMAND_MODE)

    async def _resume(self):
        resumed = await self._set(_MODE, _CONTINUOUS)
        if resumed and self._mode != _CONTINUOUS:
            # It would wait for a change, and a card may be there already: read first, for less than the read time.
            await asyncio.sleep_ms(_BACK_MS)
            resumed = await self._set(_MODE, self._mode)
        return resumed


def make(uart, on_payload, on_fail, settings, trigger, number):
    """The reader, as config's "scanner" asks for it."""
    return Gm65(uart, on_payload, on_fail)
