"""`chot rescue`: everything in a dump reaches the database once, and what a dump may suffer ends in a line, not a traceback."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from running_centre import START_MS, Centre
from sealing_board import COLLECTOR, Board

from host_tools.build.identity import Identity, encode_partition, to_json
from host_tools.build.partitions import MIB, PARTITION_MAPS, TABLE_OFFSET, encode_table, find
from host_tools.cli.main import main
from host_tools.collector import vault
from host_tools.collector.store import Store
from host_tools.formats import records
from host_tools.formats.keys import collector_public
from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES, Header, parse_header, programmed_end
from host_tools.formats.wire import Piece
from host_tools.simulator import scenario
from host_tools.simulator.judge import card_of
from host_tools.simulator.run import Run

PASSPHRASE = "mười hai con giáp"
FLASH_BYTES = 4 * MIB
JOURNAL = find(PARTITION_MAPS[FLASH_BYTES], "journal")
SECTORS = JOURNAL.size // SECTOR_BYTES
CARDS = [f"07909900{number:04d}" for number in range(400)]


def lived_board(number: int = 1) -> Board:
    """A board after three boots, five sectors and a bit: 804 scans, times known in the first two boots."""
    board = Board(number)
    for boot in range(3):
        if boot:
            board.new_epoch(cause=records.CAUSE_NEW_KEY if boot == 1 else 1)
        else:
            board.append(kind=records.BOOT, cause=1, version="1.0.0", config=3)
        if boot < 2:
            board.clock(START_MS + boot * 3_600_000)
        for card in 2 * CARDS[boot * 133 : boot * 133 + 134]:
            board.scan(card)
    return board


def identity_of(board: Board) -> Identity:
    public = collector_public(COLLECTOR)
    return Identity(board.device_id, board.device_key, public, "http://127.0.0.1:8080", b"\x5a" * 32)


def partition(board: Board, released: int = 0) -> bytearray:
    """The journal partition of a board; its first `released` sectors carry the mark."""
    flash = bytearray(b"\xff" * JOURNAL.size)
    for number, piece in enumerate(board.pieces()):
        header = Header(piece.generation, piece.sequence, board.device_id, piece.epoch_public, number < released)
        at = (piece.sequence - 1) % SECTORS * SECTOR_BYTES
        flash[at : at + HEADER_BYTES + len(piece.data)] = header.pack() + piece.data
    return flash


def whole(board: Board, journal: bytes | None = None) -> bytearray:
    """The flash of a board: partition table, identity, journal."""
    flash = bytearray(b"\xff" * FLASH_BYTES)
    parts = {
        TABLE_OFFSET: encode_table(PARTITION_MAPS[FLASH_BYTES]),
        find(PARTITION_MAPS[FLASH_BYTES], "identity").offset: encode_partition(identity_of(board)),
        JOURNAL.offset: partition(board) if journal is None else journal,
    }
    for at, data in parts.items():
        flash[at : at + len(data)] = data
    return flash


@dataclass
class Desk:
    """A technician's desk: a centre's directory, a dump, and the command."""

    directory: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def db(self) -> Path:
        return self.directory / "collector.db"

    def add(self, board: Board) -> Board:
        with Store(self.db) as store:
            store.register_device(board.device_id, board.device_key, "gate", START_MS)
        return board

    def file(self, data: bytes) -> Path:
        path = self.directory / "dump.bin"
        path.write_bytes(data)
        return path

    def identity(self, board: Board) -> Path:
        path = self.directory / "identity.json"
        path.write_text(json.dumps(to_json(identity_of(board))))
        path.chmod(0o600)
        return path

    def run(self, dump: bytes, *words: object, status: int = 0) -> str:
        """What the command says (both streams), which never is a card's id."""
        done = main(["rescue", str(self.file(dump)), *map(str, words)])
        said = self.capsys.readouterr()
        assert done == status, said
        assert not any(card in said.out + said.err for card in CARDS)
        return said.out + said.err

    def rescue(self, dump: bytes, *words: object) -> dict[str, object]:
        """The report of an import, after a second one has changed nothing and said so."""
        report = self.directory / "report.json"
        self.run(dump, "--db", self.db, "--json", report, *words)
        text = report.read_text()
        assert not any(card in text for card in CARDS)
        assert report.stat().st_mode & 0o777 == 0o600
        before = self.everything()
        assert "nothing was imported" in self.run(dump, "--db", self.db, *words)
        assert self.everything() == before
        return dict(json.loads(text))

    def everything(self) -> list[str]:
        with closing(sqlite3.connect(self.db)) as db:
            return list(db.iterdump())

    def lsns(self, board: Board) -> list[int]:
        with Store(self.db) as store:
            return [row.lsn for row in store.rows(board.device_id)]

    def quarantine(self, board: Board) -> list[tuple[object, ...]]:
        with Store(self.db) as store:
            return store.db.execute(
                "SELECT generation, sequence, offset, data, reason FROM quarantine WHERE device_id = ?"
                " ORDER BY sequence, offset, data",
                (board.device_id,),
            ).fetchall()

    def kinds_reported(self) -> set[str]:
        with Store(self.db) as store:
            return {report[1] for report in store.reports()}


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    directory = tmp_path / "centre"
    directory.mkdir()
    (directory / "collector.key").write_text(COLLECTOR.hex() + "\n")
    Store(directory / "collector.db").close()
    return Desk(directory, capsys)


