"""The journal as it lies in flash: sector headers and frames, opened even where bytes between them are damaged."""

from __future__ import annotations

import bisect
import hmac
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from host_tools.formats import records
from host_tools.formats.keys import EpochKeys, KeyRing, KeysFor

SECTOR_BYTES = 4096
HEADER_BYTES = 64
MAGIC = b"CHT1"
MAX_CIPHERTEXT_BYTES = 239
TAG_BYTES = 8
OVERHEAD_BYTES = 11
EPOCH_MARK = 0xFE
EPOCH_FRAME_BYTES = 35
# Keys tried on a frame that the key in force does not open. More would let a hostile board buy work with bytes.
MAX_OTHER_KEYS = 12
_HEADER = struct.Struct("<4sII8s32s")
_TAGGED = struct.Struct("<IIHB")
_CHECKED_BYTES = 56


@dataclass(frozen=True)
class Header:
    """A sector header; `released` is True only for a mark of exactly 0x00."""

    generation: int
    sequence: int
    device_id: bytes
    epoch_public: bytes
    released: bool = False

    def pack(self) -> bytes:
        """The 64 bytes in flash."""
        head = _HEADER.pack(MAGIC, self.generation, self.sequence, self.device_id, self.epoch_public)
        mark = b"\0" if self.released else b"\xff"
        return head + struct.pack("<I", zlib.crc32(head)) + mark + b"\xff" * 7


def parse_header(sector: bytes) -> Header | None:
    """The header of a sector, None if it does not check (sequence 0 is never opened, so it does not check either)."""
    if len(sector) < HEADER_BYTES or zlib.crc32(sector[:52]) != int.from_bytes(sector[52:56], "little"):
        return None
    magic, generation, sequence, device_id, epoch_public = _HEADER.unpack_from(sector)
    if magic != MAGIC or sequence == 0:
        return None
    return Header(generation, sequence, device_id, epoch_public, sector[56] == 0)


def repair_header(sector: bytes) -> Header | None:
    """The header of a sector, also if one bit of it flipped; None if it is worse than that."""
    header = parse_header(sector)
    bit = 0
    while header is None and bit < 8 * _CHECKED_BYTES and len(sector) >= HEADER_BYTES:
        mended = bytearray(sector[:HEADER_BYTES])
        mended[bit >> 3] ^= 1 << (bit & 7)
        header = parse_header(bytes(mended))
        bit += 1
    return header


