"""Unmodified mpremote against the virtual board's MicroPython: raw REPL and raw paste, files, soft reboot, Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial
from real_tools import tool

from host_tools.build.image import make_filesystem
from host_tools.build.partitions import MIB, TABLE_OFFSET, encode_table, find, partition_map
from host_tools.simulator.usb_board import UsbBoard
from tests.micropython_bin import micropython_bin

MAIN = """
import time
print("hello from main")
while True:
    time.sleep_ms(50)
"""


def plug(board: UsbBoard, **files: str) -> UsbBoard:
    """Flash a board by hand: a MicroPython, the table, and these files (name without .py)."""
    partitions = partition_map(4 * MIB)
    image = bytearray(b"\xff" * (4 * MIB))
    micropython = micropython_bin()
    image[0x1000 : 0x1000 + len(micropython)] = micropython
    table = encode_table(partitions)
    image[TABLE_OFFSET : TABLE_OFFSET + len(table)] = table
    vfs = find(partitions, "vfs")
    image[vfs.offset : vfs.end] = make_filesystem({f"{name}.py": text.encode() for name, text in files.items()}, vfs.size)

    def write() -> None:
        board.path.write_bytes(image)
        board._start()

    board.do(write)
    deadline = time.monotonic() + 10
    while not board.board.console() and time.monotonic() < deadline:
        time.sleep(0.01)
    return board


def until(port: serial.Serial, mark: bytes) -> bytes:
    """What comes up to that mark; fails if it does not come."""
    port.timeout = 10
    seen = bytes(port.read_until(mark))
    assert seen.endswith(mark), seen
    return seen


def test_mpremote_copies_files_and_runs_code(usb: Callable[..., UsbBoard], tmp_path: Path) -> None:
    board = plug(usb())
    text = "Chốt đọc thẻ\n" * 1500
    (tmp_path / "there.txt").write_text(text)
    connect = ("connect", board.url)
    done = tool("mpremote", *connect, "cp", tmp_path / "there.txt", ":there.txt", "+", "ls")
    assert done.returncode == 0 and f"{len(text.encode())} there.txt" in done.stdout, done.stdout + done.stderr
    done = tool("mpremote", *connect, "cp", ":there.txt", tmp_path / "back.txt")
    assert done.returncode == 0 and (tmp_path / "back.txt").read_text() == text
    done = tool("mpremote", *connect, "exec", "import os, machine; print(os.uname()[0], machine.unique_id().hex())")
    assert done.stdout.split() == ["esp32", "24a160112233"]
    done = tool("mpremote", *connect, "exec", "1/0")
    assert done.returncode == 1 and "ZeroDivisionError" in done.stdout
    assert not board.flash.violations


def test_what_lives_in_ram_goes_with_a_soft_reboot_and_files_stay(usb: Callable[..., UsbBoard]) -> None:
    board = plug(usb(), boot="print('boot runs')")
    connect = ("connect", board.url)
    assert tool("mpremote", *connect, "exec", "a = 5; open('kept', 'w').write('x')").returncode == 0
    assert tool("mpremote", *connect, "resume", "exec", "print(a)").stdout.strip() == "5"
    done = tool("mpremote", *connect, "soft-reset", "exec", "import os; print('kept' in os.listdir(), 'a' in globals())")
    assert done.stdout.split() == ["True", "False"], done.stdout + done.stderr


def test_a_soft_reboot_in_raw_mode_runs_boot_and_not_main(usb: Callable[..., UsbBoard]) -> None:
    board = plug(usb(), boot="print('boot runs')", main=MAIN)
    with serial.serial_for_url(board.url, 115200) as port:
        port.write(b"\x03")
        assert b"KeyboardInterrupt" in until(port, b">>> ")
        port.write(b"\r\x01")
        until(port, b"raw REPL; CTRL-B to exit\r\n>")
        port.write(b"\x04")
        seen = until(port, b"raw REPL; CTRL-B to exit\r\n>")
        assert b"soft reboot\r\n" in seen and b"boot runs\r\n" in seen and b"hello" not in seen
        port.write(b"\x02\x04")
        assert b"boot runs" in until(port, b"hello from main\r\n")


def test_the_prompt_runs_lines_and_blocks(usb: Callable[..., UsbBoard]) -> None:
    board = plug(usb())
    with serial.serial_for_url(board.url, 115200) as port:
        port.write(b"\r")
        until(port, b">>> ")
        port.write(b"6*x\x7f7\r")
        until(port, b"\r\n42\r\n>>> ")  # what the first line had still to say may come before it
        port.write(b"for i in range(2):\r  print('n', i)\r\r")
        until(port, b"n 0\r\nn 1\r\n>>> ")
        port.write(b"never finished\x03")
        until(port, b"\r\n>>> ")


def test_raw_paste_keeps_to_its_windows(usb: Callable[..., UsbBoard]) -> None:
    board = plug(usb())
    with serial.serial_for_url(board.url, 115200) as port:
        port.write(b"\r\x01")
        until(port, b"raw REPL; CTRL-B to exit\r\n>")
        port.write(b"\x05A\x01")
        assert port.read(5) == b"R\x01\x80\x00\x01"
        source = b"x = 1\n" * 50 + b"print('pasted', x)\n"
        window, at, granted = 128, 0, 128
        while at < len(source):
            part = source[at : at + min(granted, window)]
            port.write(part)
            at += len(part)
            granted -= len(part)
            if not granted and at < len(source):
                assert port.read(1) == b"\x01"
                granted += window
        port.write(b"\x04")
        seen = until(port, b"\x04\x04>")
        assert seen.lstrip(b"\x01") == b"\x04pasted 1\r\n\x04\x04>"
        # Given up with Ctrl-C, nothing of it runs.
        port.write(b"\x05A\x01print('never')\x03")
        assert b"never" not in until(port, b"\x04\x04>").replace(b"R\x01\x80\x00\x01", b"")


def test_ctrl_c_ends_what_runs_and_the_prompt_comes_back(usb: Callable[..., UsbBoard]) -> None:
    board = plug(usb())
    with serial.serial_for_url(board.url, 115200) as port:
        port.write(b"\rimport time\rtime.sleep(1000)\r")
        until(port, b"time.sleep(1000)\r\n")
        time.sleep(0.1)
        port.write(b"\x03")
        assert b"KeyboardInterrupt" in until(port, b">>> ")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ((0x1000, b"\xff"), b"invalid header: 0x"),
        ((0x8000, b"\0"), b"partition table is not valid"),
        ((0x10020, b"\0"), b"No bootable app"),
        ((0x100C, b"\x09"), b"This chip is not the one"),
    ],
)
def test_what_cannot_boot_says_so_and_tries_again(
    spoil: tuple[int, bytes], says: bytes, usb: Callable[..., UsbBoard]
) -> None:
    board = plug(usb(), main=MAIN)

    def break_it() -> None:
        with board.path.open("r+b") as file:
            file.seek(spoil[0])
            file.write(spoil[1])
        board._start()

    with serial.serial_for_url(board.url, 115200) as port:
        board.do(break_it)
        for _ in range(2):
            until(port, b"rst:0x1")
            assert says in until(port, b"\r\n") + until(port, b"\r\n")
