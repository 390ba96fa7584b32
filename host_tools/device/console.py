"""A board at its MicroPython console, by mpremote's own transport: brought into maintenance, asked, and sent back to work."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from host_tools.build.image import CONFIG_PATH
from host_tools.device.flashing import MADE_PATH
from host_tools.device.ports import trouble
from host_tools.errors import EXIT_DEVICE, UserError
from host_tools.text import say

BAUD = 115_200
# The app lets go of its keys, restarts and comes up in maintenance; a board that is starting up has to get there first.
_PROMPT_S = 20.0
_KNOCK_S = 3.0
_READ_S = 0.2
# A board that collects its heap or erases flash lets a sender wait; mpremote would wait for ever.
_ANSWER_S = 10.0
# What runs may print nothing for so long: on the chip a name that does not resolve stops all of Python for 10 s and more.
_SILENT_S = 30
_PROMPT = b">>> "


class Console:
    """A board in maintenance. Paths are those of its file system."""

    def __init__(self, port: str, transport: SerialTransport) -> None:
        self.port = port
        self._transport = transport

    def run(self, source: str, heard: Callable[[bytes], None] | None = None) -> str:
        """Run code on the board; what it printed. UserError with the last line of its exception."""
        printed, failure = self._transport.exec_raw(source, timeout=_SILENT_S, data_consumer=heard)
        if failure:
            last = failure.decode(errors="replace").strip().splitlines()[-1]
            raise UserError(
                say(f"{self.port}: bo mạch báo: {last}", f"{self.port}: the board says: {last}"),
                hint=say("nạp lại bằng 'chot flash'", "'chot flash' puts it right"),
                exit_code=EXIT_DEVICE,
            )
        return bytes(printed or b"").decode(errors="replace")

    def read(self, path: str) -> bytes | None:
        """A file's bytes, None if there is none."""
        return bytes(self._transport.fs_readfile(path)) if self._transport.fs_exists(path) else None

    def write(self, path: str, content: bytes) -> None:
        """Put a file there: aside first, then renamed, so a power cut leaves the old one or the new one."""
        self._transport.fs_writefile(path + ".new", content)
        self.run(f"import os\nos.rename({path + '.new'!r}, {path!r})")

    def config(self) -> dict[str, Any]:
        """The board's settings as they stand in its file; {} where there are none."""
        text = self.read(CONFIG_PATH)
        try:
            found = json.loads(text or b"{}")
        except ValueError:
            found = {}
        return found if isinstance(found, dict) else {}

    def made(self) -> dict[str, str]:
        """What `chot flash` noted: `board` and `micropython`; {} on a board that was put together otherwise."""
        text = self.read(MADE_PATH)
        return {} if text is None else dict(json.loads(text))


@contextmanager
def stays_in_maintenance(port: str) -> Iterator[None]:
    """Bring the board into maintenance and leave its port to another program; afterwards it goes back to work."""
    try:
        _with_prompt(port).close()
        try:
            yield
        finally:
            _let_go(SerialTransport(port, baudrate=BAUD, timeout=_READ_S))
    except (TransportError, serial.SerialException, OSError) as error:
        raise trouble(error, port) from error


def _with_prompt(port: str) -> SerialTransport:
    try:
        transport = SerialTransport(port, baudrate=BAUD, timeout=_READ_S)
    except TransportError:
        # mpremote does not say why; pyserial does.
        serial.serial_for_url(port, baudrate=BAUD, exclusive=True).close()
        raise
    try:
        _knock(transport, port)
    except BaseException:
        transport.close()
        raise
    return transport


@contextmanager
def in_maintenance(port: str) -> Iterator[Console]:
    """The board at `port` in maintenance (docs/keys.md): no card is scanned meanwhile. When it is let go, also by Ctrl-C,
    it restarts and goes back to work. UserError names what is wrong."""
    transport: SerialTransport | None = None
    try:
        transport = _with_prompt(port)
        transport.enter_raw_repl(soft_reset=False)
        yield Console(port, transport)
    except (TransportError, serial.SerialException, OSError) as error:
        raise trouble(error, port) from error
    finally:
        if transport is not None:
            _let_go(transport)


def _knock(transport: SerialTransport, port: str) -> None:
    """Ctrl-C until there is a prompt: it ends the app, and a program that a broken session has left behind."""
    line = transport.serial
    end = time.monotonic() + _PROMPT_S
    knock = 0.0
    seen = b""
    while not seen.endswith(_PROMPT):
        now = time.monotonic()
        if now > end:
            raise UserError(
                say(f"{port}: bo mạch không trả lời ở bàn điều khiển", f"{port}: no answer at the board's console"),
                hint=say(
                    "'chot ports' cho biết trong nó có gì; 'chot flash' nạp lại",
                    "'chot ports' says what is on it; 'chot flash' puts it right",
                ),
                exit_code=EXIT_DEVICE,
            )
        if now - knock > _KNOCK_S:
            knock = now
            line.write(b"\r\x03\x02")
        seen = (seen + line.read(max(1, line.in_waiting)))[-256:]
    # Ctrl-B has its own prompt behind the first one: nothing of it may be taken for an answer.
    while line.read(max(1, line.in_waiting)):
        pass
    line.timeout = _ANSWER_S


def _let_go(transport: SerialTransport) -> None:
    with contextlib.suppress(TransportError, serial.SerialException, OSError):
        # Whatever the board was doing: stop it, and restart the chip.
        transport.serial.write(b"\r\x03\x03\x01")
        time.sleep(_READ_S)
        transport.serial.write(b"import machine\nmachine.reset()\n\x04")
        transport.serial.flush()
        time.sleep(_READ_S)
    with contextlib.suppress(serial.SerialException, OSError):
        transport.close()


def listen(port: str, heard: Callable[[bytes], None], seconds: float | None = None) -> None:
    """Give what a board prints to `heard`, without typing anything, for so long or until Ctrl-C."""
    end = None if seconds is None else time.monotonic() + seconds
    try:
        line = serial.serial_for_url(port, do_not_open=True, baudrate=BAUD, timeout=_READ_S, exclusive=True)
        line.dtr = line.rts = False  # on a devkit the two lines would hold it in reset
        with line:
            while end is None or time.monotonic() < end:
                if data := line.read(max(1, line.in_waiting)):
                    heard(data)
    except (serial.SerialException, OSError) as error:
        raise trouble(error, port) from error
