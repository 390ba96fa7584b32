"""The link model: TCP and UDP of a board with latency, bandwidth, loss, outages, portals and forgers."""

from __future__ import annotations

import errno
import functools
import random
import ssl
from collections import deque
from collections.abc import Callable

from host_tools.simulator.board import _ops
from host_tools.simulator.connection import Carrier, Connection, LinkOptions
from host_tools.simulator.costs import CONNECT_TIMEOUT_US, DNS_FAILURE_US, DNS_US, RETRANSMIT_US
from host_tools.simulator.dns import asked_name, dns_answer
from host_tools.simulator.far_end import Hosts, TlsEnd
from host_tools.simulator.http_relay import HttpRelay, forged_reply, portal_page
from host_tools.simulator.kernel import Kernel

DNS_FAILED = 202
DNS_PORT = 53
# What lwIP takes from a program before the other end has acknowledged (CONFIG_LWIP_TCP_SND_BUF_DEFAULT).
SEND_BUFFER_BYTES = 5744
# And what it puts into one segment (CONFIG_LWIP_TCP_MSS).
SEGMENT_BYTES = 1440
# Of a datagram and of a segment, beside what they carry: IP and UDP or TCP headers.
UDP_BYTES = 28
TCP_BYTES = 40


class Link:
    """What lies between one board and `hosts`. `clock_ms` is virtual UTC; `notify(kind, id, value, wake)` tells the board."""

    def __init__(
        self,
        kernel: Kernel,
        rng: random.Random,
        options: LinkOptions,
        *,
        carrier: Carrier,
        hosts: Hosts,
        clock_ms: Callable[[], int],
        notify: Callable[..., None],
    ) -> None:
        self._kernel = kernel
        self._rng = rng
        self.options = options
        self.hosts = hosts
        self._clock_ms = clock_ms
        self._notify = notify
        self.carrier = carrier
        carrier.changed = self._route_changed
        self.black_hole = False
        self.dns_works = True
        self.portal = False
        self.forging = False
        self.collector_up = True
        self.impostor: ssl.SSLContext | None = None  # what a portal shows to whoever begins TLS
        self.replies = ""  # one of far_end.REPLIES, or as they should be
        self._kept_reply = b""
        # The collector's program dies once a connection has brought so many bytes; each of them once, in order.
        self.deaths: list[int] = []
        self.bytes_up = self.bytes_down = 0  # what TCP carried, both ways
        self._connections: dict[int, Connection] = {}
        # Who answers datagrams, by port: (address asked, datagram) -> answer, or None for silence.
        self.services: dict[int, Callable[[str, bytes], bytes | None]] = {DNS_PORT: self._dns}
        self._datagrams: dict[int, deque[tuple[str, int, bytes]]] = {}
        # Packets that found no way, to be sent again when there is one.
        self._held: list[Callable[[], None]] = []
        self._up_free_us = 0
        self._down_free_us = 0
        self.begun_us = 0  # when a connection was first asked for
        self.requests = 0
        self.forged = 0

    def posted(self, op: int, payload: bytes) -> None:
        """What the board told its network without waiting for an answer."""
        if self.carrier.posted(op, payload):
            return
        if op == _ops.POST_SEND:
            self.send(payload[0], payload[1:])
        elif op == _ops.POST_CLOSE:
            self.close(payload[0])

    @property
    def round_trip_us(self) -> int:
        """Nothing that the board sends is answered sooner."""
        return 2_000 * self.options.latency_ms

    @property
    def passes(self) -> bool:
        """Whether a packet gets through now."""
        return self.carrier.carries and not self.black_hole

    def set_black_hole(self, on: bool) -> None:
        """Packets vanish while the Wi-Fi stays up."""
        self.black_hole = on
        self._route_changed()

    def reset(self) -> None:
        """The board restarts: nobody is left to send again what has not got through."""
        self._held.clear()
        self._datagrams.clear()
        for connection in list(self._connections.values()):
            connection.under_way = 0
            self.close(connection.ident)
        self.carrier.reset()

    def resolve(self, host: str) -> tuple[int, int, str]:
        """A DNS look-up: (how long it blocks, us; error code or 0; address)."""
        if not self.carrier.associated:
            return 0, DNS_FAILED, ""
        if not self.dns_works or not self.passes:
            return DNS_FAILURE_US, DNS_FAILED, ""
        return DNS_US, 0, self.hosts.addresses(host)[0]

    def connect(self, ident: int, port: int, address: str = "127.0.0.1") -> int:
        """Begin a connection; 0 or the errno of an immediate failure."""
        if not self.carrier.associated:
            return errno.EHOSTUNREACH
        self.begun_us = self.begun_us or self._kernel.now_us
        connection = Connection(ident)
        self._connections[ident] = connection
        connection.timeout = self._kernel.after(CONNECT_TIMEOUT_US, lambda: self._connect_timeout(connection))
        self._travel(connection, 60, True, lambda: self._syn_arrives(connection, address, port))
        return 0

    def _connect_timeout(self, connection: Connection) -> None:
        if not connection.established and not connection.closed:
            self._fail(connection, errno.ETIMEDOUT)

    def _syn_arrives(self, connection: Connection, address: str, port: int) -> None:
        if connection.closed:
            return
        host = self.hosts.at(address)
        listens = host is not None and port == host.port and host.up and self.collector_up
        if not listens and not self.portal and not self.forging:
            self._travel(connection, 60, False, lambda: self._fail(connection, errno.ECONNREFUSED))
            return
        connection.host = host
        if host is not None:
            context = self.impostor if self.portal and host.tls is not None else host.tls
            connection.tls = None if context is None else TlsEnd(context)
            if host.serve is not None:
                connection.serve = host.serve(_Served(self, self._kernel, connection))
        connection.relay = HttpRelay(None if host is None else host.collector)
        self._travel(connection, 60, False, lambda: self._established(connection))

    def _established(self, connection: Connection) -> None:
        connection.established = True
        if connection.timeout is not None:
            connection.timeout.cancel()
        self._notify(_ops.EVENT_CONNECTED, connection.ident, 0)

    def _fail(self, connection: Connection, code: int) -> None:
        if not connection.closed:
            connection.closed = True
            if connection.relay is not None:
                connection.relay.close()
                connection.relay = None
            if connection.timeout is not None:
                connection.timeout.cancel()
            self._notify(_ops.EVENT_FAILED, connection.ident, code)

    def send(self, ident: int, data: bytes) -> None:
        """Bytes from the board go on their way."""
        connection = self._connections.get(ident)
        if connection is not None and not connection.closed:
            connection.unacknowledged_bytes += len(data)
            self.bytes_up += len(data)
            for at in range(0, len(data), SEGMENT_BYTES):
                segment = data[at : at + SEGMENT_BYTES]
                connection.under_way += 1
                size = len(segment) + TCP_BYTES
                self._travel(connection, size, True, functools.partial(self._server_gets, connection, segment))

    def receive(self, ident: int, count: int) -> bytes:
        """The board takes up to `count` bytes that have arrived."""
        connection = self._connections.get(ident)
        if connection is None:
            return b""
        data = bytes(connection.incoming[:count])
        del connection.incoming[:count]
        return data

    def close(self, ident: int) -> None:
        """The board closes its side. What it has sent still arrives, as TCP does it, but no answer reaches it."""
        self._datagrams.pop(ident, None)
        connection = self._connections.pop(ident, None)
        if connection is not None:
            connection.closed = True
            if connection.timeout is not None:
                connection.timeout.cancel()
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        """Let go of the real socket once nothing more can arrive over it."""
        if connection.closed and connection.under_way <= 0 and connection.relay is not None:
            connection.relay.close()

    def _server_gets(self, connection: Connection, data: bytes) -> None:
        connection.under_way -= 1
        size = len(data)
        self._travel(connection, 60, False, lambda: self._acknowledged(connection, size))
        connection.arrived_bytes += size
        if self.deaths and connection.arrived_bytes >= self.deaths[0]:
            del self.deaths[0]
            self._travel(connection, 60, False, lambda: self._fail(connection, errno.ECONNRESET))
            return
        relay = connection.relay
        if relay is None:
            return
        if connection.tls is not None:
            data, back = connection.tls.feed(data)
            self._down(connection, back)
            if connection.tls.failed:
                self.hang_up(connection)
                return
        if connection.serve is not None:
            if data:
                connection.serve(data)
            return
        request = relay.feed(data)
        if request is None:
            return
        self.requests += 1
        if self.portal:
            answer, ends = portal_page(), True
        elif self.forging or (connection.host is not None and connection.host.forges):
            self.forged += 1
            answer, ends = forged_reply(request, self._clock_ms(), self._rng), True
        elif not self.collector_up:
            self._travel(connection, 60, False, lambda: self._fail(connection, errno.ECONNRESET))
            return
        else:
            answer, ends = self._astray(*relay.exchange(request), lambda: relay.exchange(request)[0])
        if answer:
            self.tell(connection, answer)
        if ends:
            self.hang_up(connection)
        self._forget(connection)

    def tell(self, connection: Connection, data: bytes) -> None:
        """The server says something."""
        self._down(connection, connection.tls.seal(data) if connection.tls is not None else data)

    def hang_up(self, connection: Connection) -> None:
        """The server closes its side."""
        self._travel(connection, 60, False, lambda: self._server_closed(connection))

    def _astray(self, answer: bytes, ends: bool, again: Callable[[], bytes]) -> tuple[bytes, bool]:
        """What arrives of the collector's answer, and whether the connection ends with it."""
        if self.replies == "lost":
            return b"", False
        if self.replies == "doubled":
            return answer + again(), ends
        if self.replies == "cut":
            return answer[: len(answer) * 2 // 3], True
        if self.replies == "late":
            answer, self._kept_reply = self._kept_reply, answer
        elif self.replies == "replayed":
            answer = self._kept_reply = self._kept_reply or answer
        return answer, ends

    def _down(self, connection: Connection, data: bytes) -> None:
        """Bytes to the board."""
        if data:
            self.bytes_down += len(data)
            size = len(data) + TCP_BYTES * -(-len(data) // SEGMENT_BYTES)
            self._travel(connection, size, False, lambda: self._board_gets(connection, data))

    def drop_all(self) -> None:
        """The far end forgets every connection, and says so."""
        for connection in list(self._connections.values()):
            self._fail(connection, errno.ECONNRESET)

    def _acknowledged(self, connection: Connection, size: int) -> None:
        """Room in the board's send buffer; only a board that had none is waiting for it."""
        was_full = connection.unacknowledged_bytes >= SEND_BUFFER_BYTES
        connection.unacknowledged_bytes -= size
        self._notify(_ops.EVENT_ROOM, connection.ident, size, was_full)

    def _board_gets(self, connection: Connection, data: bytes) -> None:
        connection.incoming += data
        self._notify(_ops.EVENT_READABLE, connection.ident, len(data))

    def _server_closed(self, connection: Connection) -> None:
        self._notify(_ops.EVENT_CLOSED, connection.ident, 0)

    # Datagrams: what does not get through is gone.

    def send_to(self, ident: int, host: str, port: int, data: bytes) -> int:
        """One datagram from the board; 0 or the errno of an immediate failure."""
        if not self.carrier.associated:
            return errno.EHOSTUNREACH
        self._datagrams.setdefault(ident, deque())
        self._fly(len(data), True, lambda: self._asked(ident, host, port, data))
        return 0

    def _asked(self, ident: int, host: str, port: int, data: bytes) -> None:
        service = self.services.get(port)
        answer = service(host, data) if service is not None else None
        if answer is not None:
            self.datagram(ident, host, port, answer)

    def datagram(self, ident: int, host: str, port: int, data: bytes) -> None:
        """A datagram from host:port goes to the board's port `ident`."""
        self._fly(len(data), False, lambda: self._arrives(ident, host, port, data))

    def _arrives(self, ident: int, host: str, port: int, data: bytes) -> None:
        waiting = self._datagrams.get(ident)
        if waiting is not None:
            waiting.append((host, port, data))
            self._notify(_ops.EVENT_READABLE, ident, 1)

    def receive_from(self, ident: int) -> tuple[str, int, bytes]:
        """The board takes the datagram that came first."""
        return self._datagrams[ident].popleft()

    def _fly(self, size: int, up: bool, arrive: Callable[[], None]) -> None:
        if not self.passes or self._rng.random() < self.options.loss:
            return
        arrival_us = self._through(size + UDP_BYTES, up)
        self._kernel.at(arrival_us, lambda: arrive() if self.passes else None)

    def _dns(self, host: str, query: bytes) -> bytes | None:
        return dns_answer(query, self.hosts.addresses(asked_name(query) or "")) if self.dns_works else None

    # Packets.

    def _through(self, size: int, up: bool) -> int:
        """When `size` bytes that begin now have arrived: those before them go first, over the carrier and over the network."""
        now_us = self._kernel.now_us
        if up:
            begin_us = max(self.carrier.over_us(now_us, size, True), self._up_free_us)
            self._up_free_us = begin_us + size * 8_000 // self.options.bandwidth_kbit_s
            return self._up_free_us + self.options.latency_ms * 1_000
        self._down_free_us = max(now_us, self._down_free_us) + size * 8_000 // self.options.bandwidth_kbit_s
        return self.carrier.over_us(self._down_free_us + self.options.latency_ms * 1_000, size, False)

    def _travel(self, connection: Connection, size: int, up: bool, arrive: Callable[[], None]) -> None:
        """Take `size` bytes across, in order within the connection; what cannot pass waits for the way to open."""
        if not self.passes:
            self._held.append(lambda: self._travel(connection, size, up, arrive))
            return
        arrival_us = self._through(size, up)
        backoff_us = RETRANSMIT_US
        while self.options.loss and self._rng.random() < self.options.loss:
            arrival_us += backoff_us
            backoff_us *= 2
        previous_us = connection.up_arrival_us if up else connection.down_arrival_us
        arrival_us = max(arrival_us, previous_us)
        if up:
            connection.up_arrival_us = arrival_us
        else:
            connection.down_arrival_us = arrival_us
        # What arrives at the far end is noticed by the board when its answer is here.
        unnoticed_us = self.round_trip_us // 2 if up else 0
        self._kernel.at(arrival_us, lambda: self._arrived(connection, size, up, arrive), unnoticed_us=unnoticed_us)

    def _arrived(self, connection: Connection, size: int, up: bool, arrive: Callable[[], None]) -> None:
        if connection.closed and not up:
            return
        if not self.passes:
            self._held.append(lambda: self._travel(connection, size, up, arrive))
        else:
            arrive()

    def _route_changed(self) -> None:
        if not self.carrier.associated and not self.carrier.keeps_connections:
            for connection in list(self._connections.values()):
                self._fail(connection, errno.ECONNABORTED)
        if self.passes:
            held, self._held = self._held, []
            for again in held:
                self._kernel.after(RETRANSMIT_US, again)


class _Served:
    """A connection for a server that is played by the world (`Host.serve`)."""

    def __init__(self, link: Link, kernel: Kernel, connection: Connection) -> None:
        self._link, self._kernel, self._connection = link, kernel, connection

    def send(self, data: bytes) -> None:
        """Bytes to the board."""
        if not self._connection.closed:
            self._link.tell(self._connection, data)

    def end(self) -> None:
        """Hang up."""
        self._link.hang_up(self._connection)

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Do something later, if the connection still stands."""
        self._kernel.after(delay_us, lambda: None if self._connection.closed else action())