def unread(report: dict[str, object]) -> dict[str, int]:
    """Bytes that did not open, by what they are."""
    found: dict[str, int] = {}
    for stretch in report["unread"]:  # type: ignore[attr-defined]
        found[stretch["what"]] = found.get(stretch["what"], 0) + stretch["bytes"]
    return found


def test_a_dump_is_listed_by_epoch_and_imported_once(desk: Desk) -> None:
    board = desk.add(lived_board())
    report = desk.rescue(whole(board, partition(board, released=2)))
    assert desk.lsns(board) == board.lsns
    assert report["imported"] == {"records": len(board.lsns), "beside": 0, "quarantined": 0, "clones": []}
    epochs = report["epochs"]
    assert isinstance(epochs, list)
    assert [epoch["boot_cause"] for epoch in epochs] == [1, records.CAUSE_NEW_KEY, 1]
    assert [epoch["records"] for epoch in epochs] == [
        {"BOOT": 1, "CLOCK": 1, "SCAN": 268},
        {"BOOT": 1, "CLOCK": 1, "SCAN": 268},
        {"BOOT": 1, "SCAN": 268},
    ]
    assert epochs[0]["first_lsn"] == board.lsns[0] and epochs[0]["firmware"] == "1.0.0"
    assert epochs[0]["earliest_ms"] <= START_MS <= epochs[0]["latest_ms"]
    assert epochs[2]["earliest_ms"] is None, "a boot that never learned the time gets none"
    sizes = [epoch["released_bytes"] + epoch["unreleased_bytes"] for epoch in epochs]
    assert sum(sizes) == sum(len(piece.data) for piece in board.pieces()) - 2 * 35
    assert epochs[0]["released_bytes"] > 0 and epochs[2]["released_bytes"] == 0
    assert report["sectors"] == {"released": 2, "unreleased": len(board.pieces()) - 2, "blank": SECTORS - len(board.pieces())}
    assert unread(report) == {}
    assert desk.kinds_reported() == set()


def test_a_dump_says_nothing_of_when_the_board_was_heard(desk: Desk) -> None:
    board = desk.add(lived_board())
    desk.rescue(whole(board))
    with Store(desk.db) as store:
        assert store.db.execute("SELECT last_seen_ms FROM devices").fetchone() == (None,)


def test_without_a_database_it_only_lists(desk: Desk) -> None:
    board = lived_board()
    said = desk.run(whole(board), "--keys", desk.directory)
    assert board.device_id.hex() in said and "SCAN 268" in said and "imported" not in said
    assert len(desk.everything()) and desk.lsns(board) == []


