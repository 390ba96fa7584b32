"""The world's end of the wire to one board process: messages in, replies out, and the signs that it hangs or has died."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

_HEAD = struct.Struct("<BIQQ")
_REPLY = struct.Struct("<QQiIHH")
_EVENT = struct.Struct("<HHi")
_READ_BYTES = 65536


class Message(NamedTuple):
    """A request or a post: `at_us` is the board's local time, `watchdog_us` when its watchdog will bite (0: unarmed)."""

    op: int
    at_us: int
    watchdog_us: int
    payload: bytes


class Hung(Exception):
    """The board has computed for too long without asking for anything."""


class Died(Exception):
    """The board process has ended."""


class Wire:
    """Framing over the socket to a board process; `patience_s` is real time."""

    def __init__(self, connection: socket.socket, patience_s: float) -> None:
        self._socket = connection
        # The kernel's time-out: Python's own takes a second system call for each read.
        whole_s, rest_us = divmod(int(patience_s * 1e6), 1_000_000)
        self._socket.setblocking(True)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", whole_s, rest_us))
        self._inbox = b""
        self._at = 0

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def receive(self) -> Message:
        """The next message. Raises Hung or Died."""
        try:
            while True:
                inbox = self._inbox
                begin = self._at + _HEAD.size
                if len(inbox) >= begin:
                    op, size, at_us, watchdog_us = _HEAD.unpack_from(inbox, self._at)
                    end = begin + size
                    if len(inbox) >= end:
                        self._at = end
                        return Message(op, at_us, watchdog_us, inbox[begin:end])
                part = self._socket.recv(_READ_BYTES)
                if not part:
                    raise Died
                self._inbox = inbox[self._at :] + part
                self._at = 0
        except BlockingIOError:
            raise Hung from None
        except ConnectionError:
            raise Died from None

    def reply(
        self,
        now_us: int,
        horizon_us: int,
        value: int,
        payload: bytes,
        events: Sequence[tuple[int, int, int]],
        flags: int,
    ) -> None:
        """Let the board run on. Nothing else of the world happens before `horizon_us`. Raises Died."""
        head = _REPLY.pack(now_us, horizon_us, value, len(payload), len(events), flags)
        try:
            self._socket.sendall(head + payload + b"".join(_EVENT.pack(*event) for event in events))
        except OSError:
            raise Died from None
