"""Opens what a request carries: records out of pieces, and apart from them every byte that would not open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from host_tools.formats.keys import KeysFor
from host_tools.formats.sector import (
    EPOCH_FRAME_BYTES,
    HEADER_BYTES,
    MAX_CIPHERTEXT_BYTES,
    OVERHEAD_BYTES,
    SECTOR_BYTES,
    Walk,
    is_sealed,
    programmed_end,
    repair_header,
    walk_frames,
)
from host_tools.formats.wire import Piece, Request

# Why bytes are in quarantine.
DAMAGED_SECTOR = "damaged sector"
UNREADABLE = "unreadable"
CUT_SHORT = "cut short"  # the last bytes of a sector: what a power cut leaves
NOT_PARSED = "not parsed"
# A cut tears what was being programmed: an epoch frame and the longest record at most.
MAX_TORN_BYTES = EPOCH_FRAME_BYTES + MAX_CIPHERTEXT_BYTES + OVERHEAD_BYTES


@dataclass(frozen=True)
class OpenedRow:
    """A record and its place; `end_lsn` is the position after its frame."""

    epoch_public: bytes
    generation: int
    lsn: int
    end_lsn: int
    plaintext: bytes


@dataclass(frozen=True)
class Quarantined:
    """Bytes kept as they came. Sequence and offset are 0 where they are not known."""

    generation: int
    sequence: int
    offset: int
    epoch_public: bytes
    data: bytes
    reason: str


@dataclass(frozen=True)
class Heard:
    """What a request says about the boot that sent it: the epoch in its head, and the positions (generation, lsn) where
    its first piece begins and its last one ends."""

    epoch_public: bytes
    begin: tuple[int, int]
    end: tuple[int, int]


@dataclass
class Opened:
    """All that a request holds, ready to be stored; `spans` are the (generation, first lsn, end lsn) it covers. `heard`
    is what it tells about who sent it, None where no board did."""

    rows: list[OpenedRow] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    spans: list[tuple[int, int, int]] = field(default_factory=list)
    heard: Heard | None = None


def _take(opened: Opened, walk: Walk, generation: int, sequence: int) -> None:
    base = sequence * SECTOR_BYTES
    for frame in walk.frames:
        if frame.plaintext is not None:
            lsn = base + frame.offset
            row = OpenedRow(frame.epoch_public, generation, lsn, lsn + frame.length, frame.plaintext)
            opened.rows.append(row)


def _open_piece(
    opened: Opened, piece: Piece, keys_for: KeysFor, others: Iterable[bytes], *, closed: bool
) -> bytes | None:
    """Open an ordinary piece; returns the epoch in force at its end, if anything in it opened. Of a closed sector nothing
    follows behind it, so the span reaches to the end of the sector."""
    walk = walk_frames(
        piece.data,
        generation=piece.generation,
        sequence=piece.sequence,
        offset=piece.offset,
        epoch_public=piece.epoch_public,
        keys_for=keys_for,
        others=others,
    )
    _take(opened, walk, piece.generation, piece.sequence)
    end = piece.offset + len(piece.data)
    base = piece.sequence * SECTOR_BYTES
    opened.spans.append((piece.generation, base + piece.offset, base + (SECTOR_BYTES if closed else end)))
    for first, last in walk.unread:
        data = piece.data[first - piece.offset : last - piece.offset]
        torn = last == end and last - first <= MAX_TORN_BYTES and not is_sealed(data)
        reason = CUT_SHORT if torn else UNREADABLE
        opened.quarantined.append(
            Quarantined(piece.generation, piece.sequence, first, piece.epoch_public, data, reason)
        )
    return walk.frames[-1].epoch_public if walk.frames else None


def _places(piece: Piece, neighbours: Sequence[Piece]) -> Iterator[tuple[int, int]]:
    """Generation and sequence that a damaged sector may have had: from its header, mended or as it is, or from the gaps
    beside the sectors around it."""
    header = repair_header(piece.data)
    if header is not None:
        yield header.generation, header.sequence
        return
    sequence = int.from_bytes(piece.data[8:12], "little")
    yield int.from_bytes(piece.data[4:8], "little"), sequence
    yield piece.generation, sequence
    for other in neighbours:
        yield piece.generation, other.sequence - 1
        yield piece.generation, other.sequence + 1


def _open_damaged(
    opened: Opened, piece: Piece, keys_for: KeysFor, neighbours: Sequence[Piece], others: Sequence[bytes]
) -> None:
    """Open what can be opened of a damaged sector; it is kept whole in any case, its header being evidence."""
    header = repair_header(piece.data)
    epoch_public = header.epoch_public if header is not None else piece.data[20:52]
    generation = sequence = 0
    for generation, sequence in dict.fromkeys(_places(piece, neighbours)):
        walk = walk_frames(
            piece.data[HEADER_BYTES : programmed_end(piece.data)],
            generation=generation,
            sequence=sequence,
            offset=HEADER_BYTES,
            epoch_public=epoch_public,
            keys_for=keys_for,
            others=others,
        )
        if any(frame.plaintext is not None for frame in walk.frames):
            _take(opened, walk, generation, sequence)
            base = sequence * SECTOR_BYTES
            opened.spans.append((generation, base + HEADER_BYTES, base + SECTOR_BYTES))
            break
    else:
        generation, sequence = piece.generation, 0
    opened.quarantined.append(Quarantined(generation, sequence, 0, epoch_public, piece.data, DAMAGED_SECTOR))


def whole(request: Request) -> Quarantined:
    """The request as one thing to quarantine; without its nonce and MAC, so that a repeat is known as a repeat."""
    data = b"".join(piece.pack() for piece in request.pieces) + request.tail
    return Quarantined(0, 0, 0, request.epoch_public, data, NOT_PARSED)


def heard(request: Request) -> Heard | None:
    """What an authentic request says about its sender; None for a heartbeat, and for one that does not parse."""
    ordered = [piece for piece in request.pieces if not piece.raw]
    if request.fault is not None or not ordered:
        return None
    first, last = ordered[0], ordered[-1]
    return Heard(
        request.epoch_public,
        (first.generation, first.sequence * SECTOR_BYTES + first.offset),
        (last.generation, last.sequence * SECTOR_BYTES + last.offset + len(last.data)),
    )


def open_request(request: Request, keys_for: KeysFor, known_epochs: Sequence[bytes] = ()) -> Opened:
    """Open every piece of an authentic request. Bytes that do not open go to quarantine; of a request that does not
    parse, all of it does, beside the records found in its sound pieces. `known_epochs` are epochs this board has used,
    the latest first, tried where nothing in the request fits."""
    opened = Opened()
    if request.fault is not None:
        opened.quarantined.append(whole(request))
    found: list[bytes] = []
    ordered = [piece for piece in request.pieces if piece.well_formed and not piece.raw]
    for at, piece in enumerate(ordered):
        # The last epoch that opened comes first, then the keys of the nearest pieces.
        near = [ordered[i].epoch_public for step in (1, 2) for i in (at - step, at + step) if 0 <= i < len(ordered)]
        others = dict.fromkeys([*found[-1:], *near, request.epoch_public, *known_epochs])
        # Only the last piece may be cut short or of the head: the board has closed the sectors before it.
        closed = request.fault is None and at + 1 < len(ordered) and ordered[at + 1].sequence > piece.sequence
        last = _open_piece(opened, piece, keys_for, others, closed=closed)
        if last is not None and last not in found:
            found.append(last)
    for piece in request.pieces:
        if piece.raw:
            near = [other.epoch_public for other in ordered[:2] + ordered[-2:]]
            others = dict.fromkeys([*near, *reversed(found), request.epoch_public, *known_epochs])
            _open_damaged(opened, piece, keys_for, ordered[:2] + ordered[-2:], list(others))
    return opened
