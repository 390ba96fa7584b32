"""HTTP at the far end of a virtual connection: the real collector over loopback, a captive portal, or a forger."""

from __future__ import annotations

import json
import random
import socket

# The collector runs on this very machine: an answer that takes longer is a defect, not a slow network.
ANSWER_TIMEOUT_S = 30.0
_REQUEST_HEAD_BYTES = 1 + 8 + 4 + 32
_PIECE_HEAD_BYTES = 44
_MAC_BYTES = 32


class HttpRelay:
    """Watches the framing of one connection; `feed` returns a request when it is whole, `exchange` has it answered."""

    def __init__(self, address: tuple[str, int] | None) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._request = bytearray()
        self._size: int | None = None  # of the request under way, once its head is there

    def feed(self, data: bytes) -> bytes | None:
        """Take bytes from the board; the whole request (head and body) once it is complete, else None."""
        self._request += data
        if self._size is None:
            self._size = _message_size(self._request)
        if self._size is None or len(self._request) < self._size:
            return None
        request = bytes(self._request[: self._size])
        del self._request[: self._size]
        self._size = None
        return request

    def exchange(self, request: bytes) -> tuple[bytes, bool]:
        """Send a whole request to the collector, wait for the whole answer: (bytes, whether the server then closes)."""
        if self._address is None:
            return b"", True
        for fresh in (False, True):
            if self._socket is None or fresh:
                self.close()
                try:
                    self._socket = socket.create_connection(self._address, timeout=ANSWER_TIMEOUT_S)
                except OSError:
                    return b"", True
            answer = self._ask(self._socket, request)
            if answer:
                break
        closes = not answer or b"connection: close" in answer.partition(b"\r\n\r\n")[0].lower()
        if closes:
            self.close()
        return answer, closes

    @staticmethod
    def _ask(connection: socket.socket, request: bytes) -> bytes:
        answer = b""
        try:
            connection.sendall(request)
            while True:
                size = _message_size(answer)
                if size is not None and len(answer) >= size:
                    return answer
                part = connection.recv(65536)
                if not part:
                    return answer
                answer += part
        except OSError:
            return answer

    def close(self) -> None:
        """Let go of the real socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _message_size(data: bytes | bytearray) -> int | None:
    """Bytes of an HTTP message with a Content-Length (none given: no body); None while the head is incomplete."""
    head, separator, _ = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            return len(head) + 4 + int(value)
    return len(head) + 4


def _response(status: str, content_type: str, body: bytes) -> bytes:
    fields = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n".encode() + body


def portal_page() -> bytes:
    """What a captive portal says to everything: 200 and a page to log in."""
    return _response("200 OK", "text/html", b"<html><title>WiFi</title><a href='/login'>Log in</a></html>")


def forged_reply(request: bytes, now_ms: int, rng: random.Random) -> bytes:
    """A 200 with a well-formed reply to this request that claims every piece is stored, sealed with a wrong MAC."""
    body = request.partition(b"\r\n\r\n")[2]
    nonce = body[_REQUEST_HEAD_BYTES : _REQUEST_HEAD_BYTES + 8].ljust(8, b"\0")
    claim = json.dumps({"stored": _pieces(body), "now": now_ms}, separators=(",", ":")).encode()
    mac = bytes(rng.getrandbits(8) for _ in range(_MAC_BYTES))
    return _response("200 OK", "application/x-chot", b"\x01" + nonce + claim + mac)


def _pieces(body: bytes) -> int:
    """How many pieces a request holds."""
    at, end, count = _REQUEST_HEAD_BYTES + 8, len(body) - _MAC_BYTES, 0
    while at + _PIECE_HEAD_BYTES <= end:
        at += _PIECE_HEAD_BYTES + int.from_bytes(body[at + 42 : at + 44], "little")
        count += 1
    return count
