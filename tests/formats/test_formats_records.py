"""Records decode exactly or are kept raw, whatever the bytes; ids pack both ways."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from host_tools.formats import records

uptimes = st.integers(0, 2**63 - 1)
texts = st.text(max_size=20)
u8 = st.integers(0, 255)
decoded_records = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just(1), "uptime_ms": uptimes, "cause": u8, "version": texts, "config": uptimes}
    ),
    st.fixed_dictionaries(
        {"kind": st.just(2), "uptime_ms": uptimes, "unix_ms": uptimes, "error_ms": uptimes, "source": u8}
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just(3),
            "uptime_ms": uptimes,
            "reader": st.integers(0, 15),
            "verdict": st.integers(0, 15),
            "scheme": u8,
            "id": st.one_of(st.from_regex(r"[0-9]{1,38}", fullmatch=True), st.text(max_size=16)),
        }
    ),
    st.fixed_dictionaries({"kind": st.sampled_from([4, 5]), "uptime_ms": uptimes, "code": u8}),
    st.fixed_dictionaries(
        {
            "kind": st.just(6),
            "uptime_ms": uptimes,
            "health": st.lists(st.tuples(u8, st.integers(-(2**62), 2**62 - 1)).map(list), max_size=5),
        }
    ),
    st.fixed_dictionaries({"kind": st.just(7), "uptime_ms": uptimes, "level": u8, "text": texts}),
    st.fixed_dictionaries(
        {"kind": st.just(8), "uptime_ms": uptimes, "what": u8, "version": uptimes, "outcome": u8, "reason": texts}
    ),
)


@given(decoded_records)
def test_what_is_encoded_decodes_to_itself(decoded: dict) -> None:
    assert records.decode(records.encode(decoded)) == decoded


@given(st.binary(max_size=239))
def test_garbage_never_raises(plaintext: bytes) -> None:
    decoded = records.decode(plaintext)
    assert decoded is None or decoded["kind"] == plaintext[0]


@given(decoded_records, st.data())
def test_mutations_never_raise(decoded: dict, data: st.DataObject) -> None:
    plaintext = bytearray(records.encode(decoded))
    at = data.draw(st.integers(0, len(plaintext) - 1))
    plaintext[at] ^= data.draw(st.integers(1, 255))
    found = records.decode(bytes(plaintext))
    if found is not None and found["kind"] == records.SCAN:
        packed = records.packed_card(bytes(plaintext))
        assert records.unpack_id(packed) == found["id"]


@given(decoded_records)
def test_cut_short_it_is_raw_or_shorter_text(decoded: dict) -> None:
    plaintext = records.encode(decoded)
    for length in range(len(plaintext)):
        found = records.decode(plaintext[:length])
        assert found is None or found != decoded


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": 1, "cause": 1, "version": "1", "config": 1},
        {"kind": 2, "unix_ms": 1, "error_ms": 1, "source": 3},
        {"kind": 4, "code": 1},
        {"kind": 5, "code": 1},
        {"kind": 3, "reader": 0, "verdict": 1, "scheme": 1, "id": "12345"},
    ],
)
def test_a_trailing_byte_makes_it_raw(fields: dict) -> None:
    plaintext = records.encode({"uptime_ms": 7, **fields})
    assert records.decode(plaintext) is not None
    assert records.decode(plaintext + b"\x01") is None


@given(st.one_of(st.text(max_size=80), st.from_regex(r"[0-9]{1,40}", fullmatch=True)))
@example("9" * 38)
@example("9" * 39)
@example("٣")
@example("²")
def test_ids_pack_both_ways(text: str) -> None:
    packed = records.pack_id(text)
    assert packed in records.packed_forms(text)
    if packed[0] == records.DIGEST:
        assert len(text.encode()) > records.MAX_TEXT_BYTES
    else:
        assert records.unpack_id(packed) == text


@given(st.binary(max_size=70))
def test_packed_garbage_is_an_id_or_a_value_error(packed: bytes) -> None:
    try:
        text = records.unpack_id(packed)
    except ValueError:
        return
    assert packed in records.packed_forms(text)


def test_varint_limits() -> None:
    assert len(records.pack_varint(2**63 - 1)) == 9
    for wrong in (-1, 2**63):
        with pytest.raises(ValueError, match="varint"):
            records.pack_varint(wrong)
    tenth = b"\x04" + b"\x80" * 9 + b"\x00\x01"
    assert records.decode(tenth) is None
