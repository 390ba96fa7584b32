"""List files: the golden one, what is denied and allowed in it, the filter's error rate, and files of every kind of wrong."""

from __future__ import annotations

import datetime
import hashlib
import json
import random
import struct
from zlib import crc32

import pytest

from host_tools.build.partitions import MIB, PARTITION_MAPS, find
from host_tools.formats import fuse, lists
from host_tools.formats.lists import ListFormatError
from tests.formats.golden import make_lists

SHA256 = "bf516ba4f4c5bd6691a9414a00681a1b93074671e1432e671ea5a9f01d1833a7"
KEY = make_lists.KEY
DATE = make_lists.DATE


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")


def fingerprints(count: int, seed: int = 1) -> list[bytes]:
    """Fingerprints as HMAC-SHA256 would spread them."""
    draw = random.Random(seed)
    return [draw.randbytes(8) for _ in range(count)]


def test_the_golden_files_are_those_of_version_1() -> None:
    """They change only together with the version of the format."""
    digest = hashlib.sha256(make_lists.FILE.read_bytes() + make_lists.EXPECTED.read_bytes())
    assert digest.hexdigest() == SHA256


def test_the_script_makes_the_golden_files_today() -> None:
    assert make_lists.made() == (make_lists.FILE.read_text("utf-8"), make_lists.EXPECTED.read_text("utf-8"))


def test_what_the_golden_file_says_of_each_card() -> None:
    expected = json.loads(make_lists.EXPECTED.read_text("utf-8"))
    file = lists.decode(make_lists.file_bytes())
    assert (file.version, file.date.isoformat()) == (expected["version"], expected["date"])
    assert file.key_name == lists.key_name(bytes.fromhex(expected["list_key"]))
    assert file.sections[lists.DENY].count == len(make_lists.DENIED)
    assert file.sections[lists.ALLOW].count == len(make_lists.ALLOWED)
    for card in expected["cards"]:
        value = lists.fingerprint(KEY, card["scheme"], bytes.fromhex(card["id"]))
        assert value.hex() == card["fingerprint"]
        assert file.deny_holds(value) is card["denied"]
        assert file.allow_holds(value) is card["allowed"]
    denied = [card for card in expected["cards"] if card["denied"]]
    assert {card["scheme"] for card in denied} == set(range(9)) and len(denied) == len(make_lists.DENIED)
    allowed = {(card["scheme"], bytes.fromhex(card["id"])) for card in expected["cards"] if card["allowed"]}
    assert set(make_lists.ALLOWED) <= allowed and 0 < len(allowed - set(make_lists.ALLOWED)) < 10, "some false positives"


@pytest.mark.parametrize("count", [0, 1, 2, 100, 1025, 15_000])
def test_deny_holds_exactly_these(count: int) -> None:
    inside, outside = fingerprints(count), fingerprints(1000, seed=2)
    file = lists.decode(lists.encode(KEY, 1, DATE, deny=inside + inside[:5]))
    assert file.sections[lists.DENY].count == count
    assert all(map(file.deny_holds, inside)) and not any(map(file.deny_holds, outside))
    assert not any(map(file.allow_holds, inside)), "there is no allow list"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 40, 900, 5000, 60_000])
def test_allow_holds_all_of_these_and_one_in_256_of_others(count: int) -> None:
    inside, outside = fingerprints(count), fingerprints(20_000, seed=2)
    file = lists.decode(lists.encode(KEY, 1, DATE, allow=inside))
    assert all(map(file.allow_holds, inside)) and not any(map(file.deny_holds, inside))
    # 20,000 draws at 1/256: 78 expected, and six standard deviations above it 131.
    assert sum(map(file.allow_holds, outside)) <= 131
    if count >= 60_000:
        assert file.sections[lists.ALLOW].size < 1.25 * count


def test_two_cards_that_share_all_three_places_get_another_seed() -> None:
    values = [0x1234_0FF0_0AA0_0550, 0x1235_0FF0_0AA0_0550]
    assert fuse.places(values[0], 8, 3, 0) == fuse.places(values[1], 8, 3, 0)
    assert fuse.check_byte(values[0]) == fuse.check_byte(values[1])
    made = fuse.build(values)
    assert made.seed > 0 and all(map(made.holds, values))


def test_two_that_differ_only_in_a_bit_that_is_not_used() -> None:
    values = [0x1234_0FF0_0AA0_0550, 0x1234_0FF0_0AA0_2550]
    made = fuse.build(values)
    assert all(map(made.holds, values))


