"""Unmodified esptool against the virtual board's loader: identifies, writes, verifies, reads, erases, fails as on a desk."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from real_tools import MAC, tool

from host_tools.simulator.chips import ESP32_S3
from host_tools.simulator.rom_loader import SYNC_FRAME, RomLoader, slip
from host_tools.simulator.usb_board import UsbBoard
from tests.micropython_bin import micropython_bin


def test_identifies_an_esp32(usb: Callable[..., UsbBoard]) -> None:
    done = tool("esptool", "--port", usb().url, "flash-id")
    assert done.returncode == 0, done.stdout
    for line in ("ESP32-D0WD-V3 (revision v3.0)", "24:a1:60:11:22:33", "Stub flasher running", "size: 4MB"):
        assert line in done.stdout


def test_identifies_an_s3(usb: Callable[..., UsbBoard]) -> None:
    done = tool("esptool", "--port", usb(chip=ESP32_S3, flash_bytes=16 << 20).url, "flash-id")
    assert done.returncode == 0, done.stdout
    for line in ("ESP32-S3 (QFN56)", "24:a1:60:11:22:33", "size: 16MB"):
        assert line in done.stdout


@pytest.mark.parametrize("stub", [True, False])
def test_writes_verifies_reads_erases(stub: bool, usb: Callable[..., UsbBoard], tmp_path: Path) -> None:
    board = usb()
    port = ["--port", board.url] if stub else ["--port", board.url, "--no-stub"]
    content = random.Random(1).randbytes(9_000 if stub else 3_000) + b"\xc0\xdb\xdd\xdc" * 256
    (tmp_path / "data").write_bytes(content)
    done = tool("esptool", *port, "write-flash", "0x20000", tmp_path / "data")
    assert done.returncode == 0 and "Hash of data verified" in done.stdout, done.stdout
    assert board.flash.cells(0x20000, len(content)) == content
    assert tool("esptool", *port, "verify-flash", "0x20000", tmp_path / "data").returncode == 0
    done = tool("esptool", *port, "read-flash", "0x20000", str(len(content)), tmp_path / "back")
    assert done.returncode == 0 and (tmp_path / "back").read_bytes() == content, done.stdout
    if stub:
        assert tool("esptool", *port, "erase-region", "0x20000", "0x1000").returncode == 0
        assert board.flash.cells(0x20000, 0x1000) == b"\xff" * 0x1000
        assert board.flash.cells(0x21000, 16) == content[0x1000:0x1010]
        assert tool("esptool", *port, "erase-flash").returncode == 0
        assert set(board.flash.dump()) == {0xFF}
    assert not board.flash.violations


def test_cells_that_do_not_take_end_in_a_wrong_md5(usb: Callable[..., UsbBoard], tmp_path: Path) -> None:
    board = usb()
    board.flash.fails_silently = lambda operation: operation.address <= 0x21000 < operation.address + operation.size
    (tmp_path / "data").write_bytes(bytes(0x4000))
    done = tool("esptool", "--port", board.url, "write-flash", "0x20000", tmp_path / "data")
    assert done.returncode == 2
    assert "MD5 of file does not match data in flash" in done.stdout + done.stderr


def test_an_s3_image_on_an_esp32_is_refused(usb: Callable[..., UsbBoard], tmp_path: Path) -> None:
    board = usb()
    (tmp_path / "s3.bin").write_bytes(micropython_bin("esp32s3"))
    done = tool("esptool", "--port", board.url, "write-flash", "0x1000", tmp_path / "s3.bin")
    assert done.returncode == 2
    assert "is not an ESP32 image" in done.stdout + done.stderr
    assert set(board.flash.dump()) == {0xFF}


def test_more_than_a_flash_of_2_mib_is_refused(usb: Callable[..., UsbBoard], tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(0x1000))
    done = tool("esptool", "--port", usb(flash_bytes=2 << 20).url, "write-flash", "0x200000", tmp_path / "data")
    assert done.returncode == 2
    assert "will not fit in 2097152 bytes of flash" in done.stdout + done.stderr


def test_a_cut_cable_ends_esptool(usb: Callable[..., UsbBoard], tmp_path: Path) -> None:
    board = usb()
    (tmp_path / "data").write_bytes(random.Random(2).randbytes(1 << 20))
    programs = board.flash

    def cut_in_the_middle() -> None:
        while programs.counts.programmed_bytes < 100_000:
            time.sleep(0.005)
        board.unplug()

    cutter = threading.Thread(target=cut_in_the_middle)
    cutter.start()
    # esptool waits ten times for the port to come back, a second each: no need to see all of it.
    command = [str(Path(sys.executable).with_name("esptool")), "--port", board.url]
    process = subprocess.Popen(
        [*command, "write-flash", "0x20000", str(tmp_path / "data")], stdout=subprocess.PIPE, text=True
    )
    cutter.join(timeout=30)
    seen = ""
    assert process.stdout is not None
    while "Lost connection" not in seen and (line := process.stdout.readline()):
        seen += line
    process.kill()
    process.wait()
    process.stdout.close()
    assert "Lost connection, retrying" in seen
    assert 0 < programs.counts.programmed_bytes < 1 << 20


def test_the_reset_lines_lead_into_the_loader_and_out(usb: Callable[..., UsbBoard]) -> None:
    board = usb(lines=True)
    done = tool("esptool", "--chip", "esp32", "--no-stub", "--port", board.url + "?ign_set_control", "read-mac")
    assert done.returncode == 0 and "24:a1:60:11:22:33" in done.stdout, done.stdout
    assert "Hard resetting via RTS pin" in done.stdout
    deadline = time.monotonic() + 5
    while board.in_loader and time.monotonic() < deadline:
        time.sleep(0.01)
    assert board.resets == 2 and not board.in_loader


def test_closing_a_pty_leaves_the_loader(usb: Callable[..., UsbBoard]) -> None:
    board = usb()
    assert tool("esptool", "--port", board.url, "read-mac").returncode == 0
    deadline = time.monotonic() + 5
    while board.in_loader and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not board.in_loader


@pytest.mark.parametrize("stub", [False, True])
def test_a_block_with_a_wrong_checksum_is_not_programmed(stub: bool, usb: Callable[..., UsbBoard]) -> None:
    board = usb()

    def send() -> list[bytes]:
        loader = RomLoader(board.chip, MAC, board.flash, lambda: None)
        loader.stub = stub
        begin = struct.pack("<IIII", 16, 1, 16, 0x20000)
        block = struct.pack("<IIII", 16, 0, 0, 0) + bytes(range(16))
        said = [loader.feed(slip(struct.pack("<BBHI", 0, 2, len(begin), 0) + begin))]
        for checksum in (0xEE, 0xEF):  # the XOR of 0 to 15 is 0
            said.append(loader.feed(slip(struct.pack("<BBHI", 0, 3, len(block), checksum) + block)))
        return said

    begun, refused, taken = board.do(send)
    assert begun[9:11] == taken[9:11] == b"\0\0"
    assert refused[9:11] == (b"\x01\xc1" if stub else b"\x01\x07")
    assert board.flash.cells(0x20000, 16) == bytes(range(16)) and board.flash.counts.programs == 1


def test_garbage_and_broken_frames_are_answered_or_dropped(usb: Callable[..., UsbBoard]) -> None:
    """Every prefix, every flipped byte of a command: the loader answers or is silent, and still works afterwards."""
    board = usb()
    rng = random.Random(3)

    def abuse() -> RomLoader:
        loader = RomLoader(board.chip, MAC, board.flash, lambda: None)
        for _ in range(2_000):
            frame = bytearray(SYNC_FRAME if rng.random() < 0.5 else slip(rng.randbytes(rng.randrange(40))))
            frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
            loader.feed(bytes(frame[: rng.randrange(len(frame) + 1)]))
        for command in range(256):
            loader.feed(slip(bytes((0, command)) + (8).to_bytes(2, "little") + bytes(4) + rng.randbytes(8)))
        return loader

    loader = board.do(abuse)
    assert loader.feed(b"\xc0" + SYNC_FRAME).count(b"\xc0\x01\x08") == 8
