"""What comes in is opened, kept once, and answered; what does not open is kept as it came and blocks nobody."""

from __future__ import annotations

import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from sealing_board import COLLECTOR, Board

from host_tools.collector import opening, server, store, vault
from host_tools.formats import records
from host_tools.formats.keys import collector_key_id, collector_public, epoch_keys, request_key
from host_tools.formats.sector import SECTOR_BYTES
from host_tools.formats.wire import Piece, build_request, parse_reply

OLD_COLLECTOR = bytes(range(64, 96))


def scanned(centre, board: Board, count: int = 5) -> Board:
    centre.add(board)
    board.append(kind=records.BOOT, cause=1, version="1.0.0", config=3)
    for number in range(count):
        board.scan(f"{number:012d}")
    return board


def lsns(centre, board: Board) -> list[int]:
    with centre.store() as kept:
        return [row.lsn for row in kept.rows(board.device_id)]


def reports(centre) -> list[tuple[str, str]]:
    with centre.store() as kept:
        return [(kind, detail) for _, kind, detail, *_ in kept.reports()]


def quarantined(centre) -> list[tuple[str, int, int, bytes]]:
    with centre.store() as kept:
        return kept.db.execute("SELECT reason, sequence, offset, data FROM quarantine ORDER BY id").fetchall()


def test_records_arrive_once_however_often_they_are_sent(centre) -> None:
    board = scanned(centre, Board(), 300)
    assert len(board.pieces()) > 1
    for _ in range(2):
        assert centre.send(board) == len(board.pieces())
        centre.now_ms += 1000
    assert lsns(centre, board) == board.lsns
    assert reports(centre) == []
    with centre.store() as kept:
        rows = kept.rows(board.device_id)
        assert {row.received_ms for row in rows} == {centre.now_ms - 2000}
        assert rows[1].decoded["id"] == "000000000000"
        assert rows[1].epoch_public == board.epoch_public


def test_a_heartbeat_is_answered_and_seen(centre) -> None:
    board = centre.add(Board())
    assert centre.send(board, []) == 0
    assert centre.state()["boards"][0]["last_seen"] == centre.now_ms


def test_what_is_answered_is_committed_with_full_sync(centre) -> None:
    board = scanned(centre, Board())
    centre.send(board)
    # Another connection sees it: it is committed, not in somebody's transaction.
    assert lsns(centre, board) == board.lsns
    with centre.store() as kept:
        assert kept.db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert kept.db.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_strangers_are_refused_alike(centre) -> None:
    board = scanned(centre, Board(1))
    stranger = Board(2)
    stranger.scan("1")
    sound = board.request()
    for body in (stranger.request(), sound[:-1] + bytes((sound[-1] ^ 1,)), b"", b"\x01" * 84, b"\xff" * 5000):
        assert centre.post(body)[0] == 401
    assert lsns(centre, board) == []
    assert centre.state()["boards"][0]["last_seen"] is None


def test_the_size_limit_is_exact(centre) -> None:
    board = centre.add(Board())
    sizes = [4032] * 15
    sizes.append(65_536 - len(board.request([])) - 44 * 16 - sum(sizes))
    pieces = [Piece(board.generation, n, board.epoch_public, 64, bytes(size)) for n, size in enumerate(sizes, 1)]
    body = board.request(pieces)
    assert len(body) == 65_536
    assert centre.post(body)[0] == 200
    assert centre.post(body + b"\0")[0] == 413


