"""A board in its loader, by esptool's own functions: what it is, and its flash read, written, erased, summed."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import serial
from esptool.cmds import attach_flash, detect_chip, detect_flash_size, run_stub, write_flash
from esptool.loader import ESPLoader
from esptool.logger import TemplateLogger, log
from esptool.reset import ResetStrategy
from esptool.util import FatalError, flash_size_bytes

from host_tools.device.ports import trouble
from host_tools.errors import EXIT_DEVICE, UserError
from host_tools.text import say

# What the USB bridges of devkits (CP2102, CH340) do without errors; esptool's own default is a quarter of it.
BAUD = 460_800
# Reset lines are tried so often: a board that needs more has no data wires, or needs its BOOT button held.
_CONNECT_ATTEMPTS = 3
# A write that breaks off is told at once: the command is run again as a whole.
_WRITE_ATTEMPTS = 1
# Until a board that was let go has noticed it.
_RESTART_S = 0.1
_CHIP_NAMES = {"ESP32": "esp32", "ESP32-S3": "esp32s3"}

Progress = Callable[[int, int], None]


class _Quiet(TemplateLogger):
    """esptool's words go nowhere, its progress to `progress(done, total)` of bytes."""

    progress: Progress | None = None

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Not shown."""

    note = warning = error = stage = set_verbosity = print  # type: ignore[assignment]

    def progress_bar(
        self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
    ) -> None:
        """Tell whoever wants to know."""
        if self.progress is not None:
            self.progress(cur_iter, total_iters)


# esptool has one logger a process, and takes another but once.
_quiet = _Quiet()
log.set_logger(_quiet)
ResetStrategy.print_once = _quiet.warning  # a port without reset lines is no news: the cable or the button does it


class Board:
    """A board that is in its loader. `chip` is "esp32" or "esp32s3", `mac` its 6 bytes, `flash_bytes` its flash."""

    def __init__(self, port: str, esp: ESPLoader) -> None:
        self.port = port
        self._esp = esp
        self.chip = _CHIP_NAMES.get(esp.CHIP_NAME, esp.CHIP_NAME)
        self.description = str(esp.get_chip_description())
        self.mac = bytes(esp.read_mac())
        size = detect_flash_size(esp)
        if size is None:
            raise UserError(
                say(f"{port}: không nhận ra chip flash", f"{port}: the flash chip is not recognised"),
                hint=say("bo mạch hỏng, hoặc flash không có", "the board is defective, or has no flash"),
                exit_code=EXIT_DEVICE,
            )
        self.flash_bytes = int(flash_size_bytes(size))
        self._size_name = size
        esp.flash_set_parameters(self.flash_bytes)

    @property
    def device_id(self) -> bytes:
        """The id that enrolment gives it by custom: two zero bytes and the MAC."""
        return b"\0\0" + self.mac

    def read(self, address: int, size: int) -> bytes:
        """A stretch of its flash."""
        return bytes(self._esp.read_flash(address, size))

    def holds(self, address: int, content: bytes) -> bool:
        """Whether its flash has just this there; the board sums it up, so little goes over the wire."""
        return bool(
            self._esp.flash_md5sum(address, len(content)) == hashlib.md5(content, usedforsecurity=False).hexdigest()
        )

    def write(self, pieces: Sequence[tuple[int, bytes]], progress: Progress | None = None) -> None:
        """Write (address, bytes) in that order; each is read back by its MD5. The boot loader's header gets this flash's
        size."""
        _quiet.progress = progress
        try:
            write_flash(self._esp, list(pieces), flash_size=self._size_name, no_progress=progress is None)
        finally:
            _quiet.progress = None

    def erase(self, address: int, size: int) -> None:
        """Erase whole sectors."""
        self._esp.erase_region(address, size)

    def erase_all(self) -> None:
        """Erase the whole flash."""
        self._esp.erase_flash()


@contextmanager
def in_loader(port: str, baud: int = BAUD) -> Iterator[Board]:
    """The board at `port`, in its loader; when it is let go, however that comes about, it restarts and goes to work.
    UserError names what is wrong with the port, the cable or the chip."""
    esp: Any = None
    try:
        esp = detect_chip(port, connect_attempts=_CONNECT_ATTEMPTS)
        esp = run_stub(esp)
        esp.WRITE_FLASH_ATTEMPTS = _WRITE_ATTEMPTS
        if baud != ESPLoader.ESP_ROM_BAUD:
            esp.change_baud(baud)
        attach_flash(esp)
        yield Board(port, esp)
    except (FatalError, serial.SerialException, OSError) as error:
        raise trouble(error, port) from error
    finally:
        if esp is not None:
            with contextlib.suppress(FatalError, serial.SerialException, OSError):
                esp.hard_reset()
            with contextlib.suppress(serial.SerialException, OSError):
                esp._port.close()
            time.sleep(_RESTART_S)
