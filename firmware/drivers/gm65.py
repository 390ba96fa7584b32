"""GROW "7E 00" scan modules (GM60, GM65, GM805, GM810, GM812, GM861): framed output, else lines (hardware.md 1.1-1.3).

The upper half is bytes in, payloads and replies out, and never waits; the lower half talks the module through its start.
"""

import asyncio
import time
from binascii import unhexlify

from micropython import const

_MAX_PAYLOAD_BYTES = const(3072)  # a version 40 symbol holds 2,953

# State of the module, as HEALTH reports it.
_STARTING = const(0)
_FRAMED = const(1)
_LINES = const(2)
_SILENT = const(3)

_SCAN_HEADER = const(0x04)
_REPLY_HEADER = const(0x02)
_GAP_MS = const(60)  # no byte for so long inside a frame: the rest was lost (longest pause seen in drivers: 50 ms)
_POLL_MS = const(5)
_REPLY_TIMEOUT_MS = const(250)
_SETTLE_MS = const(300)  # the module takes the host's start-up levels for start bits
_SILENCE_MS = const(20000)  # without a byte for so long the module is asked whether it is still there
_AFTER_NOISE_MS = const(300)
_RETRY_MS = const(1000)
_TRIES = const(5)
_LONGEST_REPLY_BYTES = const(26)  # to a read of the first 20 registers

_READ = const(7)
_WRITE = const(8)
_SAVE = const(9)
_MODE = const(0x0000)
_BAUD = const(0x002A)
_OUTPUT = const(0x0060)
_FRAME_HEADER = const(0x001A)

_COMMAND_MODE = const(0x15)
_FRAMED_BIT = const(0x80)
_LINE_WITH_CR = const(0x01)

# (register, value): continuous, light and aim while reading, the module's own beeper off (a beep means "recorded");
# configuration codes disabled; 1 s between reads; no time-out; UART, UTF-8; the same code again only after 3 s.
_SETTINGS = ((0x0003, 0x02), (0x0005, 10), (0x0006, 0), (0x000D, 0x0C), (0x0013, 0x80 | 30), (_FRAME_HEADER, 0x40))
_CONTINUOUS = const(0x16)

_ACK = unhexlify("02000001003331")


