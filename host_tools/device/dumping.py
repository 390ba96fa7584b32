"""The journal off a board's flash: what in it has not been released, and a dump that `chot rescue` opens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from host_tools.build.identity import Identity, decode_partition
from host_tools.build.partitions import (
    TABLE_BYTES,
    TABLE_OFFSET,
    TABLE_SECTOR_BYTES,
    Partition,
    decode_table,
    find,
)
from host_tools.device.loader import Board
from host_tools.errors import EXIT_DEVICE, UserError
from host_tools.formats.sector import HEADER_BYTES, SECTOR_BYTES, parse_header, programmed_end
from host_tools.private_files import write_private_bytes
from host_tools.text import say

# Of the journal, what is asked about at once: mostly it is blank.
_PIECE_BYTES = 65_536


@dataclass(frozen=True)
class Flashed:
    """What a board's flash says of itself; `partitions` is empty for a board that was never ours, or is bare."""

    table: bytes = field(repr=False)
    partitions: tuple[Partition, ...]
    identity: Identity | None
    app: bytes = field(repr=False)  # the beginning of the application, its descriptor in it

    def journal(self) -> Partition | None:
        """Where the journal is, None if there is none."""
        return next((part for part in self.partitions if part.label == "journal"), None)


def look(board: Board) -> Flashed:
    """Read the table, the identity and the application's descriptor."""
    table = board.read(TABLE_OFFSET, TABLE_SECTOR_BYTES)
    try:
        partitions = tuple(decode_table(table[:TABLE_BYTES]))
        app = find(partitions, "factory")
    except UserError:
        return Flashed(table, (), None, b"")
    identity = None
    for part in partitions:
        if part.label == "identity":
            try:
                identity = decode_partition(board.read(part.offset, part.size))
            except UserError:
                identity = None
    return Flashed(table, partitions, identity, board.read(app.offset, 256))


def unreleased_sectors(journal: bytes) -> int:
    """How many sectors of a journal partition hold records that no collector has confirmed, damaged ones among them."""
    count = 0
    for at in range(0, len(journal), SECTOR_BYTES):
        sector = journal[at : at + SECTOR_BYTES]
        header = parse_header(sector)
        if programmed_end(sector) > HEADER_BYTES and (header is None or not header.released):
            count += 1
    return count


def read_journal(board: Board, flashed: Flashed) -> bytes:
    """The journal partition's bytes, b"" if there is none; what is blank of it is not sent over the wire."""
    part = flashed.journal()
    if part is None or part.end > board.flash_bytes:
        return b""
    pieces = []
    for at in range(part.offset, part.end, _PIECE_BYTES):
        blank = b"\xff" * min(_PIECE_BYTES, part.end - at)
        pieces.append(blank if board.holds(at, blank) else board.read(at, len(blank)))
    return b"".join(pieces)


def dump(board: Board, flashed: Flashed, journal: bytes) -> bytes:
    """A flash image with what a rescue needs (table, identity, journal) and 0xFF for the rest; UserError without a
    journal."""
    part = flashed.journal()
    if part is None or not journal:
        raise UserError(
            say(f"{board.port}: bo mạch này không có nhật ký", f"{board.port}: there is no journal on this board"),
            hint=say("flash trống, hoặc chưa từng nạp bằng chot", "its flash is bare, or was never flashed by chot"),
            exit_code=EXIT_DEVICE,
        )
    image = bytearray(b"\xff" * board.flash_bytes)
    image[TABLE_OFFSET : TABLE_OFFSET + len(flashed.table)] = flashed.table
    for named in flashed.partitions:
        if named.label == "identity":
            image[named.offset : named.end] = board.read(named.offset, named.size)
    image[part.offset : part.end] = journal
    return bytes(image)


def refuse_to_lose(board: Board, flashed: Flashed, *, rescue: Path | None, force: bool) -> int:
    """How many sectors with unreleased records are about to go from the board. If there are any they are first written
    to the dump `rescue`; without one, and without `force`, UserError."""
    journal = read_journal(board, flashed)
    sectors = unreleased_sectors(journal)
    if not sectors:
        return 0
    if rescue is not None:
        write_private_bytes(rescue, dump(board, flashed, journal), "--rescue")
    elif not force:
        raise UserError(
            say(
                f"{board.port}: nhật ký còn bản ghi chưa về trung tâm ({sectors} sector)",
                f"{board.port}: the journal holds records that no collector has confirmed (in {sectors} sectors)",
            ),
            hint=say(
                "thêm --rescue FILE để cứu chúng ra tệp trước, hoặc --force để bỏ",
                "add --rescue FILE to save them to a file first, or --force to give them up",
            ),
            exit_code=EXIT_DEVICE,
        )
    return sectors
