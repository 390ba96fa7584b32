"""The host side reproduces every byte of the shared vectors that it has to do with, and a changed byte is noticed."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from host_tools.formats import keys, records, sector, wire
from tests import worked_examples

VECTORS = worked_examples.path()
SHA256 = "27bc407587307727c83e501f4042b031e21d6569162e91356d0fbfa42d5100b6"
unhex = bytes.fromhex


def load() -> dict[str, Any]:
    if not VECTORS.is_file():
        pytest.fail(f"the vectors are not at {VECTORS}; say where with CHOT_VECTORS=FILE")
    return json.loads(VECTORS.read_text("utf-8"))


def test_the_file_is_the_one_of_version_1() -> None:
    """Where a change would leave a promise true (another plaintext that is kept raw), only this notices it."""
    load()
    assert hashlib.sha256(VECTORS.read_bytes()).hexdigest() == SHA256


def test_the_copy_kept_here_is_the_same_file() -> None:
    """A checkout without the shared folder beside it must test the same bytes."""
    assert hashlib.sha256(worked_examples.COPY.read_bytes()).hexdigest() == SHA256


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    return load()


class Side:
    """The host's formats, asked about one set of vectors."""

    def __init__(self, vectors: dict[str, Any]) -> None:
        self.v = vectors
        self.device_key = unhex(vectors["device_key"])
        self.private = unhex(vectors["collector_private"])
        self.device_id = unhex(vectors["device_id"])
        self.place = {"generation": vectors["generation"], "sequence": vectors["sector_sequence"]}
        self.publics = [unhex(epoch["public"]) for epoch in vectors["epochs"]]
        self.ring = keys.KeyRing(self.device_key, [self.private])

    def keys(self) -> None:
        assert keys.collector_public(self.private).hex() == self.v["collector_public"]
        assert keys.request_key(self.device_key).hex() == self.v["request_key"]
        for epoch in self.v["epochs"]:
            public = unhex(epoch["public"])
            assert keys.collector_public(unhex(epoch["private"])) == public
            assert keys.shared_secret(self.private, public).hex() == epoch["shared"]
            boards_side = keys.shared_secret(unhex(epoch["private"]), unhex(self.v["collector_public"]))
            assert boards_side.hex() == epoch["shared"]
            made = keys.epoch_keys(self.device_key, self.private, public)
            for name in ("enc_key", "mac_key", "reply_key"):
                assert getattr(made, name).hex() == epoch[name]

    def header(self) -> None:
        made = sector.Header(self.v["generation"], self.v["sector_sequence"], self.device_id, self.publics[0])
        assert made.pack().hex() == self.v["header"]
        assert sector.parse_header(unhex(self.v["header"])) == made

    def frames(self) -> None:
        current, offset = self.publics[0], sector.HEADER_BYTES
        for frame in self.v["frames"]:
            assert frame["offset"] == offset
            offset += len(frame["frame"]) // 2
            if "epoch_public" in frame:
                current = unhex(frame["epoch_public"])
                assert current in self.publics
                assert sector.epoch_frame(current).hex() == frame["frame"]
                continue
            epoch = keys.epoch_keys(self.device_key, self.private, current)
            plaintext = unhex(frame["plaintext"])
            made = sector.seal(epoch, *self.place.values(), frame["offset"], plaintext)
            assert made.hex() == frame["frame"]
            walk = sector.walk_frames(
                unhex(frame["frame"]), **self.place, offset=frame["offset"], epoch_public=current, keys_for=self.ring
            )
            assert [found.plaintext for found in walk.frames] == [plaintext]

    def decoded(self) -> None:
        for frame in self.v["frames"]:
            if "plaintext" in frame:
                plaintext = unhex(frame["plaintext"])
                assert records.decode(plaintext) == frame["decoded"]
                is_digest = frame["decoded"].get("scheme") == 4
                assert records.encode(frame["decoded"], digest=is_digest) == plaintext

    def sector(self) -> None:
        whole = self.v["header"] + "".join(frame["frame"] for frame in self.v["frames"])
        assert unhex(whole).ljust(sector.SECTOR_BYTES, b"\xff").hex() == self.v["sector"]
        assert sector.programmed_end(unhex(self.v["sector"])) == self.v["used"]
        journal = sector.read_journal(unhex(self.v["sector"]), self.device_key, self.private)
        base = self.v["sector_sequence"] * sector.SECTOR_BYTES
        expected = [(base + f["offset"], f["plaintext"]) for f in self.v["frames"] if "plaintext" in f]
        assert [(row.lsn, row.plaintext.hex()) for row in journal] == expected
        assert journal.unread == []

    def damaged(self) -> None:
        damaged = self.v["damaged"]
        raw = unhex(damaged["sector"])
        assert len(raw) == sector.SECTOR_BYTES
        # One bit of one frame is all that differs from the sound sector.
        at = [i for i, (a, b) in enumerate(zip(raw, unhex(self.v["sector"]), strict=True)) if a != b]
        first, length = damaged["unreadable_offset"], damaged["unreadable_length"]
        assert len(at) == 1 and first <= at[0] < first + length
        assert (raw[at[0]] ^ unhex(self.v["sector"])[at[0]]).bit_count() == 1
        walk = sector.walk_frames(
            raw[64 : sector.programmed_end(raw)],
            **self.place,
            offset=64,
            epoch_public=self.publics[0],
            keys_for=self.ring,
        )
        assert [frame.offset for frame in walk.frames] == damaged["readable_offsets"]
        assert walk.unread == [(first, first + length)]

    def messages(self) -> None:
        request = wire.parse_request(unhex(self.v["request"]), keys.request_key(self.device_key))
        assert request.fault is None
        assert [piece.pack().hex() for piece in request.pieces] == self.v["pieces"]
        assert request.nonce.hex() == self.v["nonce"]
        made = wire.build_request(
            self.device_id,
            keys.collector_key_id(unhex(self.v["collector_public"])),
            self.publics[1],
            unhex(self.v["nonce"]),
            request.pieces,
            keys.request_key(self.device_key),
        )
        assert made.hex() == self.v["request"]
        for piece in request.pieces:
            whole = unhex(self.v["sector"])
            assert piece.data == whole[piece.offset : piece.offset + len(piece.data)]
        reply_key = keys.epoch_keys(self.device_key, self.private, request.epoch_public).reply_key
        body = json.loads(self.v["reply_body"])
        assert json.dumps(body, separators=(",", ":")) == self.v["reply_body"]
        assert body == {"stored": len(self.v["pieces"]), "now": body["now"]}
        assert wire.build_reply(request.nonce, body, reply_key).hex() == self.v["reply"]
        assert wire.parse_reply(unhex(self.v["reply"]), request.nonce, reply_key) == body

    def ids(self) -> None:
        for entry in self.v["ids"]:
            assert records.pack_id(entry["text"]).hex() == entry["packed"]
            assert records.unpack_id(unhex(entry["packed"])) == entry["text"]

    def kept_raw(self) -> None:
        for plaintext in self.v["kept_raw"]:
            assert records.decode(unhex(plaintext)) is None, plaintext

    def refused(self) -> None:
        for public in self.v["refused_epoch_publics"]:
            with pytest.raises(keys.RefusedKey):
                keys.epoch_keys(self.device_key, self.private, unhex(public))


