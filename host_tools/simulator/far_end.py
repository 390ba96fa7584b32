"""The far end of a board's connections: hosts by address, names by DNS, TLS ended in memory, replies gone astray."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

COLLECTOR_IP, SECOND_IP, IMPOSTOR_IP = "192.168.4.80", "192.168.4.81", "203.0.113.66"
# What becomes of replies: nothing arrives; each request and reply twice; half of it, then the end; each reply in place of
# the next one; the first one for ever.
REPLIES = ("lost", "doubled", "cut", "late", "replayed")
# What is wrong with the certificate that the collector shows.
CERTIFICATES = ("other_name", "other_authority", "expired", "future")


class Peer(Protocol):
    """One connection, as whoever serves it sees it."""

    def send(self, data: bytes) -> None:
        """Bytes to the board."""

    def end(self) -> None:
        """Hang up."""

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Do something later, if the connection still stands."""


@dataclass
class Host:
    """A machine at the far end. `collector`: the real one (host, port) that its requests go to; `tls`: what it shows;
    `serve(peer)`: instead of a collector, gives what is called with the bytes that come over one connection."""

    collector: tuple[str, int] | None = None
    port: int = 0
    tls: ssl.SSLContext | None = None
    up: bool = True
    forges: bool = False
    serve: Callable[[Peer], Callable[[bytes], None]] | None = None


@dataclass
class Hosts:
    """The machines that a link leads to, by address. A name that nobody has resolves to the collector's address."""

    by_address: dict[str, Host] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    poisoned: bool = False  # every name leads to the impostor

    def addresses(self, name: str) -> list[str]:
        """What DNS says of a name."""
        if self.poisoned:
            return [IMPOSTOR_IP]
        return self.names.get(name, [COLLECTOR_IP])

    def at(self, address: str) -> Host | None:
        """The machine there; an address of this very host is the collector's."""
        found = self.by_address.get(address)
        return self.by_address.get(COLLECTOR_IP) if found is None and address.startswith("127.") else found


class TlsEnd:
    """The server's side of one TLS connection, its bytes in and out in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaken = False
        self.failed = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes from the board: (what they say, what goes back at once)."""
        self._incoming.write(data)
        plain = b""
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while part := self._tls.read(65536):
                plain += part
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.failed = True
        return plain, self._outgoing.read()

    def seal(self, data: bytes) -> bytes:
        """What goes over the wire for `data`."""
        self._tls.write(data)
        return self._outgoing.read()
