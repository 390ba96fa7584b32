"""Messages on the wire: a board's request, the pieces of journal in it, and the reply that alone releases data."""

from __future__ import annotations

import hmac
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES

VERSION = 1
MAX_REQUEST_BYTES = 65_536
MAX_REPLY_BYTES = 4096
MAC_BYTES = 32
NONCE_BYTES = 8
_HEAD = struct.Struct("<B8s4s32s8s")
_PIECE = struct.Struct("<II32sHH")
MIN_REQUEST_BYTES = _HEAD.size + MAC_BYTES


class NotAuthentic(ValueError):
    """The MAC does not hold (or there is no room for one): nothing in the message may be believed."""


@dataclass(frozen=True)
class Piece:
    """Raw journal bytes of one sector from `offset` on, and the key in force there."""

    generation: int
    sequence: int
    epoch_public: bytes
    offset: int
    data: bytes

    @property
    def raw(self) -> bool:
        """True for a damaged sector sent whole, header included."""
        return self.sequence == 0 and self.offset == 0 and len(self.data) == SECTOR_BYTES and not any(self.epoch_public)

    @property
    def well_formed(self) -> bool:
        """True if position and length are those of a piece; only then may it be opened."""
        end = self.offset + len(self.data)
        inside = self.offset >= HEADER_BYTES and bool(self.data) and end <= SECTOR_BYTES
        return self.raw or (self.sequence > 0 and inside)

    def pack(self) -> bytes:
        """The bytes of this piece in a request."""
        return _PIECE.pack(self.generation, self.sequence, self.epoch_public, self.offset, len(self.data)) + self.data


@dataclass(frozen=True)
class Request:
    """An authentic request. `fault` says why it does not parse (None: it does); `pieces` are those that could be told
    apart, and `tail` the bytes after them."""

    device_id: bytes
    collector_key_id: bytes
    epoch_public: bytes
    nonce: bytes
    pieces: tuple[Piece, ...]
    tail: bytes = b""
    fault: str | None = None

    @property
    def piece_count(self) -> int:
        """How many pieces the sender meant: a tail can only be one piece cut short."""
        return len(self.pieces) + (1 if self.tail else 0)


def request_device_id(body: bytes) -> bytes | None:
    """The device id a request claims, None if it is too short to be one."""
    return body[1:9] if len(body) >= MIN_REQUEST_BYTES else None


def _fault(version: int, pieces: Sequence[Piece], tail: bytes) -> str | None:
    if version != VERSION:
        return f"version {version}"
    if tail:
        return "the last piece is cut short"
    if any(not piece.well_formed for piece in pieces):
        return "a piece outside its sector"
    ordered = [piece for piece in pieces if not piece.raw]
    if len({piece.generation for piece in ordered}) > 1:
        return "pieces of two generations"
    places = [(piece.sequence, piece.offset) for piece in ordered]
    return None if places == sorted(places) else "pieces out of order"


def parse_request(body: bytes, request_key: bytes) -> Request:
    """A request, if its MAC holds; raises NotAuthentic otherwise. One that does not parse has a `fault`."""
    if len(body) < MIN_REQUEST_BYTES:
        raise NotAuthentic("too short for a request")
    signed, mac = body[:-MAC_BYTES], body[-MAC_BYTES:]
    if not hmac.compare_digest(hmac.digest(request_key, signed, "sha256"), mac):
        raise NotAuthentic("the MAC does not hold")
    version, device_id, key_id, epoch_public, nonce = _HEAD.unpack_from(signed)
    pieces: list[Piece] = []
    at = _HEAD.size
    # The layout of another version is not known, so nothing in it is taken for a piece.
    while version == VERSION and at + _PIECE.size <= len(signed):
        generation, sequence, key, offset, length = _PIECE.unpack_from(signed, at)
        start = at + _PIECE.size
        if start + length > len(signed):
            break
        pieces.append(Piece(generation, sequence, key, offset, signed[start : start + length]))
        at = start + length
    tail = signed[at:]
    return Request(device_id, key_id, epoch_public, nonce, tuple(pieces), tail, _fault(version, pieces, tail))


def build_request(
    device_id: bytes,
    collector_key_id: bytes,
    epoch_public: bytes,
    nonce: bytes,
    pieces: Sequence[Piece],
    request_key: bytes,
) -> bytes:
    """A request as a board makes it."""
    head = _HEAD.pack(VERSION, device_id, collector_key_id, epoch_public, nonce)
    signed = head + b"".join(piece.pack() for piece in pieces)
    return signed + hmac.digest(request_key, signed, "sha256")


def build_reply(nonce: bytes, body: dict[str, Any], reply_key: bytes) -> bytes:
    """A reply to the request of this nonce; raises ValueError if it is above 4096 bytes."""
    signed = bytes((VERSION,)) + nonce + json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    reply = signed + hmac.digest(reply_key, signed, "sha256")
    if len(reply) > MAX_REPLY_BYTES:
        raise ValueError(f"a reply of {len(reply)} bytes, above {MAX_REPLY_BYTES}")
    return reply


def parse_reply(reply: bytes, nonce: bytes, reply_key: bytes) -> dict[str, Any]:
    """The body of a reply to the request of this nonce; raises NotAuthentic if it is not the collector's."""
    signed, mac = reply[:-MAC_BYTES], reply[-MAC_BYTES:]
    if len(reply) > MAX_REPLY_BYTES or not hmac.compare_digest(hmac.digest(reply_key, signed, "sha256"), mac):
        raise NotAuthentic("the MAC does not hold")
    if signed[: 1 + NONCE_BYTES] != bytes((VERSION,)) + nonce:
        raise NotAuthentic("a reply to another request")
    body = json.loads(signed[1 + NONCE_BYTES :])
    if not isinstance(body, dict):
        raise ValueError("a reply body that is no object")
    return body
