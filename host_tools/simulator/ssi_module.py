"""A scan module that speaks SSI packets, as GM67 and Zebra engines do: each code waits for its acknowledgement."""

from __future__ import annotations

import random
from collections.abc import Callable

from host_tools.simulator.kernel import Event, Kernel
from host_tools.simulator.scan_module import ModuleOptions
from host_tools.simulator.serial_module import PictureModule

# Bytes of hardware notes 1.5, written down here apart from any driver.
ACK, NAK, PARAMETER, ENABLE, DISABLE, START, STOP = 0xD0, 0xD1, 0xC6, 0xE9, 0xEA, 0xE4, 0xE5
CODE, LONG_CODE = 0xF3, 0xF4
ASK_REVISION, REVISION = 0xA3, 0xA4
FIRMWARE = b"PAABLS00-001-R00"
HOST, DEVICE = 0x04, 0x00
QR = 0xF1
RESEND, BAD_CONTEXT = 1, 2
SENT_AGAIN = 0x01
TRIGGER_MODE, TIME_OUT, FORMAT, PACKETED = 0x8A, 0x88, 0xEB, 0xEE
SAME_CODE = (0xF2, 0xC9)
CONTINUOUS, INDUCTION, ON_HOST = 4, 9, 8
# Model: no manual read gives them.
REPLY_US = 8_000
PACKET_GAP_US = 200_000  # the rest of a packet that is so late never comes
ACK_TIMEOUT_US = 400_000
ATTEMPTS = 3
PAUSE_US = 1_000_000


def checksummed(body: bytes) -> bytes:
    """A packet with its checksum: the two's complement of the sum of its bytes, high byte first."""
    return body + (-sum(body) & 0xFFFF).to_bytes(2, "big")


class SsiModule(PictureModule):
    """The module on a line; `spoil` packets to come lose a bit on the way, `deaf_to` acknowledgements are not heard."""

    def __init__(
        self,
        kernel: Kernel,
        rng: random.Random,
        options: ModuleOptions,
        *,
        send: Callable[[bytes, int], int],
        decode: Callable[[bytes], bytes | None],
        on_read: Callable[[bytes, int], None],
    ) -> None:
        super().__init__(kernel, rng, boot_us=options.boot_us, send=send, decode=decode, on_read=on_read)
        self.options = options
        self.baud = options.baud
        self._buffer = b""
        self._heard_us = 0
        self._waiting: bytes | None = None  # the code that is not acknowledged yet
        self._attempts = 0
        self._timeout: Event | None = None
        self._rested: Event | None = None
        self.enabled = True
        self.spoil = 0
        self.deaf_to = 0
        self.acknowledged = 0
        self.given_up = 0
        self._factory_settings()

    def _factory_settings(self) -> None:
        self.parameters = {TRIGGER_MODE: 0, TIME_OUT: 30, FORMAT: 1, PACKETED: 0}
        self.same_code_us = 0

    def _stop(self) -> None:
        super()._stop()
        self._buffer = b""
        self._waiting = None
        self.enabled = True
        if self._timeout is not None:
            self._timeout.cancel()

    # The board's packets.

    def receive(self, data: bytes) -> None:
        """Bytes from the host."""
        if not self.ready or self.cut_off:
            return
        if self._kernel.now_us - self._heard_us > PACKET_GAP_US:
            self._buffer = b""
        self._heard_us = self._kernel.now_us
        self._buffer += data
        while self._buffer:
            size = self._buffer[0] + 2
            if size < 6:
                self._buffer = self._buffer[1:]  # a zero wakes the module, anything else is noise
                continue
            if len(self._buffer) < size:
                return
            packet, self._buffer = self._buffer[:size], self._buffer[size:]
            if packet != checksummed(packet[:-2]) or packet[2] != HOST:
                self._buffer = b""
                self._answer(NAK, bytes((RESEND,)))
            else:
                self._packet(packet[1], packet[4:-2])

    def _packet(self, opcode: int, data: bytes) -> None:
        if opcode == ACK:
            self._acknowledged()
        elif opcode == NAK:
            if self._waiting is not None:
                self._again()
        elif opcode in (ENABLE, DISABLE, START, STOP) and not data:
            if opcode in (ENABLE, DISABLE):
                self.enabled = opcode == ENABLE
            self._answer(ACK)
            self._consider()
        elif opcode == ASK_REVISION and not data:
            self._answer(REVISION, FIRMWARE)
        elif opcode == PARAMETER and self._set(data[1:]):
            self._answer(ACK)
            self._consider()
        else:
            self._answer(NAK, bytes((BAD_CONTEXT,)))

    def _set(self, data: bytes) -> bool:
        if len(data) == 3 and tuple(data[:2]) == SAME_CODE:
            self.same_code_us = data[2] * 1_000_000
            return True
        if len(data) == 2 and data[0] in self.parameters:
            self.parameters[data[0]] = data[1]
            return True
        return False

    def _answer(self, opcode: int, data: bytes = b"") -> None:
        packet = checksummed(bytes((4 + len(data), opcode, DEVICE, 0)) + data)

        def send() -> None:
            if self.ready:
                self._send(packet, self.baud)

        self._kernel.after(REPLY_US, send)

    # Reading.

    def _looking(self) -> bool:
        continuous = self.parameters[TRIGGER_MODE] in (CONTINUOUS, INDUCTION)
        return self.enabled and continuous and self._waiting is None and self._rested is None

    def _output(self, payload: bytes) -> None:
        if self.parameters[PACKETED]:
            self._waiting = payload
            self._attempts = 0
            last_us = self._transmit()
        else:
            last_us = self._send(payload + b"\r", self.baud)
        self._rested = self._kernel.at(last_us + PAUSE_US, self._rest_over)
        self._sent(payload, last_us)

    def framed(self, payload: bytes, status: int = 0) -> bytes:
        """A code as a packet, short or long."""
        body = bytes((DEVICE, status, QR)) + payload + (b"\r" if self.parameters[FORMAT] & 1 else b"")
        if len(body) + 2 < 0xFF:
            return checksummed(bytes((len(body) + 2, CODE)) + body)
        return checksummed(bytes((0xFF, LONG_CODE)) + (len(body) + 5).to_bytes(2, "big") + bytes((LONG_CODE,)) + body)

    def _transmit(self) -> int:
        assert self._waiting is not None
        packet = bytearray(self.framed(self._waiting, SENT_AGAIN if self._attempts else 0))
        if self.spoil:
            self.spoil -= 1
            packet[self._rng.randrange(8, len(packet))] ^= 1 << self._rng.randrange(8)
        self._attempts += 1
        last_us = self._send(bytes(packet), self.baud)
        self._timeout = self._kernel.at(last_us + ACK_TIMEOUT_US, self._again)
        return last_us

    def _again(self) -> None:
        """No acknowledgement, or the board asks for it: the packet goes out again, marked as such."""
        if self._timeout is not None:
            self._timeout.cancel()
        if self._attempts < ATTEMPTS:
            self._transmit()
        else:
            self.given_up += 1
            self._waiting = None
            self._consider()

    def _acknowledged(self) -> None:
        if self.deaf_to:
            self.deaf_to -= 1
        elif self._waiting is not None:
            self._waiting = None
            self.acknowledged += 1
            if self._timeout is not None:
                self._timeout.cancel()
            self._consider()

    def _rest_over(self) -> None:
        self._rested = None
        self._consider()
