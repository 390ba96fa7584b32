"""An HTTP/1.1 client for one host: one request at a time, kept alive, every answer bounded before it is believed."""

import asyncio
import errno
import socket

from micropython import const

_TYPE = "application/x-chot"
_MAX_BODY_BYTES = const(4096)
BUFFER_BYTES = const(2048)  # one TLS record out, 29 bytes more for each; the longest head of an answer in
_STALL_MS = const(15000)  # no byte has gone out for so long
_ANSWER_MS = const(20000)
_RECORD_BYTES = const(29)  # what TLS adds to each piece that is written or read
_HANDSHAKE_BYTES = const(2500)

# Made when this module is loaded, while the heap still has so long a piece.
_buffer = bytearray(BUFFER_BYTES)


class HttpError(Exception):
    """The other side closed, or its answer is none that this client accepts; its argument says what is worth telling."""


def numeric(host):
    """True for an address; the chip would look anything else up, and all of Python would stand for it."""
    parts = host.split(".")
    return len(parts) == 4 and all([part.isdigit() and int(part) < 256 for part in parts])


class Http:
    """Client of `url`, http[s]://host[:port]. After an error call close(); the caller bounds the time. There is but one.

    `links` has server(), the address of a DNS server, and moving(), told that bytes get through; `random(n)` gives bytes;
    `tls` is a Tls for https, where there is an authority to believe. Plain HTTP goes to this very host (127.…), and elsewhere
    only if `plain` says so.
    """

    buffer = memoryview(_buffer)  # what is sent passes through it, and then the head of the answer

    def __init__(self, url, links, random, tls=None, plain=False):
        scheme, _, rest = url.partition("://")
        if scheme not in ("http", "https"):
            raise ValueError(url)
        self._host, _, port = rest.partition(":")
        self._port = int(port or (443 if tls else 80))
        self.tls = tls
        self._refused = ""  # why nothing is sent
        if scheme == "https":
            self._refused = "" if tls else "https: no authority to believe"
        elif not (plain or (numeric(self._host) and self._host.startswith("127."))):
            self._refused = "plain HTTP: config has no plain_http"
        self._links = links
        self._random = random
        self._stream = None
        self._socket = None
        self._good = None  # the address where the collector itself has answered
        self._address = None
        self._turn = 0
        self.kept = False  # the request goes over a connection of one before, and nothing has come back
        self.bytes = 0  # both ways, since somebody took them away

    def connected(self):
        return self._stream is not None

    def close(self):
        stream, self._stream = self._stream, None
        if stream:
            self._turn += 1
            stream.s.close()  # a stream's own close() does nothing in MicroPython
            self._socket.close()  # after a handshake that failed the TLS socket has forgotten the one below

    def proved(self):
        """The last answer was the collector's own."""
        self._good = self._address

    async def _open(self):
        """A connection begun to one of the host's addresses: each time another, as long as they fail."""
        found = [self._host]
        if not numeric(self._host):
            dns = __import__("uplink.dns", None, None, ("resolve",))  # only where the host has a name
            try:
                found = await dns.resolve(self._host, self._links.server(), self._random)
            except (OSError, TypeError, ValueError):
                found = []
            if self._good and self._good not in found:
                found.append(self._good)
            if not found:
                raise HttpError("no address for " + self._host)
        self._address = found[self._turn % len(found)]
        connection = socket.socket()
        self._socket = connection
        self._stream = asyncio.StreamWriter(connection)
        connection.setblocking(False)
        try:
            connection.connect(socket.getaddrinfo(self._address, self._port)[0][-1])
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
        if self.tls:
            self._stream = asyncio.StreamWriter(self.tls.wrap(connection, self._host))

    async def _write(self, data):
        self._stream.out_buf = data  # drained from where it lies, where write() would copy what is left
        await asyncio.wait_for_ms(self._stream.drain(), _STALL_MS)
        self._count(len(data))

    def _count(self, n):
        self.bytes += n + _RECORD_BYTES if self.tls else n

    async def post(self, path, length, send):
        """POST `length` bytes that `await send(write)` gives in pieces; returns (status, body) as bytes, the body of a 200."""
        if self._refused:
            raise HttpError(self._refused)
        head = (
            "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
            % (path, self._host, self._port, _TYPE, length)
        ).encode()
        self.kept = self._stream is not None
        if not self.kept:
            await self._open()
        if self.tls and not self.kept:
            self._count(_HANDSHAKE_BYTES)
            await self.tls.shake(self._stream.s, head)
        else:
            await self._write(head)
        await send(self._write)
        return await asyncio.wait_for_ms(self._answer(), _ANSWER_MS)

    async def _read(self, view):
        """At least one byte into `view`; their number."""
        n = None
        while n is None:  # part of a TLS record
            n = await self._stream.readinto(view)
        if not n:
            raise HttpError
        self.kept = False
        self._count(n)
        return n

    async def _answer(self):
        view = self.buffer
        fill = 0
        end = -1
        while end < 0:
            if fill == BUFFER_BYTES:
                raise HttpError
            fill += await self._read(view[fill:])
            end = _buffer.find(b"\r\n\r\n", 0, fill)
        text = bytes(view[:end]).lower()
        if not text.startswith(b"http/1."):
            raise HttpError
        status = text[9:12]
        if status[:1] == b"3" or status == b"511" or (status == b"200" and _TYPE not in _field(text, b"content-type")):
            raise HttpError("captive portal")
        if status != b"200":
            self.close()
            return status, b""
        value = _field(text, b"content-length")
        if not value.isdigit() or len(value) > 4 or int(value) > _MAX_BODY_BYTES:
            raise HttpError
        body = bytearray(int(value))
        have = min(len(body), fill - end - 4)
        body[:have] = view[end + 4 : end + 4 + have]
        while have < len(body):
            have += await self._read(memoryview(body)[have:])
        if fill - end - 4 > len(body) or _field(text, b"connection") == "close":
            self.close()
        return status, body


def _field(text, name):
    """The value of a header field, "" where it is missing or no text."""
    at = text.find(b"\r\n" + name + b":")
    try:
        return text[at + len(name) + 3 :].split(b"\r\n")[0].strip().decode() if at >= 0 else ""
    except UnicodeError:
        return ""
