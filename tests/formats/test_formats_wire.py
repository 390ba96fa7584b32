"""Requests are proved before they are believed, and taken apart as far as they parse; replies belong to one nonce."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_tools.formats import wire

KEY = b"k" * 32
NONCE = b"nonce123"
EPOCH = b"e" * 32


def piece(sequence: int = 1, offset: int = 64, data: bytes = b"abc", generation: int = 1) -> wire.Piece:
    return wire.Piece(generation, sequence, EPOCH, offset, data)


def request(*pieces: wire.Piece, extra: bytes = b"") -> wire.Request:
    class Extra:
        def pack(self) -> bytes:
            return extra

    body = wire.build_request(b"d" * 8, b"c" * 4, EPOCH, NONCE, [*pieces, Extra()], KEY)
    return wire.parse_request(body, KEY)


RAW = wire.Piece(1, 0, bytes(32), 0, b"\0" * 4096)


def test_a_sound_request() -> None:
    found = request(piece(1), piece(1, 80), RAW, piece(2))
    assert found.fault is None and found.piece_count == 4
    assert found.pieces[2].raw and not found.pieces[0].raw
    assert request().fault is None


@pytest.mark.parametrize(
    ("pieces", "fault"),
    [
        ([piece(2), piece(1)], "order"),
        ([piece(1, 90), piece(1, 70)], "order"),
        ([piece(1), piece(2, generation=2)], "generations"),
        ([piece(offset=63)], "outside"),
        ([piece(offset=4094)], "outside"),
        ([piece(data=b"")], "outside"),
        ([piece(sequence=0)], "outside"),
        ([wire.Piece(1, 0, bytes(32), 0, b"\0" * 4095)], "outside"),
        ([wire.Piece(1, 0, EPOCH, 0, b"\0" * 4096)], "outside"),
    ],
)
def test_what_does_not_parse_is_named(pieces: list[wire.Piece], fault: str) -> None:
    found = request(*pieces)
    assert found.fault is not None and fault in found.fault
    assert found.piece_count == len(pieces)


@pytest.mark.parametrize("cut", range(1, 46))
def test_a_piece_cut_short_is_one_piece_more(cut: int) -> None:
    found = request(piece(1), extra=piece(2).pack()[:cut])
    assert found.fault is not None and "cut short" in found.fault
    assert (len(found.pieces), found.piece_count) == (1, 2)


def test_another_version_is_taken_whole() -> None:
    body = bytearray(wire.build_request(b"d" * 8, b"c" * 4, EPOCH, NONCE, [piece()], KEY))
    body[0] = 2
    signed = bytes(body[: -wire.MAC_BYTES])
    found = wire.parse_request(signed + hmac.digest(KEY, signed, "sha256"), KEY)
    assert found.fault == "version 2" and found.pieces == () and found.tail == piece().pack()


def test_every_changed_byte_is_refused() -> None:
    body = wire.build_request(b"d" * 8, b"c" * 4, EPOCH, NONCE, [piece()], KEY)
    for at in range(len(body)):
        with pytest.raises(wire.NotAuthentic):
            wire.parse_request(body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :], KEY)
    with pytest.raises(wire.NotAuthentic):
        wire.parse_request(body[:-1], KEY)


@given(st.binary(max_size=200))
def test_authentic_garbage_never_raises(middle: bytes) -> None:
    found = request(extra=middle)
    assert b"".join(p.pack() for p in found.pieces) + found.tail == middle


@given(st.binary(max_size=120))
def test_garbage_is_never_authentic(body: bytes) -> None:
    with pytest.raises(wire.NotAuthentic):
        wire.parse_request(body, KEY)


def test_replies() -> None:
    reply = wire.build_reply(NONCE, {"stored": 1, "now": 2}, KEY)
    assert wire.parse_reply(reply, NONCE, KEY) == {"stored": 1, "now": 2}
    with pytest.raises(wire.NotAuthentic):
        wire.parse_reply(reply, b"another1", KEY)
    for at in range(len(reply)):
        with pytest.raises(wire.NotAuthentic):
            wire.parse_reply(reply[:at] + bytes((reply[at] ^ 1,)) + reply[at + 1 :], NONCE, KEY)
    with pytest.raises(ValueError, match="above 4096"):
        wire.build_reply(NONCE, {"commands": ["x" * 4096]}, KEY)
