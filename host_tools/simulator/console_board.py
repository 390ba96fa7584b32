"""A virtual board with somebody at its console: what is typed reaches MicroPython's REPL, Ctrl-C the running program."""

from __future__ import annotations

from host_tools.simulator.board import _ops
from host_tools.simulator.board_process import BUSY, WAITING, VirtualBoard
from host_tools.simulator.costs import CONSOLE_US

# What the ESP32 port keeps of what is typed while nobody reads it (its ring buffer of the console).
TYPED_BYTES = 260
_CTRL_C = 3


class ConsoleBoard(VirtualBoard):
    """A board whose program, once it has ended, leaves the console to the REPL. `overrun_bytes` counts what was typed
    while nobody read it and found no room."""

    _typed = b""
    _reading = False
    _raw = False
    _listens = False  # its console is up
    overrun_bytes = 0

    def type(self, data: bytes) -> None:
        """Bytes arrive at the console."""
        if not self._listens:
            return
        for at in range(len(data)):
            byte = data[at : at + 1]
            if not self._reading and byte[0] == _CTRL_C:
                self._typed = b""
                self.interrupt()
            elif self._reading or len(self._typed) < TYPED_BYTES:
                self._typed += byte
            else:
                self.overrun_bytes += 1
        if self._typed and self.state == WAITING:
            self._read_console()

    def _down(self, reason: str) -> None:
        self._typed = b""
        self._reading = self._listens = False
        super()._down(reason)

    def _start_message(self) -> bytes:
        if self._raw:
            self._raw = False
            self._waiting_cause |= _ops.RAW_REPL
        return super()._start_message()

    def _ended(self) -> None:
        """The REPL takes over where a program has ended."""
        super()._ended()
        self._resume_at(self._kernel.now_us + CONSOLE_US, value=1)

    def _request(self, op: int, at_us: int, payload: bytes) -> None:
        self._listens = op != _ops.OP_HELLO
        if op == _ops.OP_CONSOLE:
            self.state = BUSY
            self._reading = True
            self._arm_watchdog()
            self._later(at_us, self._read_console)
        else:
            if op == _ops.OP_RESET:
                self._raw = len(payload) > 1 and bool(payload[1])
            super()._request(op, at_us, payload)

    def _read_console(self) -> None:
        """Give what was typed to the REPL that asked for it, or wait until there is something."""
        if not self._reading:
            return
        self.state = WAITING
        if self._typed:
            typed, self._typed, self._reading = self._typed, b"", False
            # At once: a Ctrl-C behind it is a byte for the REPL as well, and must not overtake it.
            self._resume_at(self._kernel.now_us, payload=typed)
