"""The PC's side of a virtual board's USB: a pty without reset lines, or rfc2217:// with DTR and RTS; bytes in and out."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import tty
from collections.abc import Callable
from typing import Protocol

from serial import rfc2217

_READ_BYTES = 65536
_HOST = "127.0.0.1"


class UsbPort(Protocol):
    """What a board needs of its port. `url` is what a tool is given."""

    url: str

    def read(self, timeout_s: float) -> bytes | None:
        """What has arrived, b"" when nothing did; None while no program has the port open."""

    def write(self, data: bytes) -> None:
        """Send; what nobody reads waits, what nobody could ever read is gone."""

    def unplug(self) -> None:
        """Pull the cable: whoever has the port open meets an error."""


class PtyPort:
    """A pty. It has no DTR and RTS: `read` gives None once the tool has closed it, and a board takes that for a reset."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.url = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        self._waiting = bytearray()
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLIN)

    def read(self, timeout_s: float) -> bytes | None:
        """See UsbPort."""
        if self._master < 0:
            return None
        self._flush()
        if self._waiting:
            timeout_s = min(timeout_s, 0.001)
        for _, event in self._poll.poll(timeout_s * 1000):
            if event & select.POLLIN:
                return self._take()
            if event & (select.POLLHUP | select.POLLERR):
                self._waiting.clear()
                return None
        return b""

    def _take(self) -> bytes | None:
        try:
            return os.read(self._master, _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return None

    def write(self, data: bytes) -> None:
        """See UsbPort."""
        self._waiting += data
        self._flush()

    def _flush(self) -> None:
        if self._master < 0:
            self._waiting.clear()
            return
        while self._waiting:
            try:
                written = os.write(self._master, self._waiting)
            except (BlockingIOError, OSError):
                return
            del self._waiting[:written]

    def unplug(self) -> None:
        """See UsbPort."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1


class _Lines:
    """The serial port that rfc2217 believes to serve: settings are taken, DTR and RTS are told on."""

    def __init__(self, changed: Callable[[bool, bool], None]) -> None:
        self._changed = changed
        self._dtr = self._rts = False
        self.cts = self.dsr = self.ri = self.cd = False
        self.baudrate, self.bytesize, self.parity, self.stopbits = 115200, 8, "N", 1
        self.xonxoff = self.rtscts = self.dsrdtr = self.break_condition = False
        self.port = "virtual board"

    @property
    def dtr(self) -> bool:
        """True: asserted, the line is low."""
        return self._dtr

    @dtr.setter
    def dtr(self, value: bool) -> None:
        self._dtr = value
        self._changed(self._dtr, self._rts)

    @property
    def rts(self) -> bool:
        """True: asserted, the line is low."""
        return self._rts

    @rts.setter
    def rts(self, value: bool) -> None:
        self._rts = value
        self._changed(self._dtr, self._rts)

    def reset_input_buffer(self) -> None:
        """Nothing is kept here."""

    def reset_output_buffer(self) -> None:
        """Nothing is kept here."""


class _Raw:
    """The connection as the port manager uses it for its own words."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write


class Rfc2217Port:
    """A port over TCP, with the lines of a real USB bridge: `on_lines(dtr, rts)` is called when a tool sets them."""

    def __init__(self, on_lines: Callable[[bool, bool], None]) -> None:
        self._server = socket.create_server((_HOST, 0))
        self._server.settimeout(0)
        self.url = f"rfc2217://{_HOST}:{self._server.getsockname()[1]}"
        self._on_lines = on_lines
        self._client: socket.socket | None = None
        self._manager: rfc2217.PortManager | None = None

    def read(self, timeout_s: float) -> bytes | None:
        """See UsbPort."""
        readable, _, _ = select.select([self._client or self._server], [], [], timeout_s)
        if not readable:
            return None if self._client is None else b""
        if self._client is None:
            self._client = self._server.accept()[0]
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._manager = rfc2217.PortManager(_Lines(self._on_lines), _Raw(self._send))
            return b""
        try:
            data = self._client.recv(_READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return None
        assert self._manager is not None
        return b"".join(self._manager.filter(data))

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = self._manager = None

    def write(self, data: bytes) -> None:
        """See UsbPort."""
        if self._manager is not None:
            self._send(b"".join(self._manager.escape(data)))

    def _send(self, data: bytes) -> None:
        if self._client is not None:
            with contextlib.suppress(OSError):
                self._client.settimeout(5)
                self._client.sendall(data)

    def unplug(self) -> None:
        """See UsbPort."""
        self._hang_up()
        self._server.close()