def test_junk_costs_the_junk_alone_and_the_board_goes_on(centre) -> None:
    board = scanned(centre, Board())
    first = board.piece()
    cut = board.lsns[3] % SECTOR_BYTES - 64
    length = board.lsns[4] % SECTOR_BYTES - 64 - cut
    data = bytearray(first.data)
    data[cut + 3] ^= 0x40
    broken = Piece(first.generation, first.sequence, first.epoch_public, 64, bytes(data) + b"\x13torn")
    for _ in range(2):
        assert centre.send(board, [broken]) == 1
    assert lsns(centre, board) == [lsn for lsn in board.lsns if lsn != board.lsns[3]]
    kept = quarantined(centre)
    assert [(reason, offset) for reason, _, offset, _ in kept] == [
        (opening.UNREADABLE, 64 + cut),
        (opening.CUT_SHORT, 64 + len(data)),
    ]
    assert kept[0][3] == bytes(data[cut : cut + length]) and kept[1][3] == b"\x13torn"
    with centre.store() as kept_store:
        # Sent twice, and still one matter each.
        assert [times for *_, times in kept_store.reports()] == [1, 1]
    described = centre.state()["boards"][0]
    assert (described["quarantined"], described["torn"]) == (2, 1)


def test_a_wrong_piece_key_is_made_good_by_the_neighbours(centre) -> None:
    board = scanned(centre, Board())
    board.next_sector()
    board.scan("7")
    first, second = board.pieces()
    wrong = Piece(first.generation, first.sequence, b"\x42" * 32, first.offset, first.data)
    assert centre.send(board, [wrong, second]) == 2
    assert lsns(centre, board) == board.lsns


def test_a_wrong_piece_key_is_made_good_by_epochs_met_before(centre) -> None:
    board = scanned(centre, Board())
    centre.send(board)
    old = board.piece()
    board.next_sector()
    board.new_epoch(cause=1)
    board.data.clear()
    board.lsns.pop()
    keys, board.keys = board.keys, epoch_keys(board.device_key, COLLECTOR, old.epoch_public)
    board.scan("8")
    board.keys = keys
    late = Piece(board.generation, board.sequence, b"\x42" * 32, 64, bytes(board.data))
    assert centre.send(board, [late]) == 1
    assert lsns(centre, board) == board.lsns


@pytest.mark.parametrize("damage", ["one bit", "the key", "the sequence"])
def test_a_damaged_sector_gives_up_its_records_and_is_kept_whole(centre, damage: str) -> None:
    board = scanned(centre, Board())
    raw = bytearray(board.raw())
    if damage == "one bit":
        raw[9] ^= 4
    elif damage == "the key":
        raw[20:40] = bytes(20)
    else:
        raw[8:12] = b"\x99\x99\x99\x99"
    board.done.append(Piece(board.generation, 0, bytes(32), 0, bytes(raw)))
    board.data.clear()
    board.sequence += 1
    board.scan("9")
    assert centre.send(board) == 2
    assert lsns(centre, board) == board.lsns
    assert [(reason, data) for reason, _, _, data in quarantined(centre)] == [(opening.DAMAGED_SECTOR, bytes(raw))]


def test_a_hopeless_sector_is_kept_whole(centre) -> None:
    board = scanned(centre, Board())
    raw = hashlib.shake_128(b"cut erase").digest(SECTOR_BYTES)
    assert centre.send(board, [Piece(board.generation, 0, bytes(32), 0, raw)]) == 1
    assert [(reason, data) for reason, _, _, data in quarantined(centre)] == [(opening.DAMAGED_SECTOR, raw)]


def test_an_authentic_request_that_does_not_parse_is_kept_whole_and_lets_the_board_go_on(centre) -> None:
    board = scanned(centre, Board())
    sound = board.piece()
    bad = Piece(board.generation, 2, board.epoch_public, 12, b"outside")
    assert centre.send(board, [sound, bad]) == 2
    assert lsns(centre, board) == board.lsns
    assert quarantined(centre) == [(opening.NOT_PARSED, 0, 0, sound.pack() + bad.pack())]

    class Torn:
        def pack(self) -> bytes:
            return sound.pack()[:50]

    for _ in range(2):
        assert centre.send(board, [sound, Torn()]) == 2
    assert quarantined(centre)[1:] == [(opening.NOT_PARSED, 0, 0, sound.pack() + sound.pack()[:50])]