def _crypt(keys: EpochKeys, generation: int, sequence: int, start: int, data: bytes) -> bytes:
    """XOR with the keystream of the sector from offset `start` on."""
    counter = struct.pack(">IIII", generation, sequence, 0, start // 16)
    cipher = Cipher(algorithms.AES(keys.enc_key), modes.CTR(counter)).encryptor()
    skipped = start % 16
    return cipher.update(bytes(skipped) + data)[skipped:]


def _tag(keys: EpochKeys, generation: int, sequence: int, offset: int, ciphertext: bytes) -> bytes:
    place = _TAGGED.pack(generation, sequence, offset, len(ciphertext))
    return hmac.digest(keys.mac_key, place + ciphertext, "sha256")[:TAG_BYTES]


def _crc(data: bytes) -> bytes:
    return struct.pack("<H", zlib.crc32(data) & 0xFFFF)


def seal(keys: EpochKeys, generation: int, sequence: int, offset: int, plaintext: bytes) -> bytes:
    """The record frame of a plaintext of 1–239 bytes at an offset of a sector."""
    if not 1 <= len(plaintext) <= MAX_CIPHERTEXT_BYTES:
        raise ValueError(f"a record of {len(plaintext)} bytes")
    ciphertext = _crypt(keys, generation, sequence, offset + 1, plaintext)
    body = bytes((len(ciphertext),)) + ciphertext + _tag(keys, generation, sequence, offset, ciphertext)
    return body + _crc(body)


def epoch_frame(epoch_public: bytes) -> bytes:
    """The frame that changes the key for those after it."""
    body = bytes((EPOCH_MARK,)) + epoch_public
    return body + _crc(body)


@dataclass(frozen=True)
class Frame:
    """A frame that opened: `plaintext` of a record, None for an epoch frame (whose key is then `epoch_public`)."""

    offset: int
    length: int
    epoch_public: bytes
    plaintext: bytes | None


@dataclass
class Walk:
    """What came of a run of frames: those that opened, and the ranges [start, end) of sector offsets that did not."""

    frames: list[Frame] = field(default_factory=list)
    unread: list[tuple[int, int]] = field(default_factory=list)


class _Walker:
    """Goes through frames in order. At an invalid one it tries each next offset until CRC and tag hold."""

    def __init__(self, data: bytes, generation: int, sequence: int, offset: int, keys_for: KeysFor) -> None:
        # The last bytes of the last frame may themselves be 0xFF, and then a piece ends before them.
        blank = min(SECTOR_BYTES - offset - len(data), MAX_CIPHERTEXT_BYTES + OVERHEAD_BYTES)
        self._data = data + b"\xff" * max(blank, 0)
        self._length = len(data)
        self._base = offset
        self._generation = generation
        self._sequence = sequence
        self._keys_for = keys_for
        self._current: Sequence[EpochKeys] = ()
        self._others: list[EpochKeys] = []

    def _checked(self, at: int, length: int) -> bytes | None:
        frame = self._data[at : at + length]
        return frame if len(frame) == length and _crc(frame[:-2]) == frame[-2:] else None

    def _record(self, at: int, extra: Sequence[EpochKeys] = ()) -> tuple[EpochKeys, Frame] | None:
        """The record frame at `at` and the keys that open it: those in force, `extra`, then the others."""
        size = self._data[at]
        if not 1 <= size <= MAX_CIPHERTEXT_BYTES:
            return None
        frame = self._checked(at, size + OVERHEAD_BYTES)
        if frame is None:
            return None
        ciphertext, tag, offset = frame[1 : 1 + size], frame[1 + size : -2], self._base + at
        for keys in (*extra, *self._current, *self._others):
            if hmac.compare_digest(_tag(keys, self._generation, self._sequence, offset, ciphertext), tag):
                plaintext = _crypt(keys, self._generation, self._sequence, offset + 1, ciphertext)
                return keys, Frame(offset, len(frame), keys.epoch_public, plaintext)
        return None

    def _epoch(self, at: int, in_step: bool) -> Frame | None:
        """The epoch frame at `at`: out of step it counts only with a record right after it that its key opens."""
        if self._data[at] != EPOCH_MARK:
            return None
        frame = self._checked(at, EPOCH_FRAME_BYTES)
        if frame is None:
            return None
        keys = self._keys_for(frame[1:33])
        after = at + EPOCH_FRAME_BYTES
        confirmed = after < self._length and (found := self._record(after, keys)) is not None and found[0] in keys
        if not keys or not (in_step or confirmed):
            # Not believed yet, but the first tag that holds under its key still proves it.
            self._others = [*keys, *self._others][:MAX_OTHER_KEYS]
            return None
        self._others = [*self._current, *self._others][:MAX_OTHER_KEYS]
        self._current = keys
        return Frame(self._base + at, EPOCH_FRAME_BYTES, frame[1:33], None)

    def walk(self, epoch_public: bytes, others: Iterable[bytes]) -> Walk:
        self._current = self._keys_for(epoch_public)
        for public in others:
            if len(self._others) >= MAX_OTHER_KEYS:
                break
            if public != epoch_public:
                self._others += self._keys_for(public)
        walk = Walk()
        at = lost_from = 0
        while at < self._length:
            frame = self._epoch(at, lost_from == at)
            if frame is None and (found := self._record(at)) is not None:
                keys, frame = found
                if keys not in self._current:
                    self._others = [*self._current, *self._others][:MAX_OTHER_KEYS]
                    self._current = (keys,)
            if frame is None:
                at += 1
                continue
            if lost_from < at:
                walk.unread.append((self._base + lost_from, self._base + at))
            walk.frames.append(frame)
            at += frame.length
            lost_from = at
        if lost_from < self._length:
            walk.unread.append((self._base + lost_from, self._base + self._length))
        return walk


def walk_frames(
    data: bytes,
    *,
    generation: int,
    sequence: int,
    offset: int,
    epoch_public: bytes,
    keys_for: KeysFor,
    others: Iterable[bytes] = (),
) -> Walk:
    """Open the frames in `data`, the bytes of a sector from `offset` on, `epoch_public` being the key in force there.
    `others` are public keys to try where that one does not fit, the likeliest first. Never raises on garbage."""
    return _Walker(data, generation, sequence, offset, keys_for).walk(epoch_public, others)


def is_sealed(data: bytes) -> bool:
    """True if a whole record frame begins here by its CRC: if it does not open, its key is missing, not its bytes."""
    size = data[0] if data else 0
    frame = data[: size + OVERHEAD_BYTES]
    whole = 1 <= size <= MAX_CIPHERTEXT_BYTES and len(frame) == size + OVERHEAD_BYTES
    return whole and _crc(frame[:-2]) == frame[-2:]


def programmed_end(sector: bytes) -> int:
    """The offset after the last byte that is not 0xFF."""
    return len(sector.rstrip(b"\xff"))


@dataclass(frozen=True)
class Row:
    """A record under the name it has for ever (epoch and lsn), and whether the collector has released its sector."""

    epoch_public: bytes
    lsn: int
    plaintext: bytes
    generation: int
    released: bool

    @property
    def decoded(self) -> dict[str, Any] | None:
        """What the record says, None if it is kept raw."""
        return records.decode(self.plaintext)


@dataclass(frozen=True)
class Unread:
    """Bytes of a partition that did not open; `lsn` is None where the sector's header is lost."""

    address: int
    lsn: int | None
    data: bytes
    reason: str


class Journal(list[Row]):
    """The rows of a journal partition in order of generation and lsn, and beside them what did not open."""

    def __init__(self, rows: Iterable[Row], unread: Sequence[Unread], headers: dict[int, Header]) -> None:
        super().__init__(rows)
        self.unread = list(unread)
        self.headers = headers


def _place(header: Header) -> tuple[int, int]:
    return header.generation, header.sequence


def _keys_nearby(ordered: Sequence[Header], header: Header) -> Iterable[bytes]:
    """The epochs named in the headers before and after this one, which may be its own where its own key is damaged."""
    at = bisect.bisect_left(ordered, _place(header), key=_place)
    near = ordered[max(at - MAX_OTHER_KEYS // 2, 0) : at + 1 + MAX_OTHER_KEYS // 2]
    return dict.fromkeys(other.epoch_public for other in near)


def read_journal(partition: bytes, device_key: bytes, collector_private: bytes | Sequence[bytes]) -> Journal:
    """Decode a dump of a whole journal partition with the board's key and the collector's private key or keys.
    `headers` maps a sector's address in the dump to its header. Raises ValueError if it is not whole sectors."""
    if len(partition) % SECTOR_BYTES:
        raise ValueError(f"a journal partition is whole sectors of {SECTOR_BYTES} bytes, not {len(partition)} bytes")
    privates = [collector_private] if isinstance(collector_private, bytes) else list(collector_private)
    keys_for = KeyRing(device_key, privates)
    sectors = {at: partition[at : at + SECTOR_BYTES] for at in range(0, len(partition), SECTOR_BYTES)}
    headers = {at: header for at, sector in sectors.items() if (header := repair_header(sector)) is not None}
    ordered = sorted(headers.values(), key=_place)
    rows: list[Row] = []
    unread: list[Unread] = []
    for at, sector in sectors.items():
        end = programmed_end(sector)
        mended = headers.get(at)
        if mended is None:
            if end > HEADER_BYTES:
                unread.append(Unread(at, None, sector[:end], "damaged header"))
            continue
        walk = walk_frames(
            sector[HEADER_BYTES:end],
            generation=mended.generation,
            sequence=mended.sequence,
            offset=HEADER_BYTES,
            epoch_public=mended.epoch_public,
            keys_for=keys_for,
            others=_keys_nearby(ordered, mended),
        )
        base = mended.sequence * SECTOR_BYTES
        for frame in walk.frames:
            if frame.plaintext is not None:
                row = Row(frame.epoch_public, base + frame.offset, frame.plaintext, mended.generation, mended.released)
                rows.append(row)
        for first, last in walk.unread:
            unread.append(Unread(at + first, base + first, sector[first:last], "does not open"))
    rows.sort(key=lambda row: (row.generation, row.lsn))
    return Journal(rows, unread, headers)
