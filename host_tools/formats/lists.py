"""The list file, and the partition that holds it: a header, the deny list and the allow list (formats.md, Lists partition)."""

from __future__ import annotations

import datetime
import hmac
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

from host_tools.formats import fuse
from host_tools.text import say

MAGIC = b"CHL1"
HEADER_BYTES = 64
SECTOR_BYTES = 4096
WINDOW_BYTES = 256
FINGERPRINT_BYTES = 8
MAX_VERSION = 0x3FFFFFFF
DENY, ALLOW = 1, 2
# A lookup reads the index and then whole windows of 32 entries: eight reads at most, wherever in its window a bucket begins.
MAX_BUCKET = 193
_MIN_BUCKET_BITS, _MAX_BUCKET_BITS = 6, 18
_AVERAGE_BUCKET = 16

_HEAD = struct.Struct("<4sIIII8s")  # magic, version, date, length and CRC-32 of the body, name of the key
_SECTION = struct.Struct("<BBBxIII")  # kind, shift, seed, count, start, size
_SECTIONS = (28, 44)
_CRC = struct.Struct("<I")
_KEY_NAME = b"chot/1/lists"


class ListFormatError(Exception):
    """These bytes are no list file, or this list cannot be written as one; says why in one line of the user's language."""

    def __init__(self, vi: str, en: str) -> None:
        super().__init__(say(vi, en))


@dataclass(frozen=True)
class Section:
    """One list in a file: its kind, how many cards it holds, and where it lies in the body."""

    kind: int
    shift: int
    seed: int
    count: int
    start: int
    size: int


@dataclass(frozen=True)
class ListFile:
    """A list file that is whole: header fields, its sections by kind, and the body they lie in."""

    version: int
    date: datetime.date
    key_name: bytes
    sections: dict[int, Section]
    body: bytes

    def deny_holds(self, fingerprint: bytes) -> bool:
        """Whether the deny list holds an 8-byte fingerprint; False where there is no deny list."""
        section = self.sections.get(DENY)
        if section is None:
            return False
        bucket = int.from_bytes(fingerprint[:3], "big") >> 24 - section.shift
        entry = self.body[section.start + 4 * bucket : section.start + 4 * bucket + 4]
        at = section.start + (4 << section.shift) + FINGERPRINT_BYTES * int.from_bytes(entry[:3], "little")
        found = self.body[at : at + FINGERPRINT_BYTES * entry[3]]
        return any(found[i : i + FINGERPRINT_BYTES] == fingerprint for i in range(0, len(found), FINGERPRINT_BYTES))

    def allow_holds(self, fingerprint: bytes) -> bool:
        """Whether the allow list says that it holds an 8-byte fingerprint; False where there is no allow list."""
        allow = self.allow_filter()
        return allow is not None and allow.holds(int.from_bytes(fingerprint, "big"))

    def allow_filter(self) -> fuse.Filter | None:
        """The filter of the allow list, where there is one."""
        section = self.sections.get(ALLOW)
        if section is None:
            return None
        return fuse.Filter(self.body[section.start : section.start + section.size], section.shift, section.seed)


def fingerprint(list_key: bytes, scheme: int, packed: bytes) -> bytes:
    """What stands for a card in a list; `packed` is the packed card id of a SCAN record (formats.md, Card id)."""
    return hmac.digest(list_key, bytes((scheme,)) + packed, "sha256")[:FINGERPRINT_BYTES]


def key_name(list_key: bytes) -> bytes:
    """The 8 bytes by which a board knows a list that was made with its key."""
    return hmac.digest(list_key, _KEY_NAME, "sha256")[:FINGERPRINT_BYTES]


def _padded(data: bytes) -> bytes:
    return data + b"\xff" * (-len(data) % WINDOW_BYTES)