def test_order_and_repetition_change_nothing() -> None:
    inside = fingerprints(500)
    first = lists.encode(KEY, 1, DATE, deny=inside, allow=inside)
    assert lists.encode(KEY, 1, DATE, deny=iter(inside[::-1]), allow=inside[::-1] + inside) == first


def test_what_bucket_a_deny_list_may_not_have() -> None:
    crowd = [b"\x77\x77" + value[:6] for value in fingerprints(lists.MAX_BUCKET + 1)]
    lists.encode(KEY, 1, DATE, deny=crowd[1:])
    with pytest.raises(ListFormatError, match="not evenly spread"):
        lists.encode(KEY, 1, DATE, deny=crowd)


@pytest.mark.parametrize(
    ("version", "kinds", "says"),
    [(0, {"deny": []}, "version 0"), (1 << 30, {"deny": []}, "out of range"), (1, {}, "neither")],
)
def test_what_cannot_be_written(version: int, kinds: dict[str, list[bytes]], says: str) -> None:
    with pytest.raises(ListFormatError, match=says):
        lists.encode(KEY, version, DATE, **kinds)


def remade(file: bytes, at: int, form: str, *values: int) -> bytes:
    """The file with other values in its header, and a CRC that holds."""
    head = bytearray(file[:60])
    struct.pack_into(form, head, at, *values)
    return bytes(head) + struct.pack("<I", crc32(head)) + file[64:]


def test_damaged_files_are_refused() -> None:
    file = lists.encode(KEY, 5, DATE, deny=fingerprints(20), allow=fingerprints(20))
    assert lists.decode(file + b"\xff" * 100).version == 5
    for bad, says in (
        (b"", "not a list file"),
        (b"\xff" * 4096, "not a list file"),
        (file[:63], "not a list file"),
        (file[:30] + b"\xff" + file[31:], "its header is damaged"),
        (file[:-1], "cut short"),
        (file[:-1] + bytes((file[-1] ^ 1,)), "its content is damaged"),
        (remade(file, 4, "<I", 0), "not one of this version"),
        (remade(file, 8, "<I", 20261301), "not one of this version"),
        (remade(file, 28, "<B", 3), "not one of this version"),
        (remade(file, 29, "<B", 5), "not one of this version"),
        (remade(file, 32, "<I", 1000), "not one of this version"),
        (remade(file, 36, "<I", 256), "not one of this version"),
        (remade(file, 44, "<B", 1), "not one of this version"),
        (remade(file, 45, "<B", 14), "not one of this version"),
        (remade(file, 28, "<16x"), "not one of this version"),
    ):
        with pytest.raises(ListFormatError, match=says) as raised:
            lists.decode(bad)
        assert "\n" not in str(raised.value)


def test_any_byte_of_garbage_raises_nothing_else() -> None:
    file = lists.encode(KEY, 5, DATE, deny=fingerprints(5), allow=fingerprints(5))
    draw = random.Random(3)
    whole = 0
    for _ in range(3000):
        bad = remade(file, draw.randrange(60), "<B", draw.randrange(256)) if draw.random() < 0.8 else draw.randbytes(200)
        try:
            lists.decode(bad)
            whole += 1
        except ListFormatError:
            pass
    assert whole < 1500


def test_room_in_both_maps() -> None:
    sizes = {size: find(PARTITION_MAPS[size], "lists").size for size in PARTITION_MAPS}
    assert lists.room_bytes(sizes[4 * MIB]) == 127_040 and lists.room_bytes(sizes[16 * MIB]) == 2_093_120
    file = lists.encode(KEY, 5, DATE, deny=fingerprints(15_000))
    partition = lists.encode_partition(file, sizes[4 * MIB])
    assert len(partition) == sizes[4 * MIB] and set(partition[len(partition) // 2 :]) == {0xFF}
    assert partition[:64] == file[:64] and partition[4096:].startswith(file[64:])
    with pytest.raises(ListFormatError, match="and room for 127040"):
        lists.encode_partition(lists.encode(KEY, 5, DATE, deny=fingerprints(16_000)), sizes[4 * MIB])


def test_the_date_is_a_day() -> None:
    day = datetime.date(2026, 2, 28)
    assert lists.decode(lists.encode(KEY, 1, day, deny=[])).date == day
