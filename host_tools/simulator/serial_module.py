"""What scan modules of every kind have: a supply, a boot, a line to the board, and two ways to fail."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable

from host_tools.simulator.kernel import Event, Kernel

# Model: no manual gives these. Boot until it answers; a picture in view until it is read.
BOOT_US = 700_000
DECODE_US = 120_000
DECODE_JITTER_US = 40_000
# A module that babbles sends a burst so often, and is silent for the rest of that time.
BURST_EVERY_US = 50_000
BURST_US = 40_000


class SerialModule:
    """A module on a line. `send(data, baud)` puts bytes on the line and returns when the last one arrives (us)."""

    baud: int

    def __init__(self, kernel: Kernel, send: Callable[[bytes, int], int], boot_us: int) -> None:
        self._kernel = kernel
        self._line_send = send
        self._boot_us = boot_us
        self._powered = False
        self._boot: Event | None = None
        self._burst: Event | None = None
        self.ready = False
        self.cut_off = False  # a broken wire
        self.bricked = False
        self.saves = 0

    # Power.

    def power_on(self) -> None:
        """Supply comes up: deaf until it has booted."""
        self._powered = True
        self._start()

    def power_off(self) -> None:
        """Supply goes."""
        self._powered = False
        self._stop()

    def reboot(self) -> None:
        """The module restarts by itself (brown-out, factory reset, leaving sleep)."""
        if self._powered:
            self._start()

    def factory_reset(self) -> None:
        """Somebody sets the module back: factory settings, and a restart."""
        self._factory_settings()
        self.reboot()

    def _factory_settings(self) -> None:
        """Forget what was set."""

    def _stop(self) -> None:
        """Nothing goes on any more."""
        self.ready = False
        self.quiet()
        if self._boot is not None:
            self._boot.cancel()

    def _start(self) -> None:
        self._stop()
        self._boot = self._kernel.after(self._boot_us, self._booted)

    def _booted(self) -> None:
        self._boot = None
        self.ready = not self.bricked

    # The line.

    def _send(self, data: bytes, baud: int) -> int:
        """Put bytes on the line, if there is one; returns when the last one arrives, virtual microseconds."""
        return self._kernel.now_us if self.cut_off else self._line_send(data, baud)

    def babble(self, pattern: bytes) -> None:
        """From now on until it restarts the module sends `pattern` over and over, whatever else it does."""
        self.quiet()
        if self._powered:
            count = BURST_US * self.baud // 10_000_000
            self._send((pattern * (count // len(pattern) + 1))[:count], self.baud)
            self._burst = self._kernel.after(BURST_EVERY_US, lambda: self.babble(pattern))

    def quiet(self) -> None:
        """The babble is over."""
        if self._burst is not None:
            self._burst.cancel()
            self._burst = None


class PictureModule(SerialModule):
    """A module that is shown pictures. `decode(picture)` reads one; `on_read(payload, last_byte_us)` tells the world what
    went out. The kinds differ in when they look, and in how a code goes out."""

    def __init__(
        self,
        kernel: Kernel,
        rng: random.Random,
        *,
        boot_us: int,
        send: Callable[[bytes, int], int],
        decode: Callable[[bytes], bytes | None],
        on_read: Callable[[bytes, int], None],
    ) -> None:
        super().__init__(kernel, send, boot_us)
        self._rng = rng
        self._decode = decode
        self._on_read = on_read
        self._picture: bytes | None = None
        self._attempt: Event | None = None
        self._last: tuple[bytes, int] | None = None  # the code before, and when it went out
        self.same_code_us = 0

    def _stop(self) -> None:
        super()._stop()
        self._last = None
        self._cancel_attempt()

    def _booted(self) -> None:
        super()._booted()
        self._consider()

    def show(self, picture: bytes | None) -> None:
        """What is before the lens from now on: an encoded picture, or nothing."""
        self._picture = picture
        self._cancel_attempt()
        self._consider()

    @abstractmethod
    def _looking(self) -> bool:
        """True while what is before the lens is read."""

    @abstractmethod
    def _output(self, payload: bytes) -> None:
        """Send a code."""

    def _cancel_attempt(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None

    def _consider(self) -> None:
        """Plan the next attempt to read what is in view."""
        if self._attempt is None and self._picture is not None and self.ready and self._looking():
            self._attempt = self._kernel.after(DECODE_US + self._rng.randrange(DECODE_JITTER_US), self._try)

    def _try(self) -> None:
        self._attempt = None
        if self._picture is None or self.cut_off or not self._looking():
            return
        payload = self._decode(self._picture)
        if payload is None:
            return
        if self._last is not None and payload == self._last[0]:
            wait_us = self._last[1] + self.same_code_us - self._kernel.now_us
            if wait_us > 0:
                self._attempt = self._kernel.after(wait_us, self._try)
                return
        self._output(payload)
        self._consider()

    def _sent(self, payload: bytes, last_us: int) -> None:
        """A code has gone out; its last byte arrives at `last_us`."""
        self._last = payload, last_us
        self._on_read(payload, last_us)
