"""What all scan modules share: bytes in, commands out, and the watch over one that is silent, stuck or chattering."""

import asyncio
import time

from micropython import const

_MAX_PAYLOAD_BYTES = const(3072)  # a version 40 symbol holds 2,953

# State of the module, as HEALTH reports it. A driver adds the one in which codes arrive: 1 framed, 2 lines, 5 packets.
_STARTING = const(0)
_LINES = const(2)
_SILENT = const(3)
_CHATTERING = const(4)
_READING = (1, _LINES, 5)

_GAP_MS = const(60)  # no byte for so long inside a frame: the rest was lost (longest pause seen in drivers: 50 ms)
_FIFO_BITS_MS = const(1300000)  # and the UART hands bytes over 120 at a time: 130 of 10 bits, by the rate
_POLL_MS = const(5)
_REPLY_TIMEOUT_MS = const(200)  # at 9600 baud command and longest reply take 50 ms; drivers in the field wait 100
_SETTLE_MS = const(300)  # the module takes the host's start-up levels for start bits
_SILENCE_MS = const(10000)  # without a byte for so long the module is asked whether it is still there
_SOON_MS = const(300)  # after noise it is asked as soon as that stops: it may have restarted at another rate
_RETRY_MS = const(1000)
_TRIES = const(5)  # to let a module that was held read again
_PAUSE_MS = const(500)  # a module rests 1 s between codes; one that has not rested so long ...
_REST_MS = const(900)  # so long at least, and codes that come sooner, ...
_HASTY = const(20)  # ... so many in a row, are nobody's
_CHATTER_MS = const(8000)  # ... for all this time is stuck (the longest code takes 3.1 s at 9600 baud)
_READ_FAILS = (b"RF", b"NR")  # what GROW and Zebra send for "something is there, I cannot read it"


