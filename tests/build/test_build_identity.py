"""The identity partition is that of the formats page, and no damaged one is believed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_tools.build.identity import (
    PARTITION_BYTES,
    SECTOR_BYTES,
    Identity,
    decode_partition,
    encode_copy,
    encode_partition,
    from_json,
    load_identity,
    to_json,
)
from host_tools.errors import UserError

IDENTITY = Identity(
    device_id=bytes.fromhex("0000246f28aabbcc"),
    device_key=bytes(range(32)),
    collector_public=bytes(range(32, 64)),
    collector_url="http://127.0.0.1:8080",
    list_key=bytes(range(64, 96)),
    last_command=7,
)
BLANK = b"\xff" * SECTOR_BYTES


def _sealed(text: bytes, counter: int = 1) -> bytes:
    body = b"CHI1" + struct.pack("<IH", counter, len(text)) + text
    return (body + struct.pack("<I", crc32(body))).ljust(SECTOR_BYTES, b"\xff")


def test_bytes_of_the_partition() -> None:
    text = (
        '{"device_id":"0000246f28aabbcc",'
        f'"device_key":"{bytes(range(32)).hex()}","collector_public":"{bytes(range(32, 64)).hex()}",'
        '"collector_url":"http://127.0.0.1:8080",'
        f'"list_key":"{bytes(range(64, 96)).hex()}","last_command":7}}'
    ).encode()
    assert encode_partition(IDENTITY) == _sealed(text) + BLANK
    assert len(encode_partition(IDENTITY)) == PARTITION_BYTES == 8192


def test_round_trip_in_either_sector() -> None:
    assert decode_partition(encode_partition(IDENTITY)) == IDENTITY
    assert decode_partition(BLANK + encode_copy(IDENTITY, 9)) == IDENTITY


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1), (0xFFFFFFFE, 0xFFFFFFFF)])
def test_the_higher_counter_holds(first: int, second: int) -> None:
    older = Identity(**{**vars(IDENTITY), "last_command": min(first, second) % 1000})
    newer = Identity(**{**vars(IDENTITY), "last_command": 5555})
    copies = [encode_copy(newer if counter == max(first, second) else older, counter) for counter in (first, second)]
    assert decode_partition(b"".join(copies)) == newer


def test_a_torn_newer_copy_leaves_the_older() -> None:
    torn = encode_copy(Identity(**{**vars(IDENTITY), "last_command": 8}), 2)[:200].ljust(SECTOR_BYTES, b"\xff")
    assert decode_partition(encode_copy(IDENTITY, 1) + torn) == IDENTITY
    assert decode_partition(torn + encode_copy(IDENTITY, 1)) == IDENTITY


@given(position=st.integers(0, 9), flip=st.integers(1, 255))
def test_a_damaged_head_is_not_believed(position: int, flip: int) -> None:
    partition = bytearray(encode_partition(IDENTITY))
    partition[position] ^= flip
    with pytest.raises(UserError):
        decode_partition(bytes(partition))


def test_every_single_changed_byte_of_the_copy_is_noticed() -> None:
    partition = bytearray(encode_partition(IDENTITY))
    end = len(partition[:SECTOR_BYTES].rstrip(b"\xff"))
    for position in range(end):
        partition[position] ^= 0x10
        with pytest.raises(UserError):
            decode_partition(bytes(partition))
        partition[position] ^= 0x10


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_garbage_is_a_one_line_user_error(first: bytes, second: bytes) -> None:
    partition = (b"CHI1" + first).ljust(SECTOR_BYTES, b"\0") + second.ljust(SECTOR_BYTES, b"\xff")
    with pytest.raises(UserError) as raised:
        decode_partition(partition)
    assert "\n" not in raised.value.message and raised.value.hint


@given(st.binary(max_size=300))
def test_whole_copies_of_garbage_are_user_errors(text: bytes) -> None:
    with pytest.raises(UserError):
        decode_partition(_sealed(text) + BLANK)


@pytest.mark.parametrize("length", [0, 4096, 8191, 8193])
def test_another_length_is_refused(length: int) -> None:
    with pytest.raises(UserError):
        decode_partition(encode_partition(IDENTITY)[:length].ljust(length, b"\xff"))


def test_a_length_that_reaches_beyond_the_sector_is_refused() -> None:
    for length in (SECTOR_BYTES - 13, SECTOR_BYTES, 0xFFFF):
        sector = b"CHI1" + struct.pack("<IH", 1, length)
        with pytest.raises(UserError):
            decode_partition(sector.ljust(SECTOR_BYTES, b"\0") + BLANK)


GOOD = to_json(IDENTITY)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"device_id": "00"}, "device_id"),
        ({"device_id": "00" * 8}, "device_id"),
        ({"device_key": "zz" * 32}, "device_key"),
        ({"device_key": "é" * 64}, "device_key"),
        ({"device_key": "ff" * 32}, "device_key"),
        ({"device_key": 5}, "device_key"),
        ({"collector_public": " " * 64}, "collector_public"),
        ({"list_key": None}, "list_key"),
        ({"collector_url": "ftp://a"}, "collector_url"),
        ({"collector_url": "http://"}, "collector_url"),
        ({"collector_url": "http://a:99999"}, "collector_url"),
        ({"collector_url": "https://a/b"}, "collector_url"),
        ({"collector_url": "http://[::1]:8080"}, "collector_url"),
        ({"collector_url": "http://a b"}, "collector_url"),
        ({"collector_url": "http://a\r\nX: y"}, "collector_url"),
        ({"collector_url": "http://user:secret@a"}, "collector_url"),
        ({"collector_url": "http://[::1"}, "collector_url"),
        ({"collector_url": "http://" + "a" * 200}, "collector_url"),
        ({"collector_url": 7}, "collector_url"),
        ({"last_command": -1}, "last_command"),
        ({"last_command": True}, "last_command"),
        ({"last_command": 1 << 63}, "last_command"),
        ({"last_command": 1.5}, "last_command"),
        ({"collector_private": "11" * 32}, "collector_private"),
    ],
)
def test_a_wrong_member_is_named_and_never_shown(change: dict[str, object], named: str) -> None:
    with pytest.raises(UserError) as raised:
        from_json({**GOOD, **change})
    assert named in raised.value.message
    for value in change.values():
        if isinstance(value, str) and len(value) > 8:
            assert value not in raised.value.message + raised.value.hint


@pytest.mark.parametrize("name", ["device_id", "device_key", "collector_public", "collector_url", "list_key"])
def test_a_missing_member_is_named(name: str) -> None:
    with pytest.raises(UserError, match=name):
        from_json({key: value for key, value in GOOD.items() if key != name})


def test_last_command_may_be_left_out() -> None:
    assert from_json({key: value for key, value in GOOD.items() if key != "last_command"}).last_command == 0


@pytest.mark.parametrize("members", [None, [], "text", 5])
def test_another_kind_of_json_is_refused(members: object) -> None:
    with pytest.raises(UserError):
        from_json(members)


def test_an_identity_never_prints_its_keys() -> None:
    for key in (IDENTITY.device_key, IDENTITY.list_key):
        assert key.hex() not in repr(IDENTITY) and repr(key) not in repr(IDENTITY)


def test_a_wrong_identity_is_not_encoded() -> None:
    with pytest.raises(UserError, match="device_key"):
        encode_partition(Identity(**{**vars(IDENTITY), "device_key": b"short"}))


def test_identity_file_must_be_private(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    path.write_text(json.dumps(GOOD))
    for mode in (0o640, 0o604, 0o620, 0o644):
        path.chmod(mode)
        with pytest.raises(UserError) as raised:
            load_identity(path)
        assert raised.value.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    assert load_identity(path) == IDENTITY


def test_identity_file_that_is_no_json_or_missing(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    with pytest.raises(UserError, match=r"identity\.json"):
        load_identity(path)
    for text in (b"{", b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(text)
        path.chmod(0o600)
        with pytest.raises(UserError):
            load_identity(path)
