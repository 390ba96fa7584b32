"""Tiny virtual boards for tests of the simulator itself: an image with a few lines of firmware, no collector."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import littlefs

from host_tools.simulator.board_process import VirtualBoard
from host_tools.simulator.flash import Flash
from host_tools.simulator.kernel import Kernel
from host_tools.simulator.runtime import Runtime
from host_tools.simulator.uart import UartLine

VFS = (0x202000, 504 * 1024)
JOURNAL = (0x2C0000, 1280 * 1024)
_ROWS = (("vfs", 0x81, *VFS), ("journal", 0x40, *JOURNAL))


def image(**files: str) -> bytes:
    """A 4 MiB image whose file system holds `files` (path without .py -> source)."""
    flash = bytearray(b"\xff" * (4 << 20))
    at = 0x8000
    for label, subtype, offset, size in _ROWS:
        flash[at : at + 32] = struct.pack("<HBBII16sI", 0x50AA, 1, subtype, offset, size, label.encode(), 0)
        at += 32
    fs = littlefs.LittleFS(block_size=4096, block_count=VFS[1] // 4096)
    for name, source in files.items():
        if "/" in name:
            fs.makedirs("/" + name.rpartition("/")[0], exist_ok=True)
        with fs.open(f"/{name}.py", "wb") as file:
            file.write(source.encode())
    flash[VFS[0] : VFS[0] + VFS[1]] = fs.context.buffer
    return bytes(flash)


class Rig:
    """One board running `main`, with a port 1 on pins 17/16; `output` is what it printed."""

    def __init__(
        self, directory: Path, main: str, *, seed: int = 1, timing: str = "typical", drift_ppm: int = 0, **files: str
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "flash.bin"
        self.path.write_bytes(image(main=main, **files))
        self.kernel = Kernel()
        self.flash = Flash(self.path, random.Random(seed), timing=timing, journal=JOURNAL)
        self.board = VirtualBoard(
            "test",
            self.kernel,
            Runtime(directory / "rt"),
            self.flash,
            random.Random(seed + 1),
            directory / "console.log",
            mac=b"\x02\0\0\0\0\1",
            drift_ppm=drift_ppm,
        )
        board = self.board
        self.line = UartLine(
            self.kernel,
            random.Random(seed + 2),
            tx_pin=17,
            rx_pin=16,
            on_bytes=lambda count: board.notify(1, 1, count),
        )
        board.uarts[1] = self.line

    def run(self, ms: int) -> str:
        """Let `ms` of virtual time pass; everything printed since the beginning."""
        if self.board.state == "off":
            self.board.power_on()
        self.kernel.run(self.kernel.now_us + ms * 1000)
        return self.output

    @property
    def output(self) -> str:
        return self.board.console().decode()

    def close(self) -> None:
        """Stop the board."""
        self.board.close()
        self.flash.close()
