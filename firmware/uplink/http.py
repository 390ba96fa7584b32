"""An HTTP/1.1 client for one host: one request at a time, kept alive, every answer bounded before it is believed."""

import asyncio

from micropython import const

_MAX_BODY_BYTES = const(4096)
_MAX_HEAD_BYTES = const(2048)


class HttpError(Exception):
    """The other side closed, or its answer is none that this client accepts."""


class Http:
    """Client of `url`, http://host[:port]. After an error call close(); the caller bounds the time."""

    def __init__(self, url):
        scheme, _, rest = url.partition("://")
        if scheme != "http":
            raise ValueError(url)
        self._host, _, port = rest.partition(":")
        self._port = int(port or 80)
        self._stream = None
        self._head = bytearray(_MAX_HEAD_BYTES)

    def close(self):
        stream, self._stream = self._stream, None
        if stream:
            stream.s.close()  # a stream's own close() does nothing in MicroPython

    async def post(self, path, content_type, length, send):
        """POST `length` bytes that `await send(write)` gives in pieces; returns (status, body) as bytes, the body of a 200."""
        if self._stream is None:
            self._stream, _ = await asyncio.open_connection(self._host, self._port)
        stream = self._stream

        async def write(data):
            stream.write(data)
            await stream.drain()

        await write(
            (
                "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
                % (path, self._host, self._port, content_type, length)
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
                raise HttpError
            n = await stream.readinto(view[fill:])
            if not n:
                raise HttpError
            fill += n
            end = head.find(b"\r\n\r\n", 0, fill)
        text = bytes(view[:end]).lower()
        if not text.startswith(b"http/1."):
            raise HttpError
        status = text[9:12]
        if status != b"200":
            self.close()
            return status, b""
        at = text.find(b"\r\ncontent-length:") + 17
        value = text[at:].split(b"\r\n")[0].strip()
        if at < 17 or not value.isdigit() or len(value) > 4 or int(value) > _MAX_BODY_BYTES:
            raise HttpError
        body = bytearray(int(value))
        have = min(len(body), fill - end - 4)
        body[:have] = view[end + 4 : end + 4 + have]
        while have < len(body):
            n = await stream.readinto(memoryview(body)[have:])
            if not n:
                raise HttpError
            have += n
        if b"\r\nconnection: close" in text:
            self.close()
        return status, body
