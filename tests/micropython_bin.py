"""Makes what stands in for a MicroPython download: true headers, checksums and descriptor; no code. It runs nowhere."""

from __future__ import annotations

import hashlib
import random
import struct

from host_tools.build.partitions import TABLE_BYTES, TYPE_APP, TYPE_DATA, Partition, encode_table

BOOT_OFFSETS = {"esp32": 0x1000, "esp32s3": 0x0}
CHIP_IDS = {"esp32": 0, "esp32s3": 9}
# DROM and IRAM of each chip: where an image's segments may lie (esptool's MEMORY_MAP).
_DATA_ADDRESS = {"esp32": 0x3F400020, "esp32s3": 0x3C000020}
_CODE_ADDRESS = {"esp32": 0x40080000, "esp32s3": 0x40374000}
_TABLE, _APP = 0x8000, 0x10000


def image(chip: str, segments: list[tuple[int, bytes]], flash_size_code: int = 2) -> bytes:
    """An ESP image (ESP-IDF, App Image Format) with its checksum and SHA-256."""
    head = struct.pack("<BBBBI", 0xE9, len(segments), 2, flash_size_code << 4, 0x40080000)
    head += struct.pack("<B3sHBHH4sB", 0xEE, b"\0\0\0", CHIP_IDS[chip], 0, 0, 0xFFFF, b"\0\0\0\0", 1)
    body, checksum = b"", 0xEF
    for address, data in segments:
        body += struct.pack("<II", address, len(data)) + data
        for byte in data:
            checksum ^= byte
    whole = head + body
    whole += b"\0" * (15 - len(whole) % 16) + bytes((checksum,))
    return whole + hashlib.sha256(whole).digest()


def descriptor(version: str, project: str = "micropython") -> bytes:
    """esp_app_desc_t, 256 bytes."""
    return struct.pack(
        "<II8s32s32s16s16s32s32s80s",
        0xABCD5432, 0, b"", version.encode(), project.encode(), b"12:00:00", b"Nov  2 2024", b"v5.2.2", b"", b"",
    )  # fmt: skip


def micropython_bin(chip: str = "esp32", version: str = "v1.24.1", app_kib: int = 96, project: str = "micropython") -> bytes:
    """A download as micropython.org has them: boot loader, stock partition table, application."""
    rng = random.Random(chip + version)
    boot = image(chip, [(_CODE_ADDRESS[chip], rng.randbytes(4096))])
    app = image(
        chip,
        [
            (_DATA_ADDRESS[chip], descriptor(version, project) + rng.randbytes(1024)),
            (_CODE_ADDRESS[chip], rng.randbytes(app_kib * 512) + b"\0" * (app_kib * 512)),
        ],
    )
    stock = encode_table(
        [
            Partition("nvs", TYPE_DATA, 2, 0x9000, 0x6000),
            Partition("phy_init", TYPE_DATA, 1, 0xF000, 0x1000),
            Partition("factory", TYPE_APP, 0, 0x10000, 0x1F0000),
            Partition("vfs", TYPE_DATA, 0x81, 0x200000, 0x200000),
        ]
    )
    assert len(stock) == TABLE_BYTES
    start = BOOT_OFFSETS[chip]
    whole = boot.ljust(_TABLE - start, b"\xff") + stock
    return whole.ljust(_APP - start, b"\xff") + app