def test_it_speaks_vietnamese(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    board = desk.add(lived_board())
    assert "đã nhập" in desk.run(whole(board), "--db", desk.db)
    assert "không nhập gì thêm" in desk.run(whole(board), "--db", desk.db)


@pytest.fixture
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "SCRYPT_N", 1 << 10)


def test_the_recovery_copy_opens_a_dump(desk: Desk, quick_scrypt: None) -> None:
    copy, passphrase = desk.directory / "recovery.json", desk.directory / "passphrase"
    copy.write_bytes(vault.seal_recovery(vault.Secrets((COLLECTOR,), bytes(32)), PASSPHRASE))
    passphrase.write_text(PASSPHRASE + "\n")
    words = ["--keys", copy, "--passphrase-file", passphrase]
    assert "SCAN 268" in desk.run(whole(lived_board()), *words)
    assert "SCAN 268" in desk.run(whole(lived_board()), "--keys", desk.directory / "collector.key")
    passphrase.write_text("mười hai con mèo\n")
    assert "passphrase is wrong" in desk.run(whole(lived_board()), *words, status=3)


def test_an_old_private_key_still_opens(desk: Desk) -> None:
    (desk.directory / "collector.key").write_text(bytes(range(64, 96)).hex() + "\n" + COLLECTOR.hex() + "\n")
    board = desk.add(lived_board())
    desk.rescue(whole(board))
    assert desk.lsns(board) == board.lsns


def test_another_private_key_opens_nothing_and_says_so(desk: Desk) -> None:
    (desk.directory / "collector.key").write_text(bytes(range(64, 96)).hex() + "\n")
    said = desk.run(whole(lived_board()), "--keys", desk.directory)
    assert "no record opens" in said and "another collector" in said


