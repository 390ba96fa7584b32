"""Opening a request loses no byte and makes none up, whatever damage its pieces have; torn ends are named."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from sealing_board import COLLECTOR, Board

from host_tools.collector import opening
from host_tools.formats.keys import KeyRing, collector_public, request_key
from host_tools.formats.sector import SECTOR_BYTES
from host_tools.formats.wire import Piece, Request, parse_request


def ring(board: Board) -> KeyRing:
    return KeyRing(board.device_key, [COLLECTOR])


def parsed(board: Board, pieces: list[Piece]) -> Request:
    return parse_request(board.request(pieces), request_key(board.device_key))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_byte_sent_is_a_record_or_in_quarantine(data: st.DataObject) -> None:
    """Random damage to sound pieces: nothing raises, nothing is lost, nothing is made up."""
    board = Board()
    for number in range(8):
        if data.draw(st.integers(0, 4)) == 0:
            board.new_epoch(cause=1)
        if data.draw(st.integers(0, 4)) == 0:
            board.next_sector()
        board.scan(f"{number}" * data.draw(st.integers(1, 30)))
    sound = {row.lsn: row.plaintext for row in opening.open_request(parsed(board, board.pieces()), ring(board)).rows}
    assert list(sound) == board.lsns
    pieces = []
    for piece in board.pieces():
        damaged = bytearray(piece.data)
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(damaged) - 1))
            damaged[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        key = data.draw(st.sampled_from([piece.epoch_public, board.epoch_public, b"\x42" * 32, bytes(32)]))
        pieces.append(Piece(piece.generation, piece.sequence, key, piece.offset, bytes(damaged)))
    opened = opening.open_request(parsed(board, pieces), ring(board))
    for row in opened.rows:
        assert sound.get(row.lsn) == row.plaintext
    for piece in pieces:
        base = piece.sequence * SECTOR_BYTES
        covered = set()
        for row in opened.rows:
            if row.lsn // SECTOR_BYTES == piece.sequence:
                covered.update(range(row.lsn - base, row.end_lsn - base))
        for item in opened.quarantined:
            if item.sequence == piece.sequence and item.reason != opening.NOT_PARSED:
                start = item.offset - piece.offset
                assert piece.data[start : start + len(item.data)] == item.data
                covered.update(range(item.offset, item.offset + len(item.data)))
        left = [at for at in range(piece.offset, piece.offset + len(piece.data)) if at not in covered]
        # Only sound epoch frames are neither.
        assert len(left) % 35 == 0
        assert all(piece.data[left[i] - piece.offset] == 0xFE for i in range(0, len(left), 35))


def test_a_torn_end_is_told_from_a_key_that_is_missing_and_from_rubble() -> None:
    board = Board()
    board.scan("1")
    sealed = bytes(board.data)

    def reasons(data: bytes, key: bytes) -> list[str]:
        opened = opening.open_request(parsed(board, [Piece(board.generation, 1, key, 64, data)]), ring(board))
        return [item.reason for item in opened.quarantined]

    assert reasons(sealed, board.epoch_public) == []
    assert reasons(sealed[:-4], board.epoch_public) == [opening.CUT_SHORT]
    assert reasons(sealed + sealed[:-4], board.epoch_public) == [opening.CUT_SHORT]
    board.epoch_public = collector_public(b"\x09" * 32)
    assert reasons(sealed, b"\x42" * 32) == [opening.UNREADABLE]
    assert reasons(b"\x00" * 300, b"\x42" * 32) == [opening.UNREADABLE]
