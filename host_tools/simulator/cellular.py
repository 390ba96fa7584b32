"""The carrier of a 4G link: PPP of the board, the modem's call behind it, and a network that may pass nothing on."""

from __future__ import annotations

from collections.abc import Callable

from host_tools.simulator.board import _ops
from host_tools.simulator.kernel import Event, Kernel
from host_tools.simulator.modem import NEGOTIATION_US, Modem
from host_tools.simulator.uart import BAUD_TOLERANCE, BITS_PER_BYTE, UartLine

# network.PPP.status(): lwIP's states as MicroPython numbers them.
INACTIVE, CONNECTING, CONNECTED = 0, 3, 4
# A board's PPP that nobody answers gives up after ten requests, three seconds apart; PPPERR_CONNECT, negative.
LCP_TIMEOUT_US = 30_000_000
ERROR = -6
# PPPERR_AUTHFAIL, when the network does not know user or password; PAP as MicroPython numbers it.
REFUSED, PAP = -9, 1
# Terminate request and acknowledgement.
TERMINATE_US = 250_000
# What PPP adds to a packet: flags, protocol and checksum (RFC 1661, 1662); of other bytes two in 256 are sent as two.
PPP_BYTES = 8
ESCAPED = 128


class Cellular:
    """`notify(kind, id, value)` tells the board; `associated` is what PPP believes, whatever passes."""

    keeps_connections = False  # the next call has another address, and lwIP gives up what had the old one

    def __init__(
        self, kernel: Kernel, modem: Modem, line: UartLine, notify: Callable[[int, int, int], None]
    ) -> None:
        self._kernel = kernel
        self.modem = modem
        self._line = line
        self._free_us = [0, 0]  # when the line is free, from the modem and to it
        modem.ended = self._call_ended
        self._notify = notify
        self.changed: Callable[[], None] = lambda: None
        self.associated = False
        self.dead = False
        self._called = False  # the call that PPP runs over is still the modem's
        self._pending: Event | None = None
        self.associations = 0

    @property
    def carries(self) -> bool:
        """Whether a packet gets through now."""
        return self.associated and self._called and self.modem.registered() and not self.dead and self._agree()

    def _agree(self) -> bool:
        """Whether board and modem speak at one rate, and the wires carry it."""
        return self.modem.clear and abs(self._line.baud - self.modem.baud) <= BAUD_TOLERANCE * self.modem.baud

    def over_us(self, at_us: int, size: int, up: bool) -> int:
        """When a packet has crossed the UART between board and modem."""
        size += PPP_BYTES + size // ESCAPED
        self._free_us[up] = max(at_us, self._free_us[up]) + size * BITS_PER_BYTE * 1_000_000 // self.modem.baud
        return self._free_us[up]

    def set_dead(self, dead: bool) -> None:
        """PPP stays up and passes nothing, or passes again."""
        self.dead = dead
        self.changed()

    def posted(self, op: int, payload: bytes) -> bool:
        """Take what the board told its network if it is about PPP."""
        if op == _ops.POST_PPP_CONNECT:
            self._cancel()
            pap = self.modem.options.pap
            if pap and payload != f"{PAP}{pap}".encode():
                self._pending = self._kernel.after(NEGOTIATION_US, lambda: self._status(REFUSED))
            elif self._agree() and self.modem.attach():
                self._pending = self._kernel.after(NEGOTIATION_US, self._up)
            else:
                self._pending = self._kernel.after(LCP_TIMEOUT_US, lambda: self._status(ERROR))
        elif op == _ops.POST_PPP_DISCONNECT:
            self._cancel()
            self._pending = self._kernel.after(TERMINATE_US, self._terminated)
        else:
            return False
        return True

    def _up(self) -> None:
        if self.modem.attached:
            self.associations += 1
            self._called = True
            self._associate(True)
            self._status(CONNECTED)

    def _terminated(self) -> None:
        if self.modem.attached:
            self.modem.hang_up()
        self._associate(False)
        self._status(INACTIVE)

    def _call_ended(self) -> None:
        """The modem has lost the call. PPP of the board is not told: nothing asks for echoes."""
        self._called = False
        self.changed()

    def _associate(self, on: bool) -> None:
        self.associated = on
        self.changed()

    def _status(self, value: int) -> None:
        self._notify(_ops.EVENT_PPP, 0, value)

    def _cancel(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def reset(self) -> None:
        """The board restarts: its PPP is gone without a word, the modem's call goes on."""
        self._cancel()
        self.modem.detach()
        self._associate(False)
