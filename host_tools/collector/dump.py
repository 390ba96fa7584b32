"""Finds the journal and the identity in a dump of a board's flash, and says plainly what is wrong with one that has none."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from host_tools.build.identity import Identity, decode_partition
from host_tools.build.partitions import (
    MIB,
    PARTITION_MAPS,
    TABLE_BYTES,
    TABLE_OFFSET,
    Partition,
    decode_table,
    find,
    partition_map,
)
from host_tools.errors import UserError
from host_tools.formats.sector import MAGIC, SECTOR_BYTES
from host_tools.text import say

MAX_DUMP_BYTES = max(PARTITION_MAPS)
JOURNAL_SIZES = frozenset(find(partitions, "journal").size for partitions in PARTITION_MAPS.values())
_TABLE_MAGIC = b"\xaa\x50"
# 4096 random bytes come to 7.95 bits a byte; code, text and a journal with its headers stay well below this.
_RANDOM_BITS = 7.9
_RANDOM_SHARE = 0.9
_SAMPLED_SECTORS = 256


@dataclass(frozen=True)
class Dump:
    """What a dump holds: the journal partition's bytes and where they begin, the identity if it is intact, and what
    a person should know about the dump itself."""

    journal: bytes = field(repr=False)
    offset: int
    identity: Identity | None
    notes: tuple[str, ...] = ()


def open_dump(image: bytes) -> Dump:
    """Find the journal in a whole flash image, or take `image` for a journal partition; raises UserError."""
    if not image:
        raise UserError(say("tệp rỗng", "the file is empty"), hint=_read_again())
    if len(image) > MAX_DUMP_BYTES:
        raise UserError(
            say(f"{len(image)} byte, lớn hơn mọi flash", f"{len(image)} bytes, more than any board's flash"),
            hint=say(f"nhiều nhất {MAX_DUMP_BYTES // MIB} MiB", f"at most {MAX_DUMP_BYTES // MIB} MiB"),
        )
    if len(image) % SECTOR_BYTES:
        raise _cut_short(
            say(
                f"{len(image)} byte không tròn sector {SECTOR_BYTES} byte",
                f"{len(image)} bytes are not whole sectors of {SECTOR_BYTES}",
            )
        )
    partitions, notes = _partitions(image)
    if partitions is None:
        return Dump(image, 0, None)
    journal = find(partitions, "journal")
    if journal.end > len(image):
        raise _cut_short(
            say(
                f"nhật ký kết thúc ở {journal.end:#x}, tệp ở {len(image):#x}",
                f"the journal ends at {journal.end:#x}, the file at {len(image):#x}",
            )
        )
    identity = None
    try:
        place = find(partitions, "identity")
        identity = decode_partition(image[place.offset : place.end])
    except UserError as error:
        notes.append(error.message)
    return Dump(image[journal.offset : journal.end], journal.offset, identity, tuple(notes))


def _partitions(image: bytes) -> tuple[list[Partition] | tuple[Partition, ...] | None, list[str]]:
    """The partitions of a whole image, None for a bare journal partition; and notes. Raises UserError."""
    table = image[TABLE_OFFSET : TABLE_OFFSET + TABLE_BYTES]
    if table.startswith(_TABLE_MAGIC):
        try:
            return decode_table(table), []
        except UserError as error:
            if len(image) not in PARTITION_MAPS:
                raise
            said = say("; dùng bản đồ chuẩn cho cỡ flash này", "; the standard map of this flash size is used")
            return partition_map(len(image)), [error.message + said]
    if len(image) in JOURNAL_SIZES:
        return None, []
    if _looks_encrypted(image):
        raise UserError(
            say(
                "flash đã mã hoá (flash encryption): toàn dữ liệu ngẫu nhiên, không có bảng phân vùng",
                "flash encryption: the dump is all random bytes, without a partition table",
            ),
            hint=say("chỉ chính bo mạch ấy giải mã được", "only the board itself can decrypt it: let it send its data"),
        )
    if len(image) not in PARTITION_MAPS:
        raise _cut_short(
            say(
                f"{len(image)} byte: không phải cả flash, cũng không phải phân vùng journal",
                f"{len(image)} bytes: neither a whole flash nor a journal partition",
            )
        )
    if MAGIC not in image:
        raise UserError(
            say("không có bảng phân vùng và không có nhật ký", "there is neither a partition table nor a journal"),
            hint=say("tệp này có phải ảnh đọc từ bo mạch không?", "was this file read from a board?"),
        )
    said = say("không có bảng phân vùng; dùng bản đồ chuẩn", "no partition table; the standard map is used")
    return partition_map(len(image)), [said]


def _looks_encrypted(image: bytes) -> bool:
    """True if nearly every sector that is not blank reads like random bytes."""
    blank = b"\xff" * SECTOR_BYTES
    starts = [at for at in range(0, len(image), SECTOR_BYTES) if image[at : at + SECTOR_BYTES] != blank]
    sampled = starts[:: max(1, len(starts) // _SAMPLED_SECTORS)]
    random = sum(_bits_a_byte(image[at : at + SECTOR_BYTES]) > _RANDOM_BITS for at in sampled)
    return bool(sampled) and random >= _RANDOM_SHARE * len(sampled)


def _bits_a_byte(data: bytes) -> float:
    """Shannon entropy of the bytes, 0 to 8 bits."""
    return -sum(n / len(data) * math.log2(n / len(data)) for n in Counter(data).values())


def _read_again() -> str:
    return say(
        "đọc lại: esptool read_flash 0 0x400000 flash.bin (16 MiB: 0x1000000)",
        "read it again: esptool read_flash 0 0x400000 flash.bin (16 MiB: 0x1000000)",
    )


def _cut_short(what: str) -> UserError:
    return UserError(say("ảnh bị cắt cụt: ", "the dump is cut short: ") + what, hint=_read_again())
