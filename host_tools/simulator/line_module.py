"""Scan modules that print codes as lines: one of Newland's NLS family with its dialogue, or one that only prints."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from host_tools.simulator.kernel import Event, Kernel
from host_tools.simulator.scan_module import ModuleOptions
from host_tools.simulator.serial_module import PictureModule

# Bytes of hardware notes 1.5, written down here apart from any driver.
QUESTION, ANSWER = b"?", b"!"
ACCEPTED = b"\x06"
START, STOP = b"\x1b1", b"\x1b0"
OPEN, CLOSE, FACTORY = "0006010", "0006000", "0001000"
TRIGGER_MODE, OTHER_MODE = "0302000", "0302003"
READ_TIMEOUT, SAME_CODE = "0313000", "0313010"
_SETTING = re.compile(rb"NLS(\d{7})(?:=(\d+))?;")
# Model: no manual read gives them.
REPLY_US = 10_000
READ_TIMEOUT_MS = 3000
PAUSE_US = 1_000_000
TRIGGER_REST_US = 50_000


class LineModule(PictureModule):
    """The module on a line. Kind "newland" listens; kind "line" hears nothing, and reads all the time or when triggered."""

    def __init__(
        self,
        kernel: Kernel,
        rng: random.Random,
        options: ModuleOptions,
        *,
        send: Callable[[bytes, int], int],
        decode: Callable[[bytes], bytes | None],
        on_read: Callable[[bytes, int], None],
    ) -> None:
        super().__init__(kernel, rng, boot_us=options.boot_us, send=send, decode=decode, on_read=on_read)
        self.options = options
        self.baud = options.baud
        self._listens = options.kind == "newland"
        self._buffer = b""
        self._session_end_us = 0
        self._programming = False
        self._rested: Event | None = None
        self._trigger_level = 1
        self._trigger_rose_us = -TRIGGER_REST_US
        self.starts = 0
        self._factory_settings()

    def _factory_settings(self) -> None:
        self.settings = {READ_TIMEOUT: READ_TIMEOUT_MS, SAME_CODE: 0}
        self.triggered = self._listens or self.options.trigger
        self.same_code_us = 0 if self._listens else 3 * PAUSE_US

    def _stop(self) -> None:
        super()._stop()
        self._buffer = b""
        self._session_end_us = 0
        self._programming = False

    def trigger_line(self, level: int, at_us: int) -> None:
        """The board has driven the trigger line. A fall too soon after the last rise is not seen (LV3296: 50 ms)."""
        if level == self._trigger_level or not self.options.trigger:
            return
        self._trigger_level = level
        if level:
            self._trigger_rose_us = at_us
            self._session_end_us = 0
        elif self.ready and not self.cut_off and at_us - self._trigger_rose_us >= TRIGGER_REST_US:
            self._session(True)

    # The board's words.

    def receive(self, data: bytes) -> None:
        """Bytes from the host."""
        if not self.ready or self.cut_off or not self._listens:
            return
        self._buffer += data
        while self._buffer:
            setting = _SETTING.match(self._buffer)
            if setting:
                self._buffer = self._buffer[setting.end() :]
                self._set(setting.group(1).decode(), setting.group(2))
            elif self._buffer.startswith(QUESTION):
                self._buffer = self._buffer[1:]
                self._reply(ANSWER)
            elif self._buffer.startswith((START, STOP)):
                self._session(self._buffer.startswith(START))
                self._buffer = self._buffer[2:]
                self._reply(ACCEPTED)
            elif START.startswith(self._buffer) or (self._buffer.startswith(b"NLS"[: len(self._buffer)])):
                if len(self._buffer) > 20:
                    self._buffer = b""
                return
            else:
                self._buffer = self._buffer[1:]

    def _set(self, code: str, value: bytes | None) -> None:
        if code == OPEN:
            self._programming = True
        elif not self._programming:
            return
        elif code == CLOSE:
            self._programming = False
        elif code == FACTORY:
            self._factory_settings()
        elif code in (TRIGGER_MODE, OTHER_MODE):
            self.triggered = code == TRIGGER_MODE
        elif code in self.settings and value is not None:
            self.settings[code] = int(value)
            self.same_code_us = self.settings[SAME_CODE] * 1000
        else:
            return
        self._reply(ACCEPTED)

    def _session(self, on: bool) -> None:
        self.starts += on
        self._session_end_us = self._kernel.now_us + self.settings[READ_TIMEOUT] * 1000 if on else 0
        self._consider()

    def _reply(self, data: bytes) -> None:
        def send() -> None:
            if self.ready:
                self._send(data, self.baud)

        self._kernel.after(REPLY_US, send)

    # Reading.

    def _looking(self) -> bool:
        if self.triggered:
            return self._kernel.now_us < self._session_end_us
        return self._rested is None

    def _output(self, payload: bytes) -> None:
        last_us = self._send(payload + (b"\r" if self.options.tail else b""), self.baud)
        self._session_end_us = 0
        self._rested = self._kernel.at(last_us + PAUSE_US, self._rest_over)
        self._sent(payload, last_us)

    def _rest_over(self) -> None:
        self._rested = None
        self._consider()
