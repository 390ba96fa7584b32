"""`socket` of the chip, TCP out and UDP: bytes travel through the world's link model, not through the PC's network."""

import errno
import struct

import _chip
import _ops

AF_INET = 2
AF_INET6 = 10
SOCK_STREAM = 1
SOCK_DGRAM = 2
SOCK_RAW = 3
IPPROTO_TCP = 6
IPPROTO_UDP = 17
SOL_SOCKET = 0xFFF
SO_REUSEADDR = 4
# What lwIP takes from a program before the other end has acknowledged (CONFIG_LWIP_TCP_SND_BUF_DEFAULT).
_SEND_BUFFER_BYTES = 5744
_MAX_SOCKETS = 10

_next_id = 1
_open = 0


def getaddrinfo(host, port, af=0, type=0, proto=0, flags=0):
    parts = host.split(".")
    if not (len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts)):
        code, data = _chip.call(_ops.OP_RESOLVE, host.encode())
        if code:
            raise OSError(-202)
        host = data.decode()
    return [(AF_INET, type or SOCK_STREAM, 0, "", (host, int(port)))]


class socket:
    """One TCP connection, or one UDP port."""

    def __init__(self, af=AF_INET, type=SOCK_STREAM, proto=0):
        global _next_id, _open
        if _open >= _MAX_SOCKETS:
            raise OSError(23)
        if type not in (SOCK_STREAM, SOCK_DGRAM):
            raise OSError(errno.EOPNOTSUPP)
        _open += 1
        self._id = _next_id & 255
        _next_id += 1
        self._datagrams = type == SOCK_DGRAM
        self._peer = None  # of a UDP port that was connected: nothing from elsewhere is heard
        self._connected = self._datagrams
        self._ended = self._closed = False
        self._failure = 0
        self._readable = 0
        self._room = _SEND_BUFFER_BYTES
        self._timeout_us = None
        for kind, handler in (
            (_ops.EVENT_CONNECTED, self._on_connected),
            (_ops.EVENT_READABLE, self._on_readable),
            (_ops.EVENT_CLOSED, self._on_closed),
            (_ops.EVENT_FAILED, self._on_failed),
            (_ops.EVENT_ROOM, self._on_room),
        ):
            _chip.handlers[kind * 256 + self._id] = handler

    def _on_connected(self, value):
        self._connected = True

    def _on_readable(self, count):
        self._readable += count

    def _on_closed(self, value):
        self._ended = True

    def _on_failed(self, code):
        self._failure = code

    def _on_room(self, count):
        self._room += count

    def _ready(self):
        if self._failure:
            return 1 | 4 | 8
        bits = 0
        if self._readable or self._ended:
            bits = 1
        if self._connected and self._room > 0:
            bits |= 4
        return bits

    def setblocking(self, on):
        self._timeout_us = None if on else 0

    def settimeout(self, seconds):
        self._timeout_us = None if seconds is None else int(seconds * 1000000)

    def setsockopt(self, *args):
        pass

    def _until(self, bits, failing):
        """Wait as the socket's timeout says until one of `bits` is ready; raise `failing` when it is not."""
        if self._closed:
            raise OSError(errno.EBADF)
        if _chip.now_us >= _chip.horizon_us:
            _chip.wait(_chip.now_us, _ops.WAIT_POLL)
        until = _chip.FOREVER_US if self._timeout_us is None else _chip.now_us + self._timeout_us
        while not self._ready() & bits:
            if _chip.now_us >= until:
                raise OSError(failing)
            _chip.wait(until, _ops.WAIT_POLL)
        if self._failure:
            raise OSError(self._failure)

    def bind(self, address):
        if not self._datagrams:
            raise OSError(errno.EOPNOTSUPP)

    def connect(self, address):
        host = address[0]
        if self._datagrams:
            self._peer = (host, address[1])
            return
        code = _chip.call(_ops.OP_CONNECT, struct.pack("<BH", self._id, address[1]) + host.encode())[0]
        if code:
            # asyncio.open_connection drops such a socket unclosed; on the chip its finaliser closes it.
            self.close()
            raise OSError(code)
        self._until(4, errno.EINPROGRESS if self._timeout_us == 0 else errno.ETIMEDOUT)

    def sendto(self, buf, address):
        """One datagram; what finds no link up has no route, as on the chip."""
        if self._closed:
            raise OSError(errno.EBADF)
        host = address[0].encode()
        payload = struct.pack("<BHB", self._id, address[1], len(host)) + host + bytes(buf)
        if _chip.call(_ops.OP_SEND_TO, payload)[0]:
            raise OSError(errno.EHOSTUNREACH)
        return len(buf)

    def recvfrom(self, n):
        """The next datagram, cut to n bytes, and whose it is; from a connected port's peer alone."""
        while True:
            self._until(1, errno.EAGAIN)
            data = _chip.call(_ops.OP_RECEIVE_FROM, struct.pack("<B", self._id))[1]
            self._readable -= 1
            port, length = struct.unpack_from("<HB", data)
            address = (bytes(data[3 : 3 + length]).decode(), port)
            if self._peer in (None, address):
                return bytes(data[3 + length :])[:n], address

    def send(self, buf):
        if self._datagrams:
            if self._peer is None:
                raise OSError(errno.ENOTCONN)
            return self.sendto(buf, self._peer)
        self._until(4, errno.EAGAIN)
        n = min(len(buf), self._room)
        self._room -= n
        _chip.stream(_ops.POST_SEND, self._id, memoryview(buf)[:n])
        return n

    def write(self, buf):
        try:
            return self.send(buf)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            return None

    def sendall(self, buf):
        view = memoryview(buf)
        while view:
            view = view[self.send(view) :]

    def recv(self, n):
        if self._datagrams:
            return self.recvfrom(n)[0]
        self._until(1, errno.EAGAIN)
        n = min(n, self._readable)
        if not n:
            return b""
        self._readable -= n
        return bytes(_chip.call(_ops.OP_RECEIVE, struct.pack("<BI", self._id, n))[1])

    def read(self, n=-1):
        try:
            return self.recv(self._readable or 1 if n < 0 else n)
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            return None

    def readinto(self, buf, n=-1):
        data = self.read(len(buf) if n < 0 else min(n, len(buf)))
        if data is None:
            return None
        buf[: len(data)] = data
        return len(data)

    def readline(self):
        line = b""
        while not line.endswith(b"\n"):
            part = self.read(1)
            if not part:
                return line or part
            line += part
        return line

    def close(self):
        global _open
        if not self._closed:
            self._closed = True
            _open -= 1
            for kind in range(_ops.EVENT_CONNECTED, _ops.EVENT_ROOM + 1):
                _chip.handlers.pop(kind * 256 + self._id, None)
            _chip.act(_ops.POST_CLOSE, bytes((self._id,)))

    def fileno(self):
        return self._id
