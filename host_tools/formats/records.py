"""Records: the plaintext of a frame and what it says. Decoding is exact, and never raises on what a flash may hold."""

from __future__ import annotations

import hashlib
from typing import Any

BOOT, CLOCK, SCAN, DOOR, INCIDENT, HEALTH, NOTE, CHANGE = range(1, 9)
CAUSE_POWER_ON = 1
CAUSE_NEW_KEY = 8
SOURCE_COLLECTOR = 3
ADMITTED, DENIED, RECORDED, NOT_A_CARD, EXPIRED, FORGED, PLACE_FULL, REPEAT, CLOSED, NOT_LISTED = range(1, 11)
# Events of a DOOR record.
OPENED, SHUT, HELD_OPEN, OPENED_WITHOUT_SCAN, PASSAGE, PASSAGE_WITHOUT_SCAN = range(1, 7)
# Codes of an INCIDENT.
HELP, TAMPER, WITHOUT_CARD = range(1, 4)
# Verdicts after which the person is in the place.
PRESENT_VERDICTS = (ADMITTED, RECORDED, REPEAT)

MAX_DIGITS = 38
MAX_TEXT_BYTES = 64
MAX_VARINT_BYTES = 9
DIGEST = 0x40
DIGEST_BYTES = 16


class _Raw(Exception):
    """The plaintext does not parse exactly."""


def pack_varint(value: int) -> bytes:
    """Unsigned LEB128; raises ValueError outside 0 … 2^63 − 1."""
    if not 0 <= value < 1 << 63:
        raise ValueError("a varint is at least 0 and below 2^63")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _digit_bytes(digits: int) -> int:
    """The fewest bytes that hold any decimal number of so many digits."""
    return ((10**digits - 1).bit_length() + 7) // 8


def pack_id(text: str) -> bytes:
    """A card id as in a SCAN record: digits as a number, other text as UTF-8, text above 64 bytes as its digest."""
    if 1 <= len(text) <= MAX_DIGITS and text.isascii() and text.isdigit():
        return bytes((len(text),)) + int(text).to_bytes(_digit_bytes(len(text)), "big")
    data = text.encode()
    return b"\0" + data if len(data) <= MAX_TEXT_BYTES else pack_digest(data)


def pack_digest(payload: bytes) -> bytes:
    """The id of a payload that has no stable id of its own: 0x40 and the first half of its SHA-256."""
    return bytes((DIGEST,)) + hashlib.sha256(payload).digest()[:DIGEST_BYTES]


def unpack_id(packed: bytes) -> str:
    """The text of a packed card id (a digest in hex); raises ValueError if it is not one, exactly."""
    if not packed:
        raise ValueError("an empty card id")
    form, body = packed[0], packed[1:]
    if form == 0:
        if len(body) > MAX_TEXT_BYTES:
            raise ValueError("a card id above 64 bytes")
        return body.decode()
    if form <= MAX_DIGITS:
        number = int.from_bytes(body, "big")
        if len(body) != _digit_bytes(form) or number >= 10**form:
            raise ValueError("a card number that has not its digits")
        return str(number).zfill(form)
    if form == DIGEST and len(body) == DIGEST_BYTES:
        return body.hex()
    raise ValueError("not a card id")


def packed_forms(text: str) -> tuple[bytes, ...]:
    """Every packed id that unpacks to this text: what to look for when a person types an id."""
    forms = {pack_id(text), b"\0" + text.encode()}
    if len(text) == 2 * DIGEST_BYTES and all(c in "0123456789abcdef" for c in text):
        forms.add(bytes((DIGEST,)) + bytes.fromhex(text))
    return tuple(sorted(forms))


