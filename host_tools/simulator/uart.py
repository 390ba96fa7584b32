"""A UART between board and device: a pty for the bytes, and a model of baud rate, hardware FIFO and receive buffer."""

from __future__ import annotations

import os
import random
import tty
from collections.abc import Callable
from typing import Protocol

from host_tools.simulator.kernel import Event, Kernel

BITS_PER_BYTE = 10
# ESP32: 128-byte hardware FIFO, the driver empties it at 120 bytes or after 10 byte times of silence.
FIFO_BYTES = 128
FIFO_THRESHOLD_BYTES = 120
FIFO_IDLE_BYTE_TIMES = 10
# A receiver samples the wrong bits when the rates differ by more than this.
BAUD_TOLERANCE = 0.04
# Bytes handed to the pty and not yet read by the board: small enough for every system's pty buffer.
PTY_BYTES = 1024


class SerialDevice(Protocol):
    """What is on the other end of the line."""

    baud: int

    def receive(self, data: bytes) -> None:
        """Bytes from the board have arrived, now."""


class UartLine:
    """One port of one board. `on_bytes(count)` tells the board that bytes lie ready in the pty."""

    def __init__(
        self, kernel: Kernel, rng: random.Random, *, tx_pin: int, rx_pin: int, on_bytes: Callable[[int], None]
    ) -> None:
        self._kernel = kernel
        self._rng = rng
        self._pins = (tx_pin, rx_pin)
        self._on_bytes = on_bytes
        self.device: SerialDevice | None = None
        self.baud = 0
        self._rxbuf_bytes = 256
        self._connected = False
        self._ring = bytearray()
        self._stash = bytearray()
        self._in_pty = 0
        self._master = self._slave = -1
        self._line_free_us = 0
        self._tail = b""
        self._tail_event: Event | None = None
        self._tx_free_us = 0
        self.dropped_bytes = 0
        self.overflows = 0
        self.garbled_bytes = 0

    @property
    def held_back(self) -> bool:
        """True when the receive buffer has bytes that did not go into the pty yet."""
        return bool(self._ring)

    def open(self) -> int:
        """A fresh pty for a new boot; returns the descriptor that the board process inherits."""
        self.close()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        return self._slave

    def close(self) -> None:
        """The board stops: whatever was in its buffers is gone."""
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1
        self.baud = 0
        self._connected = False
        self._ring.clear()
        self._stash.clear()
        self._in_pty = 0

    def configure(self, baud: int, rxbuf_bytes: int, tx_pin: int, rx_pin: int) -> None:
        """The board has set up its side."""
        self.baud = baud
        self._rxbuf_bytes = rxbuf_bytes
        self._connected = (tx_pin, rx_pin) == self._pins

    # Board to device.

    def take(self, count: int) -> bytes:
        """The `count` bytes that the board has written to the pty."""
        data = b""
        while len(data) < count:
            data += os.read(self._master, count - len(data))
        return data

    def board_sent(self, data: bytes) -> None:
        """The board gives `data` to its transmitter, now."""
        start_us = max(self._kernel.now_us, self._tx_free_us)
        self._tx_free_us = start_us + len(data) * self._byte_us(self.baud)
        if self._connected:
            baud = self.baud
            self._kernel.at(self._tx_free_us, lambda: self._device_gets(data, baud))

    def _device_gets(self, data: bytes, baud: int) -> None:
        if self.device is not None:
            self.device.receive(self._as_sampled(data, baud, self.device.baud))

    # Device to board.

    def device_sends(self, data: bytes, baud: int) -> int:
        """Put bytes on the line; returns when the last one will have arrived, virtual microseconds."""
        byte_us = self._byte_us(baud)
        start_us = max(self._kernel.now_us, self._line_free_us)
        waiting = b""
        if self._tail_event is not None and self._tail_event.action is not None and start_us <= self._tail_event.at_us:
            self._tail_event.cancel()
            waiting = self._tail
        at = 0
        while len(waiting) + len(data) - at >= FIFO_THRESHOLD_BYTES:
            take = FIFO_THRESHOLD_BYTES - len(waiting)
            chunk = waiting + data[at : at + take]
            at += take
            waiting = b""
            self._kernel.at(start_us + at * byte_us, lambda chunk=chunk: self._board_gets(chunk, baud))  # type: ignore[misc]
        self._line_free_us = start_us + len(data) * byte_us
        self._tail = waiting + data[at:]
        self._tail_event = None
        if self._tail:
            tail = self._tail
            idle_us = FIFO_IDLE_BYTE_TIMES * byte_us
            self._tail_event = self._kernel.at(self._line_free_us + idle_us, lambda: self._board_gets(tail, baud))
        return self._line_free_us

    def _board_gets(self, chunk: bytes, baud: int) -> None:
        if not self._connected:
            return
        chunk = self._as_sampled(chunk, baud, self.baud)
        if self._stash:
            # The driver keeps one chunk that did not fit; behind it the FIFO fills, and is reset when it overflows.
            if len(self._stash) + len(chunk) > FIFO_THRESHOLD_BYTES + FIFO_BYTES:
                lost = len(self._stash) - FIFO_THRESHOLD_BYTES if len(self._stash) > FIFO_THRESHOLD_BYTES else 0
                del self._stash[len(self._stash) - lost :]
                self.dropped_bytes += lost + len(chunk)
                self.overflows += 1
                return
            self._stash += chunk
            return
        room = self._rxbuf_bytes - len(self._ring) - self._in_pty
        self._ring += chunk[:room]
        self._stash += chunk[room:]
        self._push()

    def _push(self) -> None:
        count = min(len(self._ring), PTY_BYTES - self._in_pty)
        if count > 0:
            os.write(self._master, bytes(self._ring[:count]))
            del self._ring[:count]
            self._in_pty += count
            self._on_bytes(count)

    def board_took(self, count: int) -> None:
        """The board has read `count` bytes: the buffer has that much room again."""
        self._in_pty -= count
        room = self._rxbuf_bytes - len(self._ring) - self._in_pty
        if self._stash and room > 0:
            self._ring += self._stash[:room]
            del self._stash[:room]
        self._push()

    def _as_sampled(self, data: bytes, sent_baud: int, sampled_baud: int) -> bytes:
        if abs(sent_baud - sampled_baud) <= BAUD_TOLERANCE * sent_baud:
            return data
        # The receiver finds start bits where there are none; how many depends on the ratio of the rates.
        self.garbled_bytes += len(data)
        count = max(1, min(len(data), len(data) * sampled_baud // max(sent_baud, 1)))
        return bytes(self._rng.choice((0x00, 0x80, 0xE0, 0xF8, 0xFE, 0xFF)) for _ in range(count))

    @staticmethod
    def _byte_us(baud: int) -> int:
        return BITS_PER_BYTE * 1_000_000 // max(baud, 1)
