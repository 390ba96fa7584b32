"""Frames open around damage, under their neighbours' keys, and with their last bytes blank; garbage never raises."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.formats import keys, sector

DEVICE_KEY = bytes(range(32))
COLLECTOR = bytes(range(32, 64))
PUBLICS = [keys.collector_public(bytes((n,)) * 32) for n in range(1, 6)]
RING = keys.KeyRing(DEVICE_KEY, [COLLECTOR])
GENERATION, SEQUENCE = 0xDEADBEEF, 9


def frames(*plaintexts: bytes | int, offset: int = 64, epoch: int = 0) -> bytes:
    """Frames of plaintexts; a number stands for the epoch frame of that epoch."""
    data = b""
    for plaintext in plaintexts:
        if isinstance(plaintext, int):
            epoch = plaintext
            data += sector.epoch_frame(PUBLICS[epoch])
        else:
            data += sector.seal(RING(PUBLICS[epoch])[0], GENERATION, SEQUENCE, offset + len(data), plaintext)
    return data


def walk(data: bytes, *, offset: int = 64, epoch: int = 0, others: tuple[int, ...] = ()) -> sector.Walk:
    return sector.walk_frames(
        data,
        generation=GENERATION,
        sequence=SEQUENCE,
        offset=offset,
        epoch_public=PUBLICS[epoch],
        keys_for=RING,
        others=[PUBLICS[n] for n in others],
    )


def plaintexts(found: sector.Walk) -> list[bytes | None]:
    return [frame.plaintext for frame in found.frames]


def test_junk_between_frames_costs_only_the_junk() -> None:
    first = frames(b"one")
    junk = bytes(range(1, 40))
    data = first + junk + frames(b"two", offset=64 + len(first) + len(junk))
    found = walk(data)
    assert plaintexts(found) == [b"one", b"two"]
    assert found.unread == [(64 + len(first), 64 + len(first) + len(junk))]


def test_a_lost_epoch_frame_is_made_good_by_a_neighbours_key() -> None:
    data = bytearray(frames(b"one", 1, b"two", b"three"))
    start = len(frames(b"one"))
    data[start + 5] ^= 1
    assert plaintexts(walk(bytes(data))) == [b"one"]
    found = walk(bytes(data), others=(3, 1))
    assert plaintexts(found) == [b"one", b"two", b"three"]
    assert found.unread == [(64 + start, 64 + start + 35)]


def test_a_wrong_key_of_the_piece_is_made_good() -> None:
    assert plaintexts(walk(frames(b"one", b"two", epoch=2), epoch=0, others=(1, 2))) == [b"one", b"two"]


def test_an_epoch_frame_in_junk_needs_a_tag_under_its_key() -> None:
    lone = b"\x00" + sector.epoch_frame(PUBLICS[4])
    at = 64 + len(lone)
    data = lone + frames(b"two", offset=at)
    found = walk(data)
    assert plaintexts(found) == [b"two"]
    assert found.unread == [(64, at)]
    proved = b"\x00" + frames(4, b"new", offset=65)
    assert plaintexts(walk(proved)) == [None, b"new"]
    later = lone + b"\x00\x00" + frames(b"new", offset=at + 2, epoch=4)
    assert plaintexts(walk(later)) == [b"new"]


def test_an_epoch_frame_of_a_refused_key_changes_nothing() -> None:
    data = frames(b"one") + sector.epoch_frame(bytes(32))
    found = walk(data + frames(b"two", offset=64 + len(data)))
    assert plaintexts(found) == [b"one", b"two"]


def test_an_epoch_frame_at_the_end_is_not_junk() -> None:
    found = walk(frames(b"one", 1))
    assert plaintexts(found) == [b"one", None]
    assert found.unread == []


def test_a_frame_whose_last_bytes_are_blank_opens_in_a_piece_that_ends_before_them() -> None:
    number = next(n for n in range(100_000) if frames(b"%d" % n).endswith(b"\xff"))
    data = frames(b"%d" % number)
    found = walk(data.rstrip(b"\xff"))
    assert plaintexts(found) == [b"%d" % number]
    assert found.unread == []


def test_frames_do_not_reach_over_the_end_of_a_sector() -> None:
    data = frames(b"last", offset=4096 - 15)
    assert plaintexts(walk(data, offset=4096 - 15)) == [b"last"]
    assert plaintexts(walk(data[:-1], offset=4096 - 14)) == []


@pytest.mark.parametrize("place", ["generation", "sequence", "offset"])
def test_a_frame_counts_only_at_its_own_position(place: str) -> None:
    args = {"generation": GENERATION, "sequence": SEQUENCE, "offset": 64}
    args[place] += 1
    found = sector.walk_frames(frames(b"one"), **args, epoch_public=PUBLICS[0], keys_for=RING)
    assert found.frames == []


def test_another_devices_frame_does_not_open() -> None:
    other = keys.KeyRing(bytes(32), [COLLECTOR])
    data = sector.seal(other(PUBLICS[0])[0], GENERATION, SEQUENCE, 64, b"one")
    assert walk(data).frames == []


@settings(max_examples=60)
@given(st.binary(max_size=4032))
def test_garbage_never_raises_and_every_byte_is_accounted_for(data: bytes) -> None:
    found = walk(data)
    assert found.frames == []
    assert found.unread == ([(64, 64 + len(data))] if data else [])


@settings(max_examples=60)
@given(st.data())
def test_one_changed_byte_costs_one_frame(data: st.DataObject) -> None:
    said = [b"a" * n for n in (3, 20, 7, 100, 1, 50)]
    sealed = bytearray(frames(*said))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    found = plaintexts(walk(bytes(sealed)))
    assert len(found) == len(said) - 1
    assert all(plaintext in said for plaintext in found)


def test_headers() -> None:
    head = sector.Header(GENERATION, SEQUENCE, b"\0" * 8, PUBLICS[0])
    packed = head.pack()
    assert sector.parse_header(packed) == head
    assert sector.parse_header(packed[:56] + b"\0" + packed[57:]).released
    assert not sector.parse_header(packed[:56] + b"\x01" + packed[57:]).released
    assert sector.parse_header(b"\xff" * 64) is None
    assert sector.parse_header(packed[:63]) is None
    for bit in range(8 * 56):
        broken = bytearray(packed)
        broken[bit // 8] ^= 1 << bit % 8
        assert sector.parse_header(bytes(broken)) is None
        assert sector.repair_header(bytes(broken)) == head
    zero = sector.Header(GENERATION, 0, b"\0" * 8, PUBLICS[0]).pack()
    assert zlib.crc32(zero[:52]).to_bytes(4, "little") == zero[52:56]
    assert sector.parse_header(zero) is None


def test_a_partition_reads_in_order_with_what_does_not_open_beside() -> None:
    def whole(sequence: int, *said: bytes, epoch: int = 0, released: bool = False) -> bytes:
        data = b""
        for plaintext in said:
            data += sector.seal(RING(PUBLICS[epoch])[0], GENERATION, sequence, 64 + len(data), plaintext)
        head = sector.Header(GENERATION, sequence, b"\0" * 8, PUBLICS[epoch], released).pack()
        return (head + data).ljust(4096, b"\xff")

    lost = bytearray(whole(7, b"lost"))
    lost[:40] = bytes(40)
    torn = bytearray(whole(5, b"old", released=True))
    torn[64 + 14] = 0x03
    partition = whole(6, b"new", epoch=1) + bytes(lost) + b"\xff" * 4096 + bytes(torn)
    journal = sector.read_journal(partition, DEVICE_KEY, [bytes(32)[:31] + b"\1", COLLECTOR])
    assert [(row.lsn, row.plaintext, row.released) for row in journal] == [
        (5 * 4096 + 64, b"old", True),
        (6 * 4096 + 64, b"new", False),
    ]
    assert [(entry.address, entry.lsn) for entry in journal.unread] == [(4096, None), (3 * 4096 + 78, 5 * 4096 + 78)]
    assert len(journal.headers) == 2
    with pytest.raises(ValueError, match="whole sectors"):
        sector.read_journal(b"\xff" * 100, DEVICE_KEY, COLLECTOR)