def test_only_what_did_not_arrive_is_imported(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    board = centre.add(lived_board())
    (centre.db.parent / "collector.key").write_text(COLLECTOR.hex() + "\n")
    desk = Desk(centre.db.parent, capsys)
    arrived = board.pieces()[1:3]
    centre.send(board, arrived)
    there = len(desk.lsns(board))
    assert 0 < there < len(board.lsns)
    report = desk.rescue(whole(board))
    assert report["imported"]["records"] == len(board.lsns) - there  # type: ignore[index]
    assert desk.lsns(board) == board.lsns
    centre.send(board)
    assert desk.lsns(board) == board.lsns and desk.quarantine(board) == []


# What a flash may suffer. Each returns how many records may be missing afterwards.


def flip(journal: bytearray, at: int, bits: int = 1) -> None:
    journal[at] ^= bits


def one_bit_of_a_header(board: Board, journal: bytearray) -> int:
    flip(journal, SECTOR_BYTES + 25)
    return 0


def a_header_beyond_mending(board: Board, journal: bytearray) -> int:
    for at in range(0, 56, 3):
        flip(journal, 2 * SECTOR_BYTES + at, 0x55)
    return 0


def two_headers_side_by_side(board: Board, journal: bytearray) -> int:
    for sector in (1, 2):
        for at in range(0, 56, 3):
            flip(journal, sector * SECTOR_BYTES + at, 0x55)
    return 0


def a_bit_of_a_frame(board: Board, journal: bytearray) -> int:
    flip(journal, SECTOR_BYTES + 1000, 4)
    return 1


def a_length(board: Board, journal: bytearray) -> int:
    flip(journal, board.lsns[40] - SECTOR_BYTES, 0x80)
    return 1


def a_mark(board: Board, journal: bytearray) -> int:
    journal[SECTOR_BYTES + 56] = 0x10
    return 0


def an_epoch_frame(board: Board, journal: bytearray) -> int:
    at = journal.index(b"\xfe" + board.epoch_public)
    flip(journal, at + 9, 2)
    return 0


def a_sector_half_erased(board: Board, journal: bytearray) -> int:
    chance = random.Random(7)
    for at in range(SECTOR_BYTES, 2 * SECTOR_BYTES):
        journal[at] |= chance.getrandbits(8)
    return 400


def a_torn_end(board: Board, journal: bytearray) -> int:
    end = programmed_end(bytes(journal))
    journal[end - 9 : end] = b"\xff" * 9
    return 1


DAMAGE = [
    one_bit_of_a_header,
    a_header_beyond_mending,
    two_headers_side_by_side,
    a_bit_of_a_frame,
    a_length,
    a_mark,
    an_epoch_frame,
    a_sector_half_erased,
    a_torn_end,
]


@pytest.mark.parametrize("hurt", DAMAGE)
def test_a_damaged_dump_gives_what_can_be_read(desk: Desk, hurt) -> None:  # type: ignore[no-untyped-def]
    board = desk.add(lived_board())
    journal = partition(board)
    may_miss = hurt(board, journal)
    report = desk.rescue(whole(board, journal))
    got = desk.lsns(board)
    assert set(got) <= set(board.lsns)
    if may_miss <= 1:
        assert len(board.lsns) - len(got) == may_miss
        assert (desk.quarantine(board) == []) == (hurt is a_mark)
    else:
        sector = {lsn for lsn in board.lsns if lsn // SECTOR_BYTES == 2}
        assert set(board.lsns) - set(got) <= sector
    wanted = {"torn"} if hurt is a_torn_end else set() if hurt is a_mark else {"damaged"}
    assert set(unread(report)) == wanted


@pytest.mark.parametrize("hurt", DAMAGE)
def test_quarantine_is_what_the_wire_would_have_left(
    desk: Desk, make_centre, tmp_path: Path, hurt  # type: ignore[no-untyped-def]
) -> None:
    board = lived_board()
    centre = make_centre()
    centre.add(board)
    desk.add(board)
    journal = partition(board)
    hurt(board, journal)
    pieces = []
    for piece in board.pieces():
        at = (piece.sequence - 1) * SECTOR_BYTES
        sector = bytes(journal[at : at + SECTOR_BYTES])
        if parse_header(sector) is None:
            pieces.append(Piece(piece.generation, 0, bytes(32), 0, sector))
        else:
            data = sector[HEADER_BYTES : programmed_end(sector)]
            pieces.append(Piece(piece.generation, piece.sequence, piece.epoch_public, HEADER_BYTES, data))
    centre.send(board, pieces)
    desk.rescue(whole(board, journal))
    over_the_wire = Desk(tmp_path, desk.capsys)
    assert over_the_wire.db == centre.db
    # Bytes and reasons are the same; of a sector that the collector could not place, the rescue tool may know its number.
    assert sorted(row[3:] for row in desk.quarantine(board)) == sorted(row[3:] for row in over_the_wire.quarantine(board))
    assert set(over_the_wire.lsns(board)) <= set(desk.lsns(board))
    report = over_the_wire.directory / "report.json"
    keys = ["--keys", desk.directory]
    over_the_wire.run(whole(board, journal), "--db", centre.db, "--json", report, *keys)
    assert json.loads(report.read_text())["imported"]["quarantined"] == 0
    assert over_the_wire.lsns(board) == desk.lsns(board)


def test_a_damaged_sector_that_came_alone_is_known_again(centre: Centre, capsys: pytest.CaptureFixture[str]) -> None:
    """Alone in a request the collector cannot place it; the dump shows its neighbours, so its records are found now."""
    board = centre.add(lived_board())
    (centre.db.parent / "collector.key").write_text(COLLECTOR.hex() + "\n")
    desk = Desk(centre.db.parent, capsys)
    journal = partition(board)
    a_header_beyond_mending(board, journal)
    sector = bytes(journal[2 * SECTOR_BYTES : 3 * SECTOR_BYTES])
    centre.send(board, [Piece(board.generation, 0, bytes(32), 0, sector)])
    assert desk.lsns(board) == [] and [row[1] for row in desk.quarantine(board)] == [0]
    report = desk.rescue(whole(board, journal))
    assert desk.lsns(board) == board.lsns
    assert report["imported"]["quarantined"] == 0  # type: ignore[index]
    assert len(desk.quarantine(board)) == 1


def test_a_torn_header_is_no_data(desk: Desk) -> None:
    board = desk.add(lived_board())
    journal = partition(board)
    at = len(board.pieces()) * SECTOR_BYTES
    journal[at : at + 20] = Header(board.generation, board.sequence + 1, board.device_id, board.epoch_public).pack()[:20]
    report = desk.rescue(whole(board, journal))
    assert desk.lsns(board) == board.lsns and desk.quarantine(board) == []
    assert unread(report) == {"torn": 20}


def test_a_sector_of_another_generation_is_opened_in_its_own(desk: Desk) -> None:
    board = desk.add(lived_board())
    journal = partition(board)
    older = Board(1, generation=0xABCD, sequence=200, epochs=50)
    older.append(kind=records.BOOT, cause=1, version="0.9.0", config=1)
    older.scan(CARDS[0])
    journal[199 * SECTOR_BYTES : 200 * SECTOR_BYTES] = older.raw()
    report = desk.rescue(whole(board, journal))
    assert {epoch["generation"] for epoch in report["epochs"]} == {board.generation, older.generation}  # type: ignore[attr-defined]
    assert sorted(desk.lsns(board)) == sorted(board.lsns + older.lsns)


def test_a_sector_at_a_wrong_place_is_damaged_but_opened(desk: Desk) -> None:
    """The board does not take such a header for its own and sends the sector raw, whole."""
    board = desk.add(lived_board())
    journal = partition(board)
    stray = Board(1, generation=board.generation, sequence=900, epochs=60)
    stray.scan(CARDS[1])
    journal[50 * SECTOR_BYTES : 51 * SECTOR_BYTES] = stray.raw()
    desk.rescue(whole(board, journal))
    assert sorted(desk.lsns(board)) == sorted(board.lsns + stray.lsns)
    assert [row[4] for row in desk.quarantine(board)] == ["damaged sector"]


@pytest.mark.parametrize("claims", ["this board", "another board"])
def test_a_journal_under_another_device_key_is_foreign(desk: Desk, claims: str) -> None:
    board = desk.add(Board(1))
    stranger = lived_board(2)
    if claims == "this board":
        stranger.device_id = board.device_id
    journal = partition(stranger)
    if claims == "another board":
        flip(journal, HEADER_BYTES + 5)  # the header says whose it is, whatever became of the first frame
    report = desk.rescue(whole(board, journal))
    assert desk.lsns(board) == []
    assert report["epochs"] == []
    assert unread(report) == {"foreign": sum(len(piece.data) for piece in stranger.pieces())}
    kept = {row[1]: row[3] for row in desk.quarantine(board)}
    assert kept == {
        piece.sequence: bytes(journal[at : at + len(piece.data)])
        for piece in stranger.pieces()
        if (at := (piece.sequence - 1) * SECTOR_BYTES + HEADER_BYTES)
    }


def test_an_identity_that_only_the_dump_vouches_for_proves_nothing(desk: Desk) -> None:
    """Whoever holds a dump could write an identity and records to match: the database's key decides."""
    board = lived_board(1)
    with Store(desk.db) as store:
        store.register_device(board.device_id, b"\x77" * 32, "gate", START_MS)
    report = desk.rescue(whole(board))
    assert desk.lsns(board) == []
    assert any("another device key" in note for note in report["notes"])  # type: ignore[attr-defined]
    assert set(unread(report)) == {"foreign"}


def test_random_bytes_in_the_whole_partition_are_kept(desk: Desk) -> None:
    board = desk.add(lived_board())
    noise = random.Random(1).randbytes(JOURNAL.size)
    report = desk.rescue(whole(board, noise))
    assert desk.lsns(board) == []
    kept = {row[3] for row in desk.quarantine(board)}
    sectors = [noise[at : at + SECTOR_BYTES] for at in range(0, len(noise), SECTOR_BYTES)]
    assert kept == set(sectors)
    assert unread(report) == {"damaged": sum(map(programmed_end, sectors))}
    # The same noise as a bare partition: the board is told by its identity file.
    assert "nothing was imported" in desk.run(noise, "--db", desk.db, "--identity", desk.identity(board))


def test_a_blank_journal_holds_nothing(desk: Desk) -> None:
    board = desk.add(lived_board())
    report = desk.rescue(whole(board, b"\xff" * JOURNAL.size))
    assert report["sectors"] == {"blank": SECTORS} and unread(report) == {}


def test_a_bare_partition_needs_an_identity_or_a_database(desk: Desk) -> None:
    board = lived_board()
    bare = bytes(partition(board))
    assert "--identity" in desk.run(bare, "--keys", desk.directory, status=3)
    assert "SCAN 268" in desk.run(bare, "--keys", desk.directory, "--identity", desk.identity(board))
    assert "has no device" in desk.run(bare, "--db", desk.db, status=3)
    desk.add(board)
    desk.rescue(bare)
    assert desk.lsns(board) == board.lsns


def test_a_lost_identity_is_found_in_the_database(desk: Desk) -> None:
    board = desk.add(lived_board())
    desk.add(Board(2))
    dump = whole(board)
    dump[0x200000:0x200010] = bytes(16)
    report = desk.rescue(dump)
    assert desk.lsns(board) == board.lsns
    assert "no intact copy" in "".join(report["notes"])  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", ["flipped", "blank"])
def test_a_damaged_partition_table_gives_way_to_the_standard_map(desk: Desk, rows: str) -> None:
    board = desk.add(lived_board())
    dump = whole(board)
    if rows == "blank":
        dump[TABLE_OFFSET : TABLE_OFFSET + 0x1000] = b"\xff" * 0x1000
    else:
        flip(dump, TABLE_OFFSET + 40)
    report = desk.rescue(dump)
    assert desk.lsns(board) == board.lsns
    assert "standard map" in "".join(report["notes"])  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [FLASH_BYTES - SECTOR_BYTES, FLASH_BYTES - 1, JOURNAL.offset, 0x8000, 5])
def test_a_truncated_dump_is_one_line(desk: Desk, size: int) -> None:
    board = desk.add(lived_board())
    before = desk.everything()
    said = desk.run(whole(board)[:size], "--db", desk.db, status=3)
    assert said.startswith("chot: the dump is cut short") and len(said.splitlines()) == 2
    assert desk.everything() == before


@pytest.mark.parametrize("dump", [b"", bytes(FLASH_BYTES), b"\xff" * FLASH_BYTES, bytes(17 * MIB)])
def test_what_is_no_dump_is_one_line(desk: Desk, dump: bytes) -> None:
    said = desk.run(dump, "--keys", desk.directory, status=3)
    assert said.startswith("chot: ") and len(said.splitlines()) == 2


@pytest.mark.parametrize("size", [FLASH_BYTES, FLASH_BYTES - 2 * SECTOR_BYTES])
def test_an_encrypted_dump_is_told_so(desk: Desk, size: int) -> None:
    board = desk.add(lived_board())
    sealed = bytearray(random.Random(2).randbytes(size))
    sealed[0x300000:0x380000] = b"\xff" * 0x80000  # blank sectors stay blank
    said = desk.run(sealed, "--db", desk.db, status=3)
    assert "flash encryption" in said and len(said.splitlines()) == 2
    assert desk.lsns(board) == [] and desk.quarantine(board) == []


def test_a_usage_error_is_one_line(desk: Desk) -> None:
    assert "--keys or --db" in desk.run(whole(lived_board()), status=2)
    assert "no file" in desk.run(whole(lived_board()), "--db", desk.directory / "none.db", status=3)
    assert not (desk.directory / "none.db").exists()
    assert main(["rescue", str(desk.directory / "none.bin"), "--db", str(desk.db)]) == 3


def test_a_sixteen_mebibyte_dump(desk: Desk) -> None:
    board = desk.add(lived_board())
    partitions = PARTITION_MAPS[16 * MIB]
    flash = bytearray(b"\xff" * (16 * MIB))
    flash[TABLE_OFFSET : TABLE_OFFSET + 0xC00] = encode_table(partitions)
    for label, data in (("identity", encode_partition(identity_of(board))), ("journal", partition(board))):
        at = find(partitions, label).offset
        flash[at : at + len(data)] = data
    desk.rescue(flash)
    assert desk.lsns(board) == board.lsns


def test_the_dump_of_a_clone_is_reported_once(desk: Desk) -> None:
    original, clone = desk.add(lived_board()), lived_board()
    original.new_epoch(cause=1)
    clone.new_epoch(cause=1, salt=b"another chip")
    for number in range(5):
        original.scan(CARDS[number])
        clone.scan(CARDS[-number - 1])
    assert desk.rescue(whole(original))["imported"]["clones"] == []  # type: ignore[index]
    clones = desk.rescue(whole(clone))["imported"]["clones"]  # type: ignore[index]
    assert [kind for kind, _ in clones] == ["clone: epochs overlap"]


def test_the_same_name_with_other_bytes_is_kept_beside(desk: Desk) -> None:
    board = desk.add(Board(1))
    board.scan(CARDS[0])
    forged = Board(1)
    forged.scan(CARDS[1])
    desk.rescue(whole(board))
    imported = desk.rescue(whole(forged))["imported"]
    assert imported["beside"] == 1 and imported["records"] == 0  # type: ignore[index]
    assert [kind for kind, _ in imported["clones"]] == ["clone: one name, two contents"]  # type: ignore[index]


def test_an_import_is_all_or_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    board = desk.add(lived_board())
    before = desk.everything()

    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "_cover", fail)
        said = desk.run(whole(board), "--db", desk.db, status=4)
    assert "disk full" in said and len(said.splitlines()) == 2
    assert desk.everything() == before
    desk.rescue(whole(board))
    assert desk.lsns(board) == board.lsns


