"""What a link is made of: how good it is, what carries it, and one connection over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from host_tools.simulator.far_end import Host, TlsEnd
from host_tools.simulator.http_relay import HttpRelay
from host_tools.simulator.kernel import Event


@dataclass
class LinkOptions:
    """One board's way to the collector."""

    latency_ms: int = 25
    bandwidth_kbit_s: int = 2000
    loss: float = 0.0
    rssi_dbm: int = -58


class Carrier(Protocol):
    """What a link goes over: `associated` as the board knows it, `carries` whether a packet gets through."""

    associated: bool
    keeps_connections: bool  # while it is not associated: the board's address stays its own
    changed: Callable[[], None]

    @property
    def carries(self) -> bool:
        """Whether a packet gets through now."""

    def over_us(self, at_us: int, size: int, up: bool) -> int:
        """When a packet of `size` bytes, given to the carrier at `at_us`, has crossed it."""

    def posted(self, op: int, payload: bytes) -> bool:
        """Take what the board told its network if it is about the carrier."""

    def reset(self) -> None:
        """The board restarts."""


@dataclass
class Connection:
    """One TCP connection; `relay` is the real socket to the collector, `tls` ends what comes encrypted."""

    ident: int
    host: Host | None = None
    relay: HttpRelay | None = None
    tls: TlsEnd | None = None
    serve: Callable[[bytes], None] | None = None
    established: bool = False
    closed: bool = False
    incoming: bytearray = field(default_factory=bytearray)
    up_arrival_us: int = 0
    down_arrival_us: int = 0
    unacknowledged_bytes: int = 0
    under_way: int = 0
    arrived_bytes: int = 0
    timeout: Event | None = None