def test_same_name_other_bytes_is_a_clone_and_kept_beside(centre) -> None:
    board, twin = scanned(centre, Board()), Board()
    twin.append(kind=records.BOOT, cause=1, version="1.0.0", config=3)
    twin.scan("999999999999")
    centre.send(board)
    for _ in range(2):
        assert centre.send(twin) == 1
    assert lsns(centre, board) == board.lsns
    with centre.store() as kept:
        beside = kept.db.execute("SELECT lsn, plaintext FROM conflicts").fetchall()
        assert [(lsn, records.decode(plaintext)["id"]) for lsn, plaintext in beside] == [(twin.lsns[1], "999999999999")]
    assert [kind for kind, _ in reports(centre)] == [store.CLONE_BYTES]
    assert centre.state()["boards"][0]["clones"] == 1


def test_epochs_that_overlap_are_a_clone_or_a_restored_flash(centre) -> None:
    board = scanned(centre, Board())
    copy = bytearray(board.data)
    board.new_epoch(cause=1)
    board.scan("1")
    twin = Board()
    twin.data = copy
    twin.new_epoch(cause=1, salt=b"other luck")
    twin.scan("2")
    assert centre.send(board) == centre.send(twin) == 1
    assert [kind for kind, _ in reports(centre)] == [store.CLONE_OVERLAP]
    assert len(lsns(centre, board)) == len(board.lsns) + 2


def test_epochs_in_order_are_no_clone(centre) -> None:
    board = scanned(centre, Board())
    for _ in range(5):
        board.new_epoch(cause=1)
        board.scan("1")
    for _ in range(2):
        centre.send(board)
    assert lsns(centre, board) == board.lsns
    assert reports(centre) == []


def test_an_epoch_in_two_generations_is_reported(centre) -> None:
    board, twin = scanned(centre, Board()), Board(generation=5)
    twin.scan("2")
    centre.send(board)
    centre.send(twin)
    assert [kind for kind, _ in reports(centre)] == [store.CLONE_GENERATION]
    assert lsns(centre, board) == board.lsns


def test_old_private_keys_still_open_and_answer(make_centre) -> None:
    centre = make_centre([COLLECTOR, OLD_COLLECTOR])
    old, new = Board(collector=OLD_COLLECTOR), Board(number=2)
    for board in (old, new):
        scanned(centre, board)
    assert centre.send(old, private=OLD_COLLECTOR) == 1
    assert centre.send(new) == 1
    # A board that took the new key over sends what it sealed to the old one beside what it seals now.
    mixed = old.pieces()[0]
    body = build_request(
        old.device_id, collector_key_id(collector_public(COLLECTOR)), new.epoch_public, b"12345678", [mixed],
        request_key(old.device_key),
    )
    status, reply = centre.post(body)
    keys = epoch_keys(old.device_key, COLLECTOR, new.epoch_public)
    assert status == 200 and parse_reply(reply, b"12345678", keys.reply_key)["stored"] == 1
    assert lsns(centre, old) == old.lsns and quarantined(centre) == []


def test_a_board_of_another_collector_keeps_its_data_and_is_reported(centre) -> None:
    board = scanned(centre, Board(collector=OLD_COLLECTOR))
    assert centre.post(board.request())[0] == 409
    assert [kind for kind, _ in reports(centre)] == [store.UNKNOWN_COLLECTOR_KEY]


def test_a_refused_epoch_key_is_no_way_in(centre) -> None:
    board = scanned(centre, Board())
    board.epoch_public = bytes(32)
    assert centre.post(board.request())[0] == 409
    assert [kind for kind, _ in reports(centre)] == [store.REFUSED_EPOCH]
    board.epoch_public = collector_public(b"\x07" * 32)
    low = Piece(board.generation, 1, b"\x01" + bytes(31), 64, bytes(board.data))
    status, _ = centre.post(board.request([low]))
    assert status == 200 and len(quarantined(centre)) == 1