class _Reader:
    """Takes a plaintext apart from the front; every step raises _Raw where the bytes run out."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def u8(self) -> int:
        if self._at >= len(self._data):
            raise _Raw
        self._at += 1
        return self._data[self._at - 1]

    def varint(self) -> int:
        value = 0
        for step in range(MAX_VARINT_BYTES):
            byte = self.u8()
            value |= (byte & 0x7F) << 7 * step
            if byte < 0x80:
                return value
        raise _Raw

    def zigzag(self) -> int:
        value = self.varint()
        return value >> 1 if value & 1 == 0 else -(value >> 1) - 1

    def take(self, length: int) -> bytes:
        if length > len(self._data) - self._at:
            raise _Raw
        self._at += length
        return self._data[self._at - length : self._at]

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def more(self) -> bool:
        return self._at < len(self._data)


def _boot(reader: _Reader) -> dict[str, Any]:
    cause = reader.u8()
    version = reader.take(reader.varint()).decode()
    return {"cause": cause, "version": version, "config": reader.varint()}


def _clock(reader: _Reader) -> dict[str, Any]:
    return {"unix_ms": reader.varint(), "error_ms": reader.varint(), "source": reader.u8()}


def _scan(reader: _Reader) -> dict[str, Any]:
    both = reader.u8()
    return {"reader": both >> 4, "verdict": both & 15, "scheme": reader.u8(), "id": unpack_id(reader.rest())}


def _code(reader: _Reader) -> dict[str, Any]:
    return {"code": reader.u8()}


def _health(reader: _Reader) -> dict[str, Any]:
    pairs = []
    while reader.more():
        pairs.append([reader.u8(), reader.zigzag()])
    return {"health": pairs}


def _note(reader: _Reader) -> dict[str, Any]:
    return {"level": reader.u8(), "text": reader.rest().decode()}


def _change(reader: _Reader) -> dict[str, Any]:
    return {"what": reader.u8(), "version": reader.varint(), "outcome": reader.u8(), "reason": reader.rest().decode()}


_FIELDS = {
    BOOT: _boot,
    CLOCK: _clock,
    SCAN: _scan,
    DOOR: _code,
    INCIDENT: _code,
    HEALTH: _health,
    NOTE: _note,
    CHANGE: _change,
}


def decode(plaintext: bytes) -> dict[str, Any] | None:
    """What a plaintext says (`kind`, `uptime_ms` and the fields of its kind), or None: to be kept as raw bytes."""
    reader = _Reader(plaintext)
    try:
        kind = reader.u8()
        fields = _FIELDS.get(kind)
        if fields is None:
            return None
        decoded = {"kind": kind, "uptime_ms": reader.varint(), **fields(reader)}
    except (_Raw, ValueError):  # ValueError: text that is not UTF-8, an id that is none
        return None
    return None if reader.more() else decoded


def packed_card(plaintext: bytes) -> bytes:
    """The packed card id of a plaintext that decodes as SCAN: the card's name for comparing, unlike its text."""
    reader = _Reader(plaintext)
    reader.u8()
    reader.varint()
    reader.take(2)
    return reader.rest()


def encode(decoded: dict[str, Any], *, digest: bool = False) -> bytes:
    """The plaintext of a decoded record; with `digest`, the `id` of a SCAN is the hex of a digest and not a text."""
    kind = decoded["kind"]
    out = bytes((kind,)) + pack_varint(decoded["uptime_ms"])
    if kind == BOOT:
        version = decoded["version"].encode()
        return out + bytes((decoded["cause"],)) + pack_varint(len(version)) + version + pack_varint(decoded["config"])
    if kind == CLOCK:
        times = pack_varint(decoded["unix_ms"]) + pack_varint(decoded["error_ms"])
        return out + times + bytes((decoded["source"],))
    if kind == SCAN:
        card = bytes((DIGEST,)) + bytes.fromhex(decoded["id"]) if digest else pack_id(decoded["id"])
        return out + bytes((decoded["reader"] << 4 | decoded["verdict"], decoded["scheme"])) + card
    if kind in (DOOR, INCIDENT):
        return out + bytes((decoded["code"],))
    if kind == HEALTH:
        pairs = (bytes((key,)) + pack_varint(2 * v if v >= 0 else -2 * v - 1) for key, v in decoded["health"])
        return out + b"".join(pairs)
    if kind == NOTE:
        return out + bytes((decoded["level"],)) + decoded["text"].encode()
    if kind == CHANGE:
        head = bytes((decoded["what"],)) + pack_varint(decoded["version"]) + bytes((decoded["outcome"],))
        return out + head + decoded["reason"].encode()
    raise ValueError(f"no record of kind {kind}")