class Module:
    """One scan module on one UART. `on_payload(memoryview)` is called for each code read, before feed() returns;
    `on_fail()` when the module says that something is held before it that it cannot read.

    A driver brings _parse() for bytes that came, gap() for those that did not, and _configure() (the state in which
    codes arrive, or None), _alive(), _pause() and _resume() for the module.
    """

    rests = True  # for a second after each code

    def __init__(self, uart, on_payload, on_fail=None):
        self.state = _STARTING
        self.dropped = 0  # reads lost: broken frames, lines and noise, counted once a burst
        self.failed = 0  # read-fail texts
        self.restarts = 0  # how often a module that had worked was lost
        self._uart = uart
        self._stream = asyncio.StreamReader(uart)
        self._on_payload = on_payload
        self._on_fail = on_fail
        self._input = bytearray(256)
        self._buffer = bytearray(_MAX_PAYLOAD_BYTES + 64)
        self._view = memoryview(self._buffer)
        self._fill = 0
        self._gap_ms = _GAP_MS
        self._baudrate = 9600
        self._silence_ms = _SILENCE_MS
        self._suffix = b""  # what each line ends with
        self._ends = b"\r\n"  # behind these no more of a line is to come
        self._reply = None
        self._noisy = False  # inside a burst of bytes that belong to nothing
        self._half = False  # the first line is the rest of one that began before this driver did
        self._heard_ms = self._busy_ms = time.ticks_ms()  # the last byte; the last one after a pause
        self._came_ms = self._heard_ms
        self._hasty = 0
        self._soon = False  # the module is to be asked, or started, at the next silence
        self._talking = False
        self._held = False  # by stop()
        self._received = 0

    def reading(self):
        """True when codes that are shown arrive."""
        return self.state in _READING

    def silent(self):
        """True when the module does not answer at any rate, or never stops sending."""
        return self.state == _SILENT or self.state == _CHATTERING

    def unsaved(self):
        """True when save() has something to write to the file system; what only `auto` has."""
        return False

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
        self._parse()  # type: ignore[attr-defined]

    def partial(self):
        """True while bytes wait to be read, or for the rest of their frame or line."""
        return self._fill != 0 or self._uart.any() != 0

    def _drop(self):
        if not self._noisy:
            self._noisy = True
            self.dropped += 1
            self._came()

    def _shift(self, n):
        rest = self._fill - n
        if rest:
            self._buffer[:rest] = self._view[n : self._fill]
        self._fill = rest

    def _deliver(self, payload):
        """A whole code, or what the module says instead of one."""
        self._noisy = False
        self._came()
        if len(payload) == 2 and bytes(payload) in _READ_FAILS:
            self.failed += 1
            if self._on_fail:
                self._on_fail()
        elif self.state == _CHATTERING:
            self.dropped += 1  # nobody shows so many cards
        else:
            self._on_payload(payload)

    def _end_line(self):
        """A code without a frame ends with silence; its suffix is stripped, and where it is missing the code is half lost."""
        buffer = self._buffer
        end = self._fill
        whole = not self._half and bytes(self._view[max(0, end - len(self._suffix)) : end]) == self._suffix
        self._half = False
        while end and buffer[end - 1] in b"\r\n":
            end -= 1
        self._fill = 0
        if not end:
            return
        if not whole or buffer.find(b"\r", 0, end) >= 0 or buffer.find(b"\n", 0, end) >= 0:
            self._drop()  # half a code, two, or one with a line end in it: none can be told for sure
            return
        self._deliver(self._view[:end])

    # Talking with the module

    def _rate(self, baudrate):
        self._baudrate = baudrate
        self._uart.init(baudrate=baudrate)

    def _silence(self):
        """The ms of silence that end what waits: fewer where a line's end stands there already."""
        if self.state == _LINES and self._buffer[self._fill - 1] in self._ends:
            return self._gap_ms
        return self._gap_ms + _FIFO_BITS_MS // self._baudrate

    def _take(self, n):
        now = time.ticks_ms()
        if time.ticks_diff(now, self._heard_ms) > _PAUSE_MS:
            self._busy_ms = now
            self._half = False
        self._heard_ms = now
        self.feed(memoryview(self._input)[:n])

    def _chattering(self):
        """True while it sends without a rest, or more codes and noise than a module that rests between codes can."""
        now = time.ticks_ms()
        long = time.ticks_diff(self._heard_ms, self._busy_ms) > _CHATTER_MS
        hasty = self._hasty >= _HASTY and time.ticks_diff(now, self._came_ms) < _REST_MS
        return hasty or (long and time.ticks_diff(now, self._heard_ms) < _PAUSE_MS)

    def _came(self):
        """A code, or a burst of noise: count those that come too soon after the one before."""
        now = time.ticks_ms()
        self._hasty = self._hasty + 1 if time.ticks_diff(now, self._came_ms) < _REST_MS else 0
        self._came_ms = now

    async def _pump(self, ms=_POLL_MS):
        """Wait a moment and feed what has come."""
        await asyncio.sleep_ms(0 if self._uart.any() else ms)
        if self._uart.any():
            self._take(self._uart.readinto(self._input))
        elif self._fill and time.ticks_diff(time.ticks_ms(), self._heard_ms) > self._silence():
            self.gap()  # type: ignore[attr-defined]

    async def _rest(self, ms):
        start = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), start) < ms:
            await self._pump(50)

    async def _ask(self, data, timeout_ms=_REPLY_TIMEOUT_MS):
        """Send one command in one burst; what _parse() found to be its reply, or None after the time-out."""
        self._reply = None
        self._uart.write(data)
        start = time.ticks_ms()
        while self._reply is None and time.ticks_diff(time.ticks_ms(), start) < timeout_ms:
            await self._pump()
        return self._reply

    async def _reset(self):
        """Restart the module, where it can be told to."""

    async def stop(self):
        """True when the module reads nothing until go(): it confirms, and is not sending a code; a silent one does anyway.

        Where it is False, try again later. A card shown meanwhile is read afterwards.
        """
        if self.silent():
            return True
        if self._talking or not self.reading():
            return False
        self._talking = self._held = True
        return bool(await self._pause()) and not self.partial()  # type: ignore[attr-defined]

    async def go(self):
        """Let a module read again after stop(), whatever that gave."""
        if not self._held:
            return
        self._soon = True  # asked at the next silence, unless it confirms here
        try:
            for _ in range(_TRIES):
                if await self._resume():  # type: ignore[attr-defined]
                    self._soon = False
                    break
        finally:
            self._talking = self._held = False

    async def start(self):
        """Bring the module to reading; where that fails `state` says why."""
        state = await self._configure()  # type: ignore[attr-defined]
        if self._chattering():
            self.state = _CHATTERING
            await self._reset()
        else:
            self.state = state or _SILENT
            # Of a code that is under way only the rest will come.
            self._half = self._fill != 0 or self._uart.any() != 0
            self._fill = 0
        return self.reading()

    async def _receive(self):
        """Wait for bytes. Their number is kept, for they may come in the very moment in which the wait for them ends."""
        self._received = await self._stream.readinto(self._input) or 0

    async def serve(self, pulse):
        """Feed what the module sends until it is lost: it no longer answers when asked, or never stops sending."""
        while not self._chattering():
            pulse()
            if self.partial():
                await self._pump()
                continue
            silent = False
            self._received = 0
            try:
                wait_ms = _SOON_MS if self._noisy or self._soon else self._silence_ms
                await asyncio.wait_for_ms(self._receive(), wait_ms)
            except asyncio.TimeoutError:
                silent = not self._talking
            if self._received:
                self._take(self._received)
            elif silent:
                self._talking = True
                self._soon = False
                try:
                    if not await self._alive():  # type: ignore[attr-defined]
                        break
                finally:
                    self._talking = False
                self._noisy = False
                self._heard_ms = self._busy_ms = time.ticks_ms()
        self.restarts += 1
        self.state = _CHATTERING if self._chattering() else _STARTING

    def fresh(self):
        """Forget what was under way when the reader's task crashed: a code that brought it down is not read again."""
        self._talking = self._held = False
        self._fill = 0

    async def run(self, pulse):
        """Start the module and read it for ever; one that is lost is started again. `pulse()` shows progress."""
        self.fresh()
        await asyncio.sleep_ms(_SETTLE_MS)
        while True:
            pulse()
            if await self.start():
                await self.serve(pulse)
            else:
                await self._rest(_RETRY_MS)
