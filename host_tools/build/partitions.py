"""The partition maps of the board's flash, and the ESP32's binary partition table: encode and decode."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from host_tools.errors import UserError
from host_tools.text import say

KIB = 1024
MIB = 1024 * KIB
SECTOR_BYTES = 4096

TABLE_OFFSET = 0x8000
TABLE_BYTES = 0xC00  # what the boot loader reads: 95 entries, the MD5 row, blank rows
TABLE_SECTOR_BYTES = 0x1000  # what the table occupies in flash

TYPE_APP = 0x00
TYPE_DATA = 0x01

SUBTYPE_APP_FACTORY = 0x00
SUBTYPE_DATA_PHY = 0x01
SUBTYPE_DATA_NVS = 0x02
# MicroPython finds its file system by the label `vfs`; 0x81 (FAT) is the subtype that its stock table gives it.
SUBTYPE_DATA_VFS = 0x81
# Chốt's own. ESP-IDF gives 0x00-0x06 and 0x80-0x83 of the data type a meaning; 0x40 on is far from both.
SUBTYPE_DATA_IDENTITY = 0x40
SUBTYPE_DATA_LISTS = 0x41
SUBTYPE_DATA_JOURNAL = 0x42

_ENTRY = struct.Struct("<2sBBII16sI")  # magic, type, subtype, offset, size, label, flags
_ENTRY_MAGIC = b"\xaa\x50"
_MD5_PREFIX = b"\xeb\xeb" + b"\xff" * 14
_APP_ALIGNMENT_BYTES = 0x10000
_LABEL_BYTES = 16


@dataclass(frozen=True)
class Partition:
    """A stretch of flash: `offset` and `size` in bytes, `type` and `subtype` as in the ESP32's table."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + self.size


def _map(vfs_kib: int, lists_kib: int, journal_kib: int) -> tuple[Partition, ...]:
    """A map that differs from the others only in its last three sizes."""
    vfs = Partition("vfs", TYPE_DATA, SUBTYPE_DATA_VFS, 0x202000, vfs_kib * KIB)
    lists = Partition("lists", TYPE_DATA, SUBTYPE_DATA_LISTS, vfs.end, lists_kib * KIB)
    return (
        Partition("nvs", TYPE_DATA, SUBTYPE_DATA_NVS, 0x9000, 0x6000),
        Partition("phy_init", TYPE_DATA, SUBTYPE_DATA_PHY, 0xF000, 0x1000),
        Partition("factory", TYPE_APP, SUBTYPE_APP_FACTORY, 0x10000, 0x1F0000),
        Partition("identity", TYPE_DATA, SUBTYPE_DATA_IDENTITY, 0x200000, 2 * SECTOR_BYTES),
        vfs,
        lists,
        Partition("journal", TYPE_DATA, SUBTYPE_DATA_JOURNAL, lists.end, journal_kib * KIB),
    )


PARTITION_MAPS: dict[int, tuple[Partition, ...]] = {
    4 * MIB: _map(vfs_kib=504, lists_kib=256, journal_kib=1280),
    16 * MIB: _map(vfs_kib=2040, lists_kib=4096, journal_kib=8192),
}


def partition_map(flash_size: int) -> tuple[Partition, ...]:
    """The map for a flash of `flash_size` bytes; UserError for a size that has none."""
    if flash_size not in PARTITION_MAPS:
        sizes = ", ".join(f"{size // MIB} MiB" for size in sorted(PARTITION_MAPS))
        raise UserError(
            say(f"không có bản đồ cho flash {flash_size} byte", f"no partition map for {flash_size} bytes of flash"),
            hint=say("có: ", "there is: ") + sizes,
        )
    return PARTITION_MAPS[flash_size]


def find(partitions: tuple[Partition, ...] | list[Partition], label: str) -> Partition:
    """The partition with that label; UserError if there is none."""
    for partition in partitions:
        if partition.label == label:
            return partition
    raise UserError(say(f"không có phân vùng '{label}'", f"no partition '{label}'"))


