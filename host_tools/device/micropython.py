"""A MicroPython download for an ESP32: is it whole, for which chip, which version; and its parts for our own partition map."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from host_tools.build.partitions import TABLE_BYTES, TABLE_OFFSET, TYPE_APP, decode_table
from host_tools.errors import UserError
from host_tools.text import say

OLDEST = (1, 24)
# The first version whose PPP keeps a modem's link (docs of the project: cellular).
OLDEST_CELLULAR = (1, 27)
# esp_chip_id_t of ESP-IDF, and where each chip's ROM looks for the boot loader.
_CHIPS = {0: ("esp32", 0x1000), 9: ("esp32s3", 0x0)}
_IMAGE_MAGIC = 0xE9
_HEADER_BYTES = 24
_CHIP_ID_OFFSET = 12
_HASH_APPENDED_OFFSET = 23
_DESCRIPTOR_OFFSET = 0x20
_DESCRIPTOR_MAGIC = 0xABCD5432
_DESCRIPTOR = struct.Struct("<II8s32s32s")  # esp_app_desc_t: magic, secure version, reserved, version, project
_SHA_BYTES = 32


@dataclass(frozen=True)
class MicroPython:
    """A download taken apart: `boot` goes to `boot_offset`, `app` to the factory partition; `version` (major, minor)."""

    chip: str
    version: tuple[int, int]
    version_text: str
    boot_offset: int
    boot: bytes = field(repr=False)
    app: bytes = field(repr=False)


def load(path: Path) -> MicroPython:
    """Take a .bin apart; UserError says what it is not. What counts is the image's own header and descriptor, not its
    name (ESP-IDF: App Image Format)."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            say(f"không đọc được {path}: {error.strerror}", f"cannot read {path}: {error.strerror}"),
            hint=say("xem lại --micropython", "check the path given to --micropython"),
        ) from None
    return parse(data, str(path))


def parse(data: bytes, name: str) -> MicroPython:
    """`load` from bytes; `name` is for the errors."""

    def wrong(vi: str, en: str) -> UserError:
        return UserError(
            say(f"{name}: {vi}", f"{name}: {en}"),
            hint=say(
                "tải tệp .bin đầy đủ cho ESP32_GENERIC ở micropython.org/download",
                "download the full .bin for ESP32_GENERIC at micropython.org/download",
            ),
        )

    if len(data) < _HEADER_BYTES or data[0] != _IMAGE_MAGIC:
        raise wrong("không phải ảnh của ESP32", "not an image for an ESP32")
    chip_id = struct.unpack_from("<H", data, _CHIP_ID_OFFSET)[0]
    if chip_id not in _CHIPS:
        raise wrong(f"cho chip khác (mã {chip_id})", f"for another chip (id {chip_id})")
    chip, boot_offset = _CHIPS[chip_id]
    table = data[TABLE_OFFSET - boot_offset :][:TABLE_BYTES]
    try:
        app_part = next(part for part in decode_table(table) if part.type == TYPE_APP)
    except (UserError, StopIteration):
        raise wrong("không có bảng phân vùng (chỉ là .app-bin?)", "no partition table in it (an .app-bin alone?)") from None
    app = data[app_part.offset - boot_offset :]
    if _image_bytes(data) is None or (length := _image_bytes(app)) is None:
        raise wrong("không nguyên vẹn: tải thiếu?", "not whole: cut short while downloading?")
    if struct.unpack_from("<H", app, _CHIP_ID_OFFSET)[0] != chip_id:
        raise wrong("bộ nạp và chương trình cho hai chip khác nhau", "boot loader and application are for two chips")
    magic, _, _, version, project = _DESCRIPTOR.unpack_from(app, _DESCRIPTOR_OFFSET)
    project_text, version_text = (text.rstrip(b"\0").decode("ascii", "replace") for text in (project, version))
    if magic != _DESCRIPTOR_MAGIC or project_text != "micropython":
        raise wrong("không phải MicroPython", "not MicroPython")
    found = re.match(r"v?(\d+)\.(\d+)", version_text)
    if found is None:
        raise wrong(f"không rõ phiên bản ('{version_text}')", f"of no version that can be read ('{version_text}')")
    boot = data[: TABLE_OFFSET - boot_offset].rstrip(b"\xff")
    boot += b"\xff" * (-len(boot) % 16)
    return MicroPython(chip, (int(found[1]), int(found[2])), version_text, boot_offset, boot, app[:length])


def app_version(header: bytes) -> str | None:
    """The version in the first bytes of an application as they lie in flash, None where there is none."""
    if len(header) < _DESCRIPTOR_OFFSET + _DESCRIPTOR.size or header[0] != _IMAGE_MAGIC:
        return None
    magic, _, _, version, project = _DESCRIPTOR.unpack_from(header, _DESCRIPTOR_OFFSET)
    if magic != _DESCRIPTOR_MAGIC:
        return None
    return " ".join(text.rstrip(b"\0").decode("ascii", "replace") for text in (project, version))


def _image_bytes(data: bytes) -> int | None:
    """The length of the image that `data` begins with, None if it is cut short or its SHA-256 does not hold."""
    if len(data) < _HEADER_BYTES or data[0] != _IMAGE_MAGIC:
        return None
    at = _HEADER_BYTES
    for _ in range(data[1]):
        if at + 8 > len(data):
            return None
        at += 8 + struct.unpack_from("<I", data, at + 4)[0]
    end = (at // 16 + 1) * 16  # the checksum is the last byte of its 16
    if data[_HASH_APPENDED_OFFSET] != 1:
        return end if end <= len(data) else None
    digest = data[end : end + _SHA_BYTES]
    return end + _SHA_BYTES if digest == hashlib.sha256(data[:end]).digest() else None
