"""A virtual connection handed through to a real server byte by byte: its TLS is the server's own."""

from __future__ import annotations

import socket
from contextlib import suppress

from host_tools.simulator.far_end import Peer

_PATIENCE_S = 5.0
_LOOK_US = 20_000
_PIECE_BYTES = 65_536


class Through:
    """One connection of `peer` to the server at `address` (host, port); called with the bytes that come from the board."""

    def __init__(self, peer: Peer, address: tuple[str, int]) -> None:
        self._peer = peer
        self._socket: socket.socket | None = None
        with suppress(OSError):
            self._socket = socket.create_connection(address, timeout=_PATIENCE_S)
        self._look()

    def __call__(self, data: bytes) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.settimeout(_PATIENCE_S)
                self._socket.sendall(data)

    def _look(self) -> None:
        """Take over what the server has said by now, and its end."""
        if self._socket is None:
            self._peer.end()
            return
        try:
            self._socket.settimeout(0)
            data = self._socket.recv(_PIECE_BYTES)
        except BlockingIOError:
            self._peer.after(_LOOK_US, self._look)
            return
        except OSError:
            data = b""
        if data:
            self._peer.send(data)
            self._peer.after(_LOOK_US, self._look)
        else:
            self.close()
            self._peer.end()

    def close(self) -> None:
        """The board is gone."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