def encode_table(partitions: tuple[Partition, ...] | list[Partition]) -> bytes:
    """The table as it lies at TABLE_OFFSET, TABLE_BYTES long; UserError when the map does not check."""
    _check(partitions)
    rows = b"".join(
        _ENTRY.pack(
            _ENTRY_MAGIC,
            part.type,
            part.subtype,
            part.offset,
            part.size,
            part.label.encode("ascii").ljust(_LABEL_BYTES, b"\0"),
            0,
        )
        for part in partitions
    )
    table = rows + _MD5_PREFIX + hashlib.md5(rows, usedforsecurity=False).digest()
    if len(table) > TABLE_BYTES - _ENTRY.size:  # a blank row must end it
        raise _bad(f"{len(partitions)} mục là quá nhiều", f"{len(partitions)} entries are too many")
    return table.ljust(TABLE_BYTES, b"\xff")


def decode_table(table: bytes) -> list[Partition]:
    """The partitions of a table (at least its used rows; the rest may be cut off); UserError when it does not check.

    The MD5 row must be there and right, as the boot loader of every current ESP-IDF wants it.
    """
    partitions: list[Partition] = []
    for start in range(0, min(len(table), TABLE_BYTES), _ENTRY.size):
        row = table[start : start + _ENTRY.size]
        if len(row) < _ENTRY.size:
            break
        if row.startswith(_MD5_PREFIX):
            if row[16:] != hashlib.md5(table[:start], usedforsecurity=False).digest():
                raise _bad("MD5 không khớp", "its MD5 does not match")
            if table[start + _ENTRY.size : TABLE_BYTES].strip(b"\xff"):
                raise _bad("có dữ liệu sau hàng MD5", "there is something after the MD5 row")
            _check(partitions)
            return partitions
        magic, kind, subtype, offset, size, label, _flags = _ENTRY.unpack(row)
        if magic != _ENTRY_MAGIC:
            raise _bad(f"hàng {start // 32} không phải một mục", f"row {start // 32} is not an entry")
        name = label.rstrip(b"\0")
        if not name.isascii() or not name.decode("ascii").isprintable():
            raise _bad(f"hàng {start // 32}: nhãn hỏng", f"row {start // 32}: the label is damaged")
        partitions.append(Partition(name.decode("ascii"), kind, subtype, offset, size))
    raise _bad("thiếu hàng MD5", "the MD5 row is missing")


def _check(partitions: tuple[Partition, ...] | list[Partition]) -> None:
    """The rules of ESP-IDF's own generator: labels, alignment, nothing over the boot loader, no overlap."""
    if not partitions:
        raise _bad("trống", "it is empty")
    seen: set[str] = set()
    end = TABLE_OFFSET + TABLE_SECTOR_BYTES
    for part in sorted(partitions, key=lambda one: one.offset):
        name = part.label
        if not name or not name.isascii() or not name.isprintable() or len(name) > _LABEL_BYTES - 1 or name in seen:
            raise _bad(f"nhãn '{name}' sai hoặc trùng", f"label '{name}' is wrong or met twice")
        seen.add(name)
        if not (0 <= part.type <= 0xFE and 0 <= part.subtype <= 0xFE):
            raise _bad(f"'{name}': sai loại", f"'{name}': type or subtype out of range")
        alignment = _APP_ALIGNMENT_BYTES if part.type == TYPE_APP else SECTOR_BYTES
        if part.offset % alignment or part.size % SECTOR_BYTES or part.size <= 0:
            raise _bad(f"'{name}': không thẳng hàng", f"'{name}': offset or size is not aligned")
        if part.offset < end:
            raise _bad(f"'{name}': chồng lên phần trước", f"'{name}': overlaps what lies before it")
        if part.end > 0xFFFFFFFF:
            raise _bad(f"'{name}': vượt quá 4 GiB", f"'{name}': ends beyond 4 GiB")
        end = part.end


def _bad(vi: str, en: str) -> UserError:
    return UserError(
        say(f"bảng phân vùng: {vi}", f"partition table: {en}"),
        hint=say("ảnh flash hỏng hoặc không do 'chot build' tạo", "the image is damaged, or not made by 'chot build'"),
    )