# A board of the simulator that was killed, and never reached the centre.

KILLED = """
name = "killed offline"
seed = {seed}
duration_s = 30
settle_s = 0
[[board]]
name = "gate"
config = {{ repeat_window_s = 5 }}
[[crowd]]
board = "gate"
from_ms = 6000
count = 14
every_ms = 1500
people = 14
[[fault]]
kind = "wifi_down"
at_ms = {offline_ms}
[[fault]]
kind = "power_cut_in_program"
at_ms = {cut_ms}
share = {share}
off_ms = {off_ms}
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """What four runs left: cut in a program, some for good, some back at work after it."""
    kept = []
    for seed, share, off_ms in ((1, 0.3, 800), (2, 0.7, 60_000), (3, 0.9, 60_000), (4, 0.5, 800)):
        directory = tmp_path_factory.mktemp("kept")
        offline_ms = 100 if seed % 2 else 12_000
        plan = KILLED.format(seed=seed, share=share, cut_ms=15_000, off_ms=off_ms, offline_ms=offline_ms)
        with Run(scenario.parse(plan), keep=directory) as run:
            run.play()
        kept.append(directory)
    yield kept


@pytest.mark.parametrize("number", range(4))
def test_what_beeped_on_a_killed_board_is_rescued(
    killed: list[Path], number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = killed[number]
    keys = json.loads((directory / "gate" / "keys.json").read_text())
    (directory / "collector.key").write_text(keys["collector_private"] + "\n")
    desk = Desk(directory, capsys)
    device_id = bytes.fromhex(keys["device_id"])

    def cards() -> list[tuple[int, str]]:
        with Store(desk.db) as store:
            return [card for row in store.rows(device_id) if (card := card_of(row)) is not None]

    beeped = [json.loads(line) for line in (directory / "gate" / "beeps.jsonl").read_text().splitlines()]
    wanted = [(beep["scheme"], beep["card"]) for beep in beeped if beep["signal"] in ("recorded", "not_card")]
    before = cards()
    assert len(before) < len(wanted), "something is left to rescue"
    desk.rescue((directory / "gate" / "flash.bin").read_bytes())
    rescued = cards()
    # A cut may fall between the record and its beep: at most one record more than beeps for each cut.
    assert [card for card in rescued if card in wanted] == wanted
    assert len(rescued) <= len(wanted) + 1