def test_raw_plaintexts_are_kept(centre) -> None:
    board = centre.add(Board())
    for plaintext in (b"\x09\x01future", b"\x00", b"\x03"):
        board.append_plaintext(plaintext)
    centre.send(board)
    with centre.store() as kept:
        assert [row.plaintext for row in kept.rows(board.device_id)] == [b"\x09\x01future", b"\x00", b"\x03"]
        assert {row.decoded for row in kept.rows(board.device_id)} == {None}


def test_extreme_numbers_are_stored(centre) -> None:
    board = centre.add(Board(generation=2**32 - 1, sequence=2**32 - 1, uptime_ms=2**63 - 1))
    board.clock(2**63 - 1, error_ms=2**63 - 1)
    board.append(kind=records.HEALTH, health=[[255, -(2**62)], [1, 2**62 - 1]])
    board.scan("\0\u202e<b>", after_ms=0, scheme=255)
    assert centre.send(board) == 1
    assert len(lsns(centre, board)) == 3
    assert centre.state()["checkpoints"][0]["scans"] == 1


def test_gaps_show(centre) -> None:
    board = scanned(centre, Board())
    board.next_sector(skip=2)
    board.scan("1")
    board.scan("2")
    middle = board.lsns[-1] % SECTOR_BYTES - 64
    first, second = board.pieces()
    late = Piece(second.generation, second.sequence, second.epoch_public, 64 + middle, second.data[middle:])
    centre.send(board, [first, late])
    described = centre.state()["boards"][0]
    assert (described["missing_sectors"], described["holes"]) == (2, 1)
    centre.send(board)
    described = centre.state()["boards"][0]
    assert (described["missing_sectors"], described["holes"]) == (2, 0)


def test_device_keys_lie_wrapped_and_their_key_lies_elsewhere(centre) -> None:
    board = scanned(centre, Board())
    centre.send(board)
    with centre.store() as kept:
        kept.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert board.device_key not in centre.db.read_bytes()
    wrapping = vault.wrapping_key_path(centre.db)
    assert bytes.fromhex(wrapping.read_text()) not in centre.db.read_bytes()
    assert wrapping.stat().st_mode & 0o777 == 0o600 and centre.db.stat().st_mode & 0o777 == 0o600


def test_many_boards_at_once(centre) -> None:
    boards = [scanned(centre, Board(number), 0) for number in range(1, 9)]

    def work(board: Board) -> list[int]:
        answered = []
        for number in range(12):
            for card in range(5):
                board.scan(f"{board.number}{number:02d}{card}")
            answered.append(centre.send(board))
        return answered

    with ThreadPoolExecutor(len(boards)) as pool:
        assert all(answers == [1] * 12 for answers in pool.map(work, boards))
    for board in boards:
        assert lsns(centre, board) == board.lsns
    assert reports(centre) == []


def test_a_request_that_cannot_be_stored_takes_nobody_along(centre, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = scanned(centre, Board(1)), scanned(centre, Board(2))
    ingest = store.Store.ingest

    def failing(self, device_id: bytes, *rest: object) -> None:
        ingest(self, device_id, *rest)
        if device_id == bad.device_id:
            raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(store.Store, "ingest", failing)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda board: centre.post(board.request())[0], [good, bad] * 4))
    assert answers == [200, 503] * 4
    monkeypatch.undo()
    centre.send(bad)
    assert lsns(centre, good) == good.lsns and lsns(centre, bad) == bad.lsns


def test_a_fault_of_ours_blocks_no_board(centre, monkeypatch: pytest.MonkeyPatch) -> None:
    board = scanned(centre, Board())

    def broken(*_: object) -> None:
        raise KeyError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(server, "open_request", broken)
        assert centre.send(board) == 1
    with monkeypatch.context() as patched:
        patched.setattr(store.Store, "_check_overlap", broken)
        assert centre.send(board) == 1
    assert quarantined(centre) == [(opening.NOT_PARSED, 0, 0, board.piece().pack())]
    assert lsns(centre, board) == []
    assert centre.send(board) == 1
    assert lsns(centre, board) == board.lsns