def crc16(data):
    """CRC-16/XMODEM over type to data of a command or reply."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


class Gm65:
    """One scan module on one UART. `on_payload(memoryview)` is called for each code read, before feed() returns."""

    def __init__(self, uart, on_payload):
        self.state = _STARTING
        self.dropped = 0  # reads lost: broken frames, lines and noise, counted once a burst
        self._uart = uart
        self._stream = asyncio.StreamReader(uart)
        self._on_payload = on_payload
        self._input = bytearray(256)
        self._buffer = bytearray(_MAX_PAYLOAD_BYTES + 64)
        self._view = memoryview(self._buffer)
        self._fill = 0
        self._reply = None
        self._tail = False  # lines end with CR
        self._noisy = False  # inside a burst of bytes that belong to nothing
        self._heard_ms = time.ticks_ms()
        self._talking = False

    def reading(self):
        """True when codes that are shown arrive."""
        return self.state == _FRAMED or self.state == _LINES

    def silent(self):
        """True when the module does not answer at any rate."""
        return self.state == _SILENT

    # Bytes in

    def feed(self, data):
        """Take bytes from the module, of any number and cut anywhere."""
        n = len(data)
        fill = self._fill
        if fill + n > len(self._buffer):
            self._drop()
            self._fill = fill = 0
            if n > len(self._buffer):
                return
        self._buffer[fill : fill + n] = data
        self._fill = fill + n
        if self.state == _LINES:
            self._find_replies()
        else:
            self._find_frames()

    def partial(self):
        """True while bytes wait to be read, or for the rest of their frame or line."""
        return self._fill != 0 or self._uart.any() != 0

    def gap(self):
        """The line has been silent for _GAP_MS: end a line, or give up the frame that waits for its rest."""
        if self.state == _LINES:
            self._end_line()
        while self._fill:
            # What looked like a header was none: a whole frame may stand behind it.
            self._drop()
            self._shift(1)
            self._find_frames()

    def _drop(self):
        if not self._noisy:
            self._noisy = True
            self.dropped += 1

    def _shift(self, n):
        rest = self._fill - n
        if rest:
            self._buffer[:rest] = self._view[n : self._fill]
        self._fill = rest

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
                self._noisy = False
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
        self._on_payload(self._view[at + 3 : end])
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

    def _end_line(self):
        """A code without a frame ends with silence; its tail is stripped, and where it is missing the code is half lost."""
        end = self._fill
        whole = not self._tail or self._buffer[end - 1] == 13
        while end and self._buffer[end - 1] in b"\r\n":
            end -= 1
        line = bytes(self._view[:end])
        self._fill = 0
        if not end:
            return
        if not whole or b"\r" in line or b"\n" in line or line.startswith(_ACK):
            self._drop()  # half a code, two, or one with a line end in it: none can be told for sure
            return
        self._noisy = False
        self._on_payload(memoryview(line))

    # The module's start

    async def _pump(self):
        """Wait a moment and feed what has come."""
        if not self._uart.any():
            await asyncio.sleep_ms(_POLL_MS)
        n = self._uart.any()
        if n:
            n = self._uart.readinto(self._input)
            self._heard_ms = time.ticks_ms()
            self.feed(memoryview(self._input)[:n])
        elif self._fill and time.ticks_diff(time.ticks_ms(), self._heard_ms) > _GAP_MS:
            self.gap()

    async def _command(self, kind, address, data):
        """Send one command in one burst; the reply's data, or None after the time-out."""
        frame = bytes((kind, len(data), address >> 8, address & 0xFF)) + data
        crc = crc16(frame)
        self._reply = None
        self._uart.write(b"\x7e\0" + frame + bytes((crc >> 8, crc & 0xFF)))
        start = time.ticks_ms()
        while self._reply is None and time.ticks_diff(time.ticks_ms(), start) < _REPLY_TIMEOUT_MS:
            await self._pump()
        return self._reply

    async def _get(self, register, count):
        reply = await self._command(_READ, register, bytes((count,)))
        return reply if reply and len(reply) == count else None

    async def _set(self, register, *values):
        return await self._command(_WRITE, register, bytes(values))

    async def _probe(self):
        """Find the rate the module speaks; its first 20 registers, or None."""
        for baudrate in (9600, 115200):
            self._uart.init(baudrate=baudrate)
            for _ in range(2):
                registers = await self._get(_MODE, 20)
                if registers:
                    return baudrate, registers
        return 0, None

    async def _configure(self):
        """Bring the module to its settings, writing only differences and saving once; True when it answers."""
        self.state = _STARTING
        baudrate, found = await self._probe()
        if not found:
            return False
        mode = found[_MODE]
        await self._set(_MODE, _COMMAND_MODE)  # no scan may fall into the exchange
        changed = mode != _CONTINUOUS
        for register, value in _SETTINGS:
            now = found[register : register + 1] if register < len(found) else await self._get(register, 1)
            if now != bytes((value,)):
                await self._set(register, value)
                changed = True
        output = await self._get(_OUTPUT, 1)
        if output != bytes((_FRAMED_BIT,)):
            await self._set(_OUTPUT, _FRAMED_BIT)
            output = await self._get(_OUTPUT, 1)
            changed = True
        framed = bool(output) and output[0] & _FRAMED_BIT
        if not framed and output != bytes((_LINE_WITH_CR,)):
            await self._set(_OUTPUT, _LINE_WITH_CR)  # a 2016 module: the bit does not stick
            output = await self._get(_OUTPUT, 1)
        self._tail = output == bytes((_LINE_WITH_CR,))
        await self._set(_MODE, _CONTINUOUS)
        if changed:
            await self._command(_SAVE, 0, b"\0")
        if baudrate == 9600:
            await self._faster()  # unsaved: a power cycle lands on 9600 again
        self.state = _FRAMED if framed else _LINES
        self._fill = 0
        return True

    async def _faster(self):
        """Go to 115200. The acknowledgement may be lost, so a read at the new rate decides."""
        await self._set(_BAUD, 0x1A, 0x00)
        for baudrate in (115200, 9600):
            self._uart.init(baudrate=baudrate)
            for _ in range(2):
                if await self._get(_MODE, 1):
                    return

    async def hold(self, work):
        """Run `work()`, which may stop the CPU, while the module reads nothing; a card shown meanwhile is read afterwards.

        It is not run where the module does not confirm, is being talked to, or sends a code just then: try again later.
        """
        if self.silent():
            work()
        if self._talking or not self.reading():
            return
        self._talking = True
        try:
            if await self._set(_MODE, _COMMAND_MODE) and not self.partial():
                work()
        finally:
            for _ in range(_TRIES):
                if await self._set(_MODE, _CONTINUOUS):
                    break
            self._talking = False

    async def run(self, pulse):
        """Start the module and read it for ever; a module that falls silent is started again. `pulse()` shows progress."""
        self._talking = False
        await asyncio.sleep_ms(_SETTLE_MS)
        while True:
            while not await self._configure():
                self.state = _SILENT
                pulse()
                await asyncio.sleep_ms(_RETRY_MS)
            await self._listen(pulse)

    async def _listen(self, pulse):
        """Feed what the module sends until it no longer answers when asked."""
        while True:
            pulse()
            if self.partial():
                await self._pump()
                continue
            try:
                # Noise may be a module that restarted at another rate: it is asked as soon as the noise stops.
                wait_ms = _AFTER_NOISE_MS if self._noisy else _SILENCE_MS
                n = await asyncio.wait_for_ms(self._stream.readinto(self._input), wait_ms)
            except asyncio.TimeoutError:
                if self._talking:
                    continue
                self._talking = True
                reply = await self._get(_MODE, 1) or await self._get(_MODE, 1)
                self._talking = False
                if reply is None or reply[0] != _CONTINUOUS:
                    return
                continue
            if n:
                self._heard_ms = time.ticks_ms()
                self.feed(memoryview(self._input)[:n])
