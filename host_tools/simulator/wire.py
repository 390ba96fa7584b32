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
        self._socket.settimeout(patience_s)
        self._inbox = b""

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def receive(self) -> Message:
        """The next message. Raises Hung or Died."""
        inbox = self._inbox
        try:
            while True:
                if len(inbox) >= _HEAD.size:
                    op, size, at_us, watchdog_us = _HEAD.unpack_from(inbox)
                    end = _HEAD.size + size
                    if len(inbox) >= end:
                        self._inbox = inbox[end:]
                        return Message(op, at_us, watchdog_us, inbox[_HEAD.size : end])
                part = self._socket.recv(_READ_BYTES)
                if not part:
                    raise Died
                inbox += part
        except TimeoutError:
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
            self._socket.sendall(head + b"".join(_EVENT.pack(*event) for event in events) + payload)
        except OSError:
            raise Died from None
