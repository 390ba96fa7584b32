"""Puts a whole flash image together: partition table, identity, file system, lists if there are some, a blank journal."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import littlefs

from host_tools.build.bundle import compile_bundle
from host_tools.build.identity import Identity, encode_partition
from host_tools.build.partitions import MIB, SECTOR_BYTES, TABLE_OFFSET, Partition, encode_table, find, partition_map
from host_tools.errors import UserError
from host_tools.formats import lists as list_format
from host_tools.text import say

CONFIG_PATH = "config.json"
CONFIG_MAX_BYTES = 4096

# The sizes with which MicroPython's VfsLfs2 makes and mounts a file system when nobody says otherwise
# (extmod/vfs_lfs.c), so that the image is laid out as the board itself would do it.
_READ_BYTES = 32
_PROGRAM_BYTES = 32
_LOOKAHEAD_BYTES = 32
_CACHE_BYTES = 4 * _READ_BYTES
_BLOCK_CYCLES = 100
_DISK_VERSION = 0x00020001  # littlefs 2.1, which every MicroPython since 1.21 writes

_SECRET_MEMBERS = ("device_key", "list_key", "collector_private")


def build_image(
    *,
    firmware_dir: Path,
    board: str,
    config: dict[str, Any],
    identity: Identity,
    flash_size: int = 4 * MIB,
    lists: bytes | None = None,
) -> bytes:
    """The whole flash, `flash_size` bytes; the same inputs give the same bytes.

    What is not written here stays 0xFF: the boot loader and MicroPython's own image go in when the board is flashed;
    nvs, phy_init and journal start blank, and so does the lists partition where no list file (`lists`) is given.
    UserError when an input is wrong or does not fit.
    """
    return assemble(compile_bundle(firmware_dir, board), config, identity, flash_size, lists)


def assemble(
    bundle: dict[str, bytes], config: dict[str, Any], identity: Identity, flash_size: int, lists: bytes | None = None
) -> bytes:
    """`build_image` from files that are compiled already."""
    files = {**bundle, CONFIG_PATH: encode_config(config)}
    partitions = partition_map(flash_size)
    vfs = find(partitions, "vfs")
    image = bytearray(b"\xff" * flash_size)
    contents = [
        (TABLE_OFFSET, encode_table(partitions)),
        (find(partitions, "identity").offset, encode_partition(identity)),
        (vfs.offset, make_filesystem(files, vfs.size)),
    ]
    if lists is not None:
        partition = find(partitions, "lists")
        contents.append((partition.offset, place_lists(lists, identity, partition.size)))
    for offset, content in contents:
        image[offset : offset + len(content)] = content
    return bytes(image)


def encode_config(config: Any) -> bytes:
    """config.json as the board gets it: compact, in the given order. The firmware's own schema judges the values;
    here UserError stops only what could never be a config: not an object, no version, a key, too long."""
    if not isinstance(config, dict):
        raise _bad_config("không phải đối tượng JSON", "not a JSON object")
    version = config.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise _bad_config("'version' phải là số nguyên từ 1", "'version' must be an integer from 1")
    for name in _SECRET_MEMBERS:
        if name in config:
            raise _bad_config(f"'{name}' thuộc về tệp danh tính", f"'{name}' belongs in the identity file")
    try:
        text = json.dumps(config, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:
        raise _bad_config(str(error), str(error)) from None
    if len(text) > CONFIG_MAX_BYTES:
        raise _bad_config(f"dài {len(text)} byte", f"{len(text)} bytes, at most {CONFIG_MAX_BYTES}")
    return text


def make_filesystem(files: dict[str, bytes], size: int) -> bytes:
    """A littlefs of `size` bytes that holds `files` (path with "/" -> bytes); UserError when they do not fit."""
    filesystem = littlefs.LittleFS(
        block_size=SECTOR_BYTES,
        block_count=size // SECTOR_BYTES,
        read_size=_READ_BYTES,
        prog_size=_PROGRAM_BYTES,
        cache_size=_CACHE_BYTES,
        lookahead_size=_LOOKAHEAD_BYTES,
        block_cycles=_BLOCK_CYCLES,
        disk_version=_DISK_VERSION,
    )
    try:
        for path in sorted(files):
            parent = PurePosixPath(path).parent
            if parent != PurePosixPath("."):
                filesystem.makedirs(str(parent), exist_ok=True)
            with filesystem.open(path, "wb") as file:
                file.write(files[path])
    except littlefs.LittleFSError as error:
        raise UserError(
            say(f"hệ tệp {size} byte không chứa hết: {error}", f"a file system of {size} bytes is too small: {error}"),
            hint=say("bớt firmware hoặc dùng flash lớn hơn", "make the firmware smaller or take a larger flash"),
        ) from None
    return bytes(filesystem.context.buffer)


def place_lists(file: bytes, identity: Identity, size: int) -> bytes:
    """A lists partition with this list file in its first half; UserError when this board could not use it."""
    try:
        made = list_format.decode(file)
        if made.key_name != list_format.key_name(identity.list_key):
            raise list_format.ListFormatError(
                "khoá danh sách khác với khoá của bo mạch", "made with another list key than this board's"
            )
        return list_format.encode_partition(file, size)
    except list_format.ListFormatError as error:
        raise UserError(
            say(f"danh sách: {error}", f"lists: {error}"),
            hint=say(
                "tạo lại bằng 'chot lists' với danh tính của bo mạch này, hoặc dùng flash lớn hơn",
                "make it with 'chot lists' and this board's identity, or take a larger flash",
            ),
        ) from None


def used_bytes(image: bytes, partition: Partition) -> int:
    """How much of a partition is taken in an image: its sectors that are not blank, in bytes."""
    blank = b"\xff" * SECTOR_BYTES
    starts = range(partition.offset, partition.end, SECTOR_BYTES)
    return sum(SECTOR_BYTES for start in starts if image[start : start + SECTOR_BYTES] != blank)


def _bad_config(vi: str, en: str) -> UserError:
    return UserError(
        say(f"cấu hình: {vi}", f"config: {en}"),
        hint=say("ví dụ: ", "for example: ") + '{"version":1,"wifi":[{"ssid":"cho-dong-ba","password":"..."}]}',
    )
