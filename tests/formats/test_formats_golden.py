"""The golden journal on the host: the reader and `chot rescue` find in it exactly what is written down beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from host_tools.build.identity import Identity, encode_partition
from host_tools.build.partitions import MIB, TABLE_OFFSET, encode_table, find, partition_map
from host_tools.cli.main import main
from host_tools.collector.store import Store
from host_tools.formats import sector
from host_tools.formats.keys import collector_public
from host_tools.formats.sector import SECTOR_BYTES, Journal, read_journal
from tests.formats.golden import make

SHA256 = "401301712eff90b751ae9ba5d3e5d939b214298d6788e7136bccc43d3e45c1df"
SECTORS = 8
RELEASED_SEQUENCES = {5, 9}


def image() -> bytes:
    """The partition from its text form; rows that are not there are blank."""
    cells = bytearray(b"\xff" * (SECTORS * SECTOR_BYTES))
    for line in make.IMAGE.read_text("utf-8").splitlines():
        address, row = line.split()
        data = bytes.fromhex(row)
        cells[int(address, 16) : int(address, 16) + len(data)] = data
    return bytes(cells)


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return json.loads(make.EXPECTED.read_text("utf-8"))


def flash_with(identity: Identity) -> bytes:
    """A flash with a partition table of its own, for no board has so small a journal."""
    small = {"identity": 0x10000, "journal": 0x20000}
    table = [replace(find(partition_map(4 * MIB), label), offset=at) for label, at in small.items()]
    table[1] = replace(table[1], size=SECTORS * SECTOR_BYTES)
    flash = bytearray(b"\xff" * table[1].end)
    contents = {TABLE_OFFSET: encode_table(table), table[0].offset: encode_partition(identity), table[1].offset: image()}
    for at, data in contents.items():
        flash[at : at + len(data)] = data
    return bytes(flash)


def name_of(record: dict[str, Any]) -> tuple[str, str, int, str]:
    return record["generation"], record["epoch"], record["lsn"], record["plaintext"]


def read(partition: bytes, expected: dict[str, Any]) -> Journal:
    return read_journal(partition, *(bytes.fromhex(expected[name]) for name in ("device_key", "collector_private")))


def test_the_files_are_those_of_version_1() -> None:
    """They change only together with the version of the format."""
    digest = hashlib.sha256(make.IMAGE.read_bytes() + make.EXPECTED.read_bytes())
    assert digest.hexdigest() == SHA256


def test_the_script_makes_these_files_today() -> None:
    assert make.lived() == (make.IMAGE.read_text("utf-8"), make.EXPECTED.read_text("utf-8"))


def test_it_covers_what_a_journal_may_hold(expected: dict[str, Any]) -> None:
    says = [record["says"] for record in expected["records"]]
    assert {said["kind"] for said in says if said} == set(range(1, 9)) and None in says
    assert {said["cause"] for said in says if said and said["kind"] == 1} == {1, 2, 3, 8}
    assert len({record["generation"] for record in expected["records"]}) == 2
    assert max(len(record["plaintext"]) for record in expected["records"]) == 2 * sector.MAX_CIPHERTEXT_BYTES
    assert expected["recovered"]["states"] == [2, 1, 3, 1, 2, 1, 1, 1], "released, unreleased, damaged"
    marks = {image()[at + 56] for at in range(0, SECTORS * SECTOR_BYTES, SECTOR_BYTES)}
    assert marks == {0x00, 0x1F, 0xFF}, "a torn mark is no mark"


def test_the_reader_finds_exactly_these_records(expected: dict[str, Any]) -> None:
    journal = read(image(), expected)
    rows = [(f"{row.generation:08x}", row.epoch_public.hex(), row.lsn, row.plaintext.hex()) for row in journal]
    assert rows == [name_of(record) for record in expected["records"]]
    assert [row.decoded for row in journal] == [record["says"] for record in expected["records"]]
    assert {row.lsn // SECTOR_BYTES for row in journal if row.released} == RELEASED_SEQUENCES
    unread = [{"address": one.address, "lsn": one.lsn, "length": len(one.data)} for one in journal.unread]
    assert sorted(unread, key=lambda one: one["address"]) == expected["broken"]
    assert {header.device_id.hex() for header in journal.headers.values()} == {expected["device_id"]}


def test_one_flipped_bit_costs_its_frame_and_no_more(expected: dict[str, Any]) -> None:
    wanted = [name_of(record) for record in expected["records"]]
    for lost in wanted[5:20]:
        flipped = bytearray(image())
        flipped[(lost[2] // SECTOR_BYTES - 1) % SECTORS * SECTOR_BYTES + lost[2] % SECTOR_BYTES + 3] ^= 0x20
        rows = [row.lsn for row in read(bytes(flipped), expected)]
        assert rows == [name[2] for name in wanted if name != lost]


def test_rescue_imports_exactly_these_records(
    expected: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    device_id, device_key, private = (
        bytes.fromhex(expected[name]) for name in ("device_id", "device_key", "collector_private")
    )
    (tmp_path / "collector.key").write_text(private.hex() + "\n")
    identity = Identity(device_id, device_key, collector_public(private), "http://127.0.0.1:8080", b"\x5a" * 32)
    (tmp_path / "flash.bin").write_bytes(flash_with(identity))
    database, report = tmp_path / "collector.db", tmp_path / "report.json"
    with Store(database) as store:
        store.register_device(device_id, device_key, "gate", 1_772_409_600_000)
    words = [tmp_path / "flash.bin", "--db", database, "--json", report]
    assert main(["rescue", *map(str, words)]) == 0, capsys.readouterr()
    found = json.loads(report.read_text("utf-8"))
    assert found["sectors"] == {"released": 2, "unreleased": 5, "damaged": 1}
    assert found["imported"] == {"records": len(expected["records"]), "beside": 0, "quarantined": 5, "clones": []}
    with Store(database) as store:
        rows = store.rows(device_id)
    names = [(f"{row.generation:08x}", row.epoch_public.hex(), row.lsn, row.plaintext.hex()) for row in rows]
    assert names == [name_of(record) for record in expected["records"]]
