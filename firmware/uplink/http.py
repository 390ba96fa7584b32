"""An HTTP/1.1 client for one host: one request at a time, kept alive, every answer bounded before it is believed."""

import asyncio

from micropython import const

MAX_BODY_BYTES = const(4096)
_MAX_HEAD_BYTES = const(2048)


class HttpError(Exception):
    """The answer is no HTTP answer this client accepts; the connection has been closed."""


def split_url(url):
    """(host, port, path prefix) of an http:// URL; raises ValueError."""
    if not url.startswith("http://"):
        raise ValueError("collector_url: http://host:port is needed")
    rest = url[7:]
    slash = rest.find("/")
    prefix = ""
    if slash >= 0:
        rest, prefix = rest[:slash], rest[slash:].rstrip("/")
    host, _, port = rest.partition(":")
    if not host:
        raise ValueError("collector_url: no host")
    return host, int(port or 80), prefix


class Http:
    """Client of `url`. Methods raise OSError or HttpError and close the connection; the caller bounds the time."""

    def __init__(self, url):
        self._host, self._port, self._prefix = split_url(url)
        self._stream = None
        self._head = bytearray(_MAX_HEAD_BYTES)

    def close(self):
        stream, self._stream = self._stream, None
        if stream:
            stream.close()

    async def post(self, path, content_type, length, send):
        """POST `length` bytes that `await send(write)` gives in pieces; returns (status, body or b"").

        A connection kept from before may have been closed by the other side meanwhile: then it is made anew, once.
        """
        kept = self._stream is not None
        try:
            return await self._post(path, content_type, length, send)
        except (OSError, HttpError) as error:
            self.close()
            if not kept or isinstance(error, HttpError):
                raise
        try:
            return await self._post(path, content_type, length, send)
        except (OSError, HttpError):
            self.close()
            raise

    async def _post(self, path, content_type, length, send):
        if self._stream is None:
            self._stream, _ = await asyncio.open_connection(self._host, self._port)
        stream = self._stream

        async def write(data):
            stream.write(data)
            await stream.drain()

        await write(
            (
                "POST %s%s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
                % (self._prefix, path, self._host, self._port, content_type, length)
            ).encode()
        )
        await send(write)
        return await self._answer(stream)

    async def _answer(self, stream):
        head = self._head
        view = memoryview(head)
        fill = 0
        end = -1
        while end < 0:
            if fill == _MAX_HEAD_BYTES:
                raise HttpError("head too long")
            n = await stream.readinto(view[fill:])
            if not n:
                raise OSError("closed")
            fill += n
            end = head.find(b"\r\n\r\n", 0, fill)
        lines = bytes(view[:end]).lower().split(b"\r\n")
        words = lines[0].split(b" ")
        if len(words) < 2 or not words[0].startswith(b"http/1.") or len(words[1]) != 3 or not words[1].isdigit():
            raise HttpError("no HTTP answer")
        status = int(words[1])
        length = None
        for line in lines[1:]:
            if line.startswith(b"content-length:"):
                value = line[15:].strip()
                if not value.isdigit() or len(value) > 9:
                    raise HttpError("length")
                length = int(value)
        if length is None or length > MAX_BODY_BYTES:
            raise HttpError("length")
        body = bytearray(length)
        have = min(length, fill - end - 4)
        body[:have] = view[end + 4 : end + 4 + have]
        while have < length:
            n = await stream.readinto(memoryview(body)[have:])
            if not n:
                raise OSError("closed")
            have += n
        if b"connection: close" in lines or status != 200:
            self.close()
        return status, body if status == 200 else b""