PARTS = ["keys", "header", "frames", "decoded", "sector", "damaged", "messages", "ids", "kept_raw", "refused"]


@pytest.mark.parametrize("part", PARTS)
def test_vectors(vectors: dict[str, Any], part: str) -> None:
    getattr(Side(vectors), part)()


def conforms(vectors: dict[str, Any]) -> bool:
    """True if every part holds; whatever a part raises on changed vectors counts as noticed."""
    try:
        for part in PARTS:
            getattr(Side(vectors), part)()
    except (AssertionError, ValueError, pytest.fail.Exception):
        return False
    return True


def strings(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all strings in the vectors."""
    if isinstance(node, dict):
        return [found for name, value in node.items() for found in strings(value, (*path, name))]
    if isinstance(node, list):
        return [found for at, value in enumerate(node) for found in strings(value, (*path, at))]
    return [path] if isinstance(node, str) and node else []


def numbers(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all numbers in the vectors."""
    if isinstance(node, dict):
        return [found for name, value in node.items() for found in numbers(value, (*path, name))]
    if isinstance(node, list):
        return [found for at, value in enumerate(node) for found in numbers(value, (*path, at))]
    return [path] if isinstance(node, int) else []


def changed(vectors: dict[str, Any], path: tuple[Any, ...], at: int = 0) -> dict[str, Any]:
    """A copy of the vectors with one character of one string, or one number, changed."""
    vectors = copy.deepcopy(vectors)
    node = vectors
    for step in path[:-1]:
        node = node[step]
    value = node[path[-1]]
    if isinstance(value, int):
        node[path[-1]] = value + 1
    else:
        other = "1" if value[at] != "1" else "2"
        node[path[-1]] = value[:at] + other + value[at + 1 :]
    return vectors


# Each of these stays what its list promises when some of its bytes change: still raw, still refused.
STILL_TRUE = ("kept_raw", "refused_epoch_publics")


def test_a_changed_byte_turns_the_conformance_red(vectors: dict[str, Any]) -> None:
    assert conforms(vectors)
    paths = [path for path in strings(vectors) if path[0] not in STILL_TRUE]
    assert len(paths) > 70
    for path in paths:
        value: Any = vectors
        for step in path:
            value = value[step]
        for at in {0, len(value) // 2, len(value) - 1}:
            assert not conforms(changed(vectors, path, at)), (path, at)
    for path in numbers(vectors):
        assert not conforms(changed(vectors, path)), path


def test_a_raw_plaintext_that_parses_and_a_key_that_is_sound_turn_it_red(vectors: dict[str, Any]) -> None:
    parses = dict(vectors, kept_raw=[*vectors["kept_raw"], vectors["frames"][0]["plaintext"]])
    assert not conforms(parses)
    sound = dict(vectors, refused_epoch_publics=[vectors["epochs"][0]["public"]])
    assert not conforms(sound)


def test_missing_vectors_fail_and_do_not_skip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(globals(), "VECTORS", tmp_path / "none.json")
    with pytest.raises(pytest.fail.Exception, match="CHOT_VECTORS"):
        load()