def _encode_deny(fingerprints: list[bytes]) -> tuple[bytes, int]:
    """(section, bits of the index) of distinct 8-byte fingerprints in ascending order."""
    bits = max(_MIN_BUCKET_BITS, (max(0, len(fingerprints) - 1) // _AVERAGE_BUCKET).bit_length())
    if bits > _MAX_BUCKET_BITS:
        raise ListFormatError(f"{len(fingerprints)} thẻ là quá nhiều", f"{len(fingerprints)} cards are too many")
    sizes = [0] * (1 << bits)
    for value in fingerprints:
        sizes[int.from_bytes(value[:3], "big") >> 24 - bits] += 1
    if max(sizes) > MAX_BUCKET:
        raise ListFormatError("dấu vân không trải đều", "the fingerprints are not evenly spread")
    index = bytearray()
    first = 0
    for size in sizes:
        index += first.to_bytes(3, "little") + bytes((size,))
        first += size
    return bytes(index) + _padded(b"".join(fingerprints)), bits


def encode(
    list_key: bytes,
    version: int,
    date: datetime.date,
    *,
    deny: Iterable[bytes] | None = None,
    allow: Iterable[bytes] | None = None,
) -> bytes:
    """The list file of these fingerprints (8 bytes each, in any order); None: no such list. Raises ListFormatError."""
    if not 1 <= version <= MAX_VERSION:
        raise ListFormatError(f"phiên bản {version} ngoài khoảng", f"version {version} is out of range")
    if deny is None and allow is None:
        raise ListFormatError("không có danh sách nào", "neither a deny nor an allow list")
    body = b""
    sections = b""
    if deny is not None:
        cards = sorted(set(deny))
        section, bits = _encode_deny(cards)
        sections += _SECTION.pack(DENY, bits, 0, len(cards), 0, len(section))
        body = section
    if allow is not None:
        values = {int.from_bytes(value, "big") for value in allow}
        made = fuse.build(values)
        sections += _SECTION.pack(ALLOW, made.shift, made.seed, len(values), len(body), len(made.cells))
        body += made.cells
    day = date.year * 10_000 + date.month * 100 + date.day
    head = _HEAD.pack(MAGIC, version, day, len(body), crc32(body), key_name(list_key))
    head += sections.ljust(2 * _SECTION.size, b"\0")
    return head + _CRC.pack(crc32(head)) + body


def decode(file: bytes) -> ListFile:
    """A list file taken apart and checked, whatever key it was made with; what follows it is let go. Raises ListFormatError."""
    if len(file) < HEADER_BYTES or file[:4] != MAGIC:
        raise ListFormatError("không phải tệp danh sách", "not a list file")
    if _CRC.unpack_from(file, HEADER_BYTES - _CRC.size)[0] != crc32(file[: HEADER_BYTES - _CRC.size]):
        raise ListFormatError("phần đầu hỏng", "its header is damaged")
    _, version, day, length, body_crc, name = _HEAD.unpack_from(file)
    body = file[HEADER_BYTES : HEADER_BYTES + length]
    if len(body) != length:
        raise ListFormatError(f"cụt: {len(body)} trên {length} byte", f"cut short: {len(body)} of {length} bytes")
    if crc32(body) != body_crc:
        raise ListFormatError("nội dung hỏng", "its content is damaged")
    sections: dict[int, Section] = {}
    end = 0
    for at in _SECTIONS:
        section = Section(*_SECTION.unpack_from(file, at))
        if section.kind == 0 and section.size == section.count == 0:
            continue
        known = section.kind in (DENY, ALLOW) and section.kind not in sections
        if not known or section.start != end or not _fits(section) or section.size % WINDOW_BYTES:
            raise _unknown()
        sections[section.kind] = section
        end += section.size
    if end != length or not 1 <= version <= MAX_VERSION:
        raise _unknown()
    try:
        date = datetime.date(day // 10_000, day // 100 % 100, day % 100)
    except ValueError:
        raise _unknown() from None
    return ListFile(version, date, name, sections, body)


def _unknown() -> ListFormatError:
    return ListFormatError("phần đầu không thuộc phiên bản này", "its header is not one of this version")


def _fits(section: Section) -> bool:
    if section.kind == ALLOW:
        good = fuse.MIN_SHIFT <= section.shift <= fuse.MAX_SHIFT
        return good and section.size >> section.shift >= fuse.MIN_SEGMENTS and section.size % (1 << section.shift) == 0
    good = _MIN_BUCKET_BITS <= section.shift <= _MAX_BUCKET_BITS
    return good and section.size >= (4 << section.shift) + FINGERPRINT_BYTES * section.count


def room_bytes(partition_size: int) -> int:
    """The longest list file that a half of a lists partition takes."""
    return partition_size // 2 - SECTOR_BYTES + HEADER_BYTES


def encode_partition(file: bytes, partition_size: int) -> bytes:
    """A partition whose first half holds this list file and whose second is blank. Raises ListFormatError."""
    if len(file) > room_bytes(partition_size):
        room = room_bytes(partition_size)
        raise ListFormatError(f"{len(file)} byte, chỉ có chỗ cho {room}", f"{len(file)} bytes, and room for {room}")
    half = file[:HEADER_BYTES].ljust(SECTOR_BYTES, b"\xff") + file[HEADER_BYTES:]
    return half.ljust(partition_size, b"\xff")
