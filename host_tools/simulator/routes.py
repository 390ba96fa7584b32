"""Which of a board's two links a socket goes over: Wi-Fi where there is one, else PPP, as lwIP's default route has it."""

from __future__ import annotations

import errno
import struct

from host_tools.simulator.board import _ops
from host_tools.simulator.links import DNS_FAILED, Link


class Routes:
    """What a board with a modem has for a link. A socket stays on the way it was opened on."""

    def __init__(self, wifi: Link, cellular: Link) -> None:
        self._wifi = wifi
        self._cellular = cellular
        self._owners: dict[int, Link] = {}

    @property
    def round_trip_us(self) -> int:
        """Nothing that the board sends is answered sooner."""
        return min(self._wifi.round_trip_us, self._cellular.round_trip_us)

    def _way(self) -> Link | None:
        return next((link for link in (self._wifi, self._cellular) if link.carrier.associated), None)

    def posted(self, op: int, payload: bytes) -> None:
        """What the board told its network without waiting for an answer."""
        if op in (_ops.POST_SEND, _ops.POST_CLOSE):
            owner = self._owners.get(payload[0])
            if owner is not None:
                owner.posted(op, payload)
            if op == _ops.POST_CLOSE:
                self._owners.pop(payload[0], None)
        else:
            self._wifi.posted(op, payload)
            self._cellular.posted(op, payload)

    def reset(self) -> None:
        """The board restarts."""
        self._owners.clear()
        self._wifi.reset()
        self._cellular.reset()

    def resolve(self, host: str) -> tuple[int, int, str]:
        """A DNS look-up: (how long it blocks, us; error code or 0; address)."""
        way = self._way()
        return (0, DNS_FAILED, "") if way is None else way.resolve(host)

    def connect(self, ident: int, port: int, address: str = "127.0.0.1") -> int:
        """Begin a connection; 0 or the errno of an immediate failure."""
        way = self._way()
        if way is None:
            return errno.EHOSTUNREACH
        self._owners[ident] = way
        return way.connect(ident, port, address)

    def receive(self, ident: int, count: int) -> bytes:
        """The board takes up to `count` bytes that have arrived."""
        owner = self._owners.get(ident)
        return b"" if owner is None else owner.receive(ident, count)

    def send_to(self, ident: int, host: str, port: int, data: bytes) -> int:
        """One datagram from the board; 0 or the errno of an immediate failure."""
        way = self._way()
        if way is None:
            return errno.EHOSTUNREACH
        self._owners[ident] = way
        return way.send_to(ident, host, port, data)

    def receive_from(self, ident: int) -> tuple[str, int, bytes]:
        """The board takes the datagram that came first."""
        return self._owners[ident].receive_from(ident)


def request(link: Link | Routes, op: int, payload: bytes) -> tuple[int, int, bytes]:
    """What the board asks of its network: (for how long it is blocked, us; the value and the bytes of the answer)."""
    if op == _ops.OP_RESOLVE:
        blocked_us, code, found = link.resolve(payload.decode(errors="replace"))
        return blocked_us, code, found.encode()
    if op == _ops.OP_CONNECT:
        ident, port = struct.unpack_from("<BH", payload)
        return 0, link.connect(ident, port, payload[3:].decode(errors="replace")), b""
    if op == _ops.OP_RECEIVE:
        ident, count = struct.unpack("<BI", payload)
        return 0, 0, link.receive(ident, count)
    if op == _ops.OP_SEND_TO:
        ident, port, size = struct.unpack_from("<BHB", payload)
        host = payload[4 : 4 + size].decode(errors="replace")
        return 0, link.send_to(ident, host, port, payload[4 + size :]), b""
    host, port, datagram = link.receive_from(payload[0])
    return 0, 0, struct.pack("<HB", port, len(host)) + host.encode() + datagram
