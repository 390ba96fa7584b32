"""The partition maps are those of the architecture page, and the table is the ESP32's to the byte."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_tools.build.partitions import (
    MIB,
    PARTITION_MAPS,
    TABLE_BYTES,
    Partition,
    decode_table,
    encode_table,
    find,
    partition_map,
)
from host_tools.errors import UserError

# label, type, subtype, offset, size: written out from the page, not computed.
MAP_4 = (
    ("nvs", 1, 0x02, 0x9000, 0x6000),
    ("phy_init", 1, 0x01, 0xF000, 0x1000),
    ("factory", 0, 0x00, 0x10000, 0x1F0000),
    ("identity", 1, 0x40, 0x200000, 0x2000),
    ("vfs", 1, 0x81, 0x202000, 0x7E000),
    ("lists", 1, 0x41, 0x280000, 0x40000),
    ("journal", 1, 0x42, 0x2C0000, 0x140000),
)
MAP_16 = (
    *MAP_4[:4],
    ("vfs", 1, 0x81, 0x202000, 0x1FE000),
    ("lists", 1, 0x41, 0x400000, 0x400000),
    ("journal", 1, 0x42, 0x800000, 0x800000),
)


def _tuples(partitions: object) -> tuple[tuple[str, int, int, int, int], ...]:
    return tuple((p.label, p.type, p.subtype, p.offset, p.size) for p in partitions)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("mebibytes", "rows"), [(4, MAP_4), (16, MAP_16)])
def test_maps_are_those_of_the_page(mebibytes: int, rows: tuple[tuple[str, int, int, int, int], ...]) -> None:
    partitions = PARTITION_MAPS[mebibytes * MIB]
    assert _tuples(partitions) == rows
    assert partitions[-1].end == mebibytes * MIB
    for before, after in zip(partitions, partitions[1:], strict=False):
        assert before.end == after.offset, "a hole in the map"


def test_table_bytes_are_the_esp32s() -> None:
    table = encode_table(PARTITION_MAPS[4 * MIB])
    rows = bytes.fromhex(
        "aa50 01 02 00900000 00600000 6e767300000000000000000000000000 00000000"
        "aa50 01 01 00f00000 00100000 7068795f696e69740000000000000000 00000000"
        "aa50 00 00 00000100 00001f00 666163746f7279000000000000000000 00000000"
        "aa50 01 40 00002000 00200000 6964656e746974790000000000000000 00000000"
        "aa50 01 81 00202000 00e00700 76667300000000000000000000000000 00000000"
        "aa50 01 41 00002800 00000400 6c697374730000000000000000000000 00000000"
        "aa50 01 42 00002c00 00001400 6a6f75726e616c000000000000000000 00000000"
    )
    assert table[: len(rows)] == rows
    md5_row = b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(rows, usedforsecurity=False).digest()
    assert table[len(rows) : len(rows) + 32] == md5_row
    assert len(table) == TABLE_BYTES == 0xC00
    assert set(table[len(rows) + 32 :]) == {0xFF}


@pytest.mark.parametrize("size", sorted(PARTITION_MAPS))
def test_decode_gives_back_what_was_encoded(size: int) -> None:
    table = encode_table(PARTITION_MAPS[size])
    assert tuple(decode_table(table)) == PARTITION_MAPS[size]
    assert tuple(decode_table(table + b"\xff" * 0x400)) == PARTITION_MAPS[size]  # the whole sector


@given(position=st.integers(0, 8 * 32 - 1), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed(position: int, flip: int) -> None:
    table = bytearray(encode_table(PARTITION_MAPS[4 * MIB]))
    table[position] ^= flip
    with pytest.raises(UserError) as raised:
        decode_table(bytes(table))
    assert "\n" not in raised.value.message and raised.value.hint


@given(st.binary(max_size=200))
def test_garbage_is_a_user_error(garbage: bytes) -> None:
    with pytest.raises(UserError):
        decode_table(garbage)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (Partition("a", 1, 2, 0x8000, 0x1000),),  # over the table itself
        (Partition("a", 1, 2, 0x9000, 0x2000), Partition("b", 1, 2, 0xA000, 0x1000)),  # overlap
        (Partition("a", 1, 2, 0x9000, 0x1000), Partition("a", 1, 2, 0xA000, 0x1000)),  # same label
        (Partition("a", 0, 0, 0x9000, 0x1000),),  # an app must lie on 64 KiB
        (Partition("a", 1, 2, 0x9000, 0x800),),
        (Partition("a", 1, 2, 0x9000, 0),),
        (Partition("a" * 16, 1, 2, 0x9000, 0x1000),),
        (Partition("", 1, 2, 0x9000, 0x1000),),
        (Partition("đ", 1, 2, 0x9000, 0x1000),),
        (Partition("a", 1, 0xFF, 0x9000, 0x1000),),
        (Partition("a", 1, 2, 0xFFFFF000, 0x2000),),
        tuple(Partition(f"p{n}", 1, 2, 0x9000 + n * 0x1000, 0x1000) for n in range(95)),
    ],
)
def test_a_map_that_cannot_be_is_refused(parts: tuple[Partition, ...]) -> None:
    with pytest.raises(UserError):
        encode_table(parts)


def test_most_entries_that_fit() -> None:
    parts = tuple(Partition(f"p{n}", 1, 2, 0x9000 + n * 0x1000, 0x1000) for n in range(94))
    assert tuple(decode_table(encode_table(parts))) == parts


def test_unknown_flash_size_and_label_are_user_errors() -> None:
    with pytest.raises(UserError):
        partition_map(8 * MIB)
    with pytest.raises(UserError):
        find(PARTITION_MAPS[4 * MIB], "ota_0")
