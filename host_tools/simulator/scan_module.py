"""A serial QR module of GROW's "7E 00" family: registers, commands, quirks; given pictures, it sends what it reads."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from host_tools.simulator.kernel import Event, Kernel

# Bytes of the family's manual (hardware notes 1.1), written down here apart from any driver.
COMMAND_HEADER = b"\x7e\x00"
REPLY_HEADER = b"\x02\x00\x00"
ACKNOWLEDGEMENT = bytes.fromhex("02 00 00 01 00 33 31")
HEARTBEAT_REPLY = bytes.fromhex("03 00 00 01 00 33 31")
UNCHECKED_CRC = b"\xab\xcd"
READ, WRITE, SAVE, ERASE_FIRMWARE, HEARTBEAT = 0x07, 0x08, 0x09, 0x05, 0x0A
MODE, TRIGGER, INTERVAL, READ_TIME, SAME_CODE, HEADER, BAUD, OUTPUT, RESET, IDENTITY = (
    0x0000, 0x0002, 0x0005, 0x0006, 0x0013, 0x001A, 0x002A, 0x0060, 0x00D9, 0x00E0,
)  # fmt: skip
REGISTERS = 0x0100
TENTH_US = 100_000

# A frame must be complete this soon after its header, or it gets no reply.
FRAME_TIMEOUT_US = 400_000
# Model: no manual gives these. Reply after a command; boot until it answers; a picture in view until it is read.
REPLY_US = 8_000
BOOT_US = 700_000
DECODE_US = 120_000
DECODE_JITTER_US = 40_000
_STANDARD_BAUDS = (1200, 4800, 9600, 14400, 19200, 38400, 57600, 115200)
_UART_CLOCK_HZ = 3_000_000


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM over type..data of a frame."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


@dataclass
class ModuleOptions:
    """Which unit was bought: what it keeps, what it forgets, what it adds."""

    baud: int = 9600
    boot_us: int = BOOT_US
    framed_output: bool = True  # False: a 2016 GM65 whose register 0060 drops bit 7
    same_code_register: bool = True
    heartbeat: bool = True
    save_works: bool = True
    ack_lost_on_baud_change: bool = False
    power_on_noise: bool = False
    ack_before_scans: bool = False
    tail: bool = True  # False: GM60, no tail by default
    registers: dict[int, int] = field(default_factory=dict)


class ScanModule:
    """The module on a line. `send(data, baud)` puts bytes on the line and returns when the last one arrives (us);
    `decode(picture)` reads a picture; `on_read(payload, last_byte_us)` tells the world what went out."""

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
        self._kernel = kernel
        self._rng = rng
        self.options = options
        self._send = send
        self._decode = decode
        self._on_read = on_read
        self._saved = self._factory()
        self.registers = bytearray(self._saved)
        self.baud = options.baud
        self.ready = False
        self.bricked = False
        self._powered = False
        self._picture: bytes | None = None
        self._buffer = b""
        self._frame_timeout: Event | None = None
        self._boot: Event | None = None
        self._attempt: Event | None = None
        self._next_read_us = 0
        self._last_payload: bytes | None = None
        self._last_output_us = 0
        self._triggered_until_us = 0
        self.saves = 0
        self.commands = 0
        self.unanswered = 0

    def _factory(self) -> bytearray:
        registers = bytearray(REGISTERS)
        registers[MODE] = 0xD6
        registers[INTERVAL] = 10
        registers[READ_TIME] = 50
        registers[0x000B] = 60
        divisor = {9600: 0x139, 115200: 0x1A}.get(self.options.baud, _UART_CLOCK_HZ // self.options.baud)
        registers[BAUD], registers[BAUD + 1] = divisor & 0xFF, divisor >> 8
        registers[OUTPUT] = 0x01 if self.options.tail else 0xE0
        registers[IDENTITY : IDENTITY + 6] = bytes((5, 2, 87, 23, 6, 1))
        for address, value in self.options.registers.items():
            registers[address] = value
        return registers

    # Power.

    def power_on(self) -> None:
        """Supply comes up: registers as saved, deaf until it has booted."""
        self._powered = True
        self._start()

    def power_off(self) -> None:
        """Supply goes: unsaved registers are gone."""
        self._powered = self.ready = False
        self._cancel_attempt()
        if self._boot is not None:
            self._boot.cancel()

    def reboot(self) -> None:
        """The module restarts by itself (brown-out, factory reset, leaving sleep)."""
        if self._powered:
            self._start()

    def _start(self) -> None:
        self.ready = False
        self._cancel_attempt()
        if self._boot is not None:
            self._boot.cancel()
        self.registers[:] = self._saved
        self._buffer = b""
        self._last_payload = None
        self._triggered_until_us = 0
        self._boot = self._kernel.after(self.options.boot_us, self._booted)

    def _booted(self) -> None:
        self._boot = None
        self.ready = not self.bricked
        self.baud = self._baud_of_registers()
        self._next_read_us = self._kernel.now_us
        if self.ready and self.options.power_on_noise:
            self._send(bytes(self._rng.getrandbits(8) for _ in range(3)), self.baud)
        self._consider()

    def _baud_of_registers(self) -> int:
        divisor = self.registers[BAUD] | (self.registers[BAUD + 1] & 0x1F) << 8
        exact = _UART_CLOCK_HZ // max(divisor, 1)
        nearest = min(_STANDARD_BAUDS, key=lambda standard: abs(standard - exact))
        return nearest if abs(nearest - exact) < nearest // 25 else exact

    # Commands.

    def receive(self, data: bytes) -> None:
        """Bytes from the host."""
        if not self.ready:
            return
        self._buffer += data
        while True:
            start = self._buffer.find(COMMAND_HEADER)
            if start < 0:
                self._buffer = self._buffer[-1:] if self._buffer.endswith(COMMAND_HEADER[:1]) else b""
                break
            self._buffer = self._buffer[start:]
            if len(self._buffer) < 4:
                break
            size = 8 + (self._buffer[3] or 256)
            if len(self._buffer) < size:
                break
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            self._command(frame)
        if self._frame_timeout is not None:
            self._frame_timeout.cancel()
            self._frame_timeout = None
        if self._buffer:
            self._frame_timeout = self._kernel.after(FRAME_TIMEOUT_US, self._frame_late)

    def _frame_late(self) -> None:
        self._buffer = b""
        self.unanswered += 1

    def _command(self, frame: bytes) -> None:
        body, crc = frame[2:-2], frame[-2:]
        kind, address, data = body[0], int.from_bytes(body[2:4], "big"), body[4:]
        if crc != UNCHECKED_CRC and int.from_bytes(crc, "big") != crc16(body):
            self.unanswered += 1
            return
        self.commands += 1
        if kind == READ and address + (data[0] or 256) <= REGISTERS and len(data) == 1:
            count = data[0] or 256
            values = bytes(self.registers[address : address + count])
            body = b"\x00" + bytes((count & 0xFF,)) + values
            self._reply(b"\x02\x00" + body + crc16(body).to_bytes(2, "big"))
        elif kind == WRITE and address + len(data) <= REGISTERS:
            self._write(address, data)
        elif kind == SAVE and address == 0 and data == b"\x00":
            if self.options.save_works:
                self._saved[:] = self.registers
                self._saved[TRIGGER] = 0
            self.saves += 1
            self._reply(ACKNOWLEDGEMENT)
        elif kind == HEARTBEAT and self.options.heartbeat:
            self._reply(HEARTBEAT_REPLY)
        elif kind == ERASE_FIRMWARE:
            self.bricked = True
            self.ready = False
        else:
            self.unanswered += 1

    def _write(self, address: int, data: bytes) -> None:
        old_baud = self.baud
        for at, value in enumerate(data, address):
            if at == OUTPUT and not self.options.framed_output:
                value &= 0x7F
            if at == SAME_CODE and not self.options.same_code_register:
                continue
            if at == RESET or IDENTITY <= at < IDENTITY + 6:
                continue
            self.registers[at] = value
        new_baud = self._baud_of_registers()
        if new_baud == old_baud or not self.options.ack_lost_on_baud_change:
            self._reply(ACKNOWLEDGEMENT)
        if new_baud != old_baud:
            self._kernel.after(REPLY_US + 20_000, lambda: self._set_baud(new_baud))
        if address <= RESET < address + len(data):
            self._special(data[RESET - address])
        if address <= TRIGGER < address + len(data):
            self._trigger(bool(self.registers[TRIGGER] & 1))
        self._consider()

    def _set_baud(self, baud: int) -> None:
        if self.ready:
            self.baud = baud

    def _special(self, value: int) -> None:
        if value in (0x50, 0x55):
            self._saved = self._factory()
            self._kernel.after(REPLY_US + 20_000, self.reboot)
        elif value == 0xD3:
            self.registers[BAUD : BAUD + 2] = b"\x39\x01"
            self._kernel.after(REPLY_US + 20_000, lambda: self._set_baud(9600))

    def _reply(self, data: bytes) -> None:
        def send() -> None:
            if self.ready:
                self._send(data, self.baud)

        self._kernel.after(REPLY_US, send)

    # Reading pictures.

    def show(self, picture: bytes | None) -> None:
        """What is before the lens from now on: an encoded picture, or nothing."""
        self._picture = picture
        self._cancel_attempt()
        self._consider()

    def _trigger(self, on: bool) -> None:
        if on and self.registers[MODE] & 3 == 1:
            limit = self.registers[READ_TIME] * TENTH_US or 1 << 60
            self._triggered_until_us = self._kernel.now_us + limit
        else:
            self._triggered_until_us = 0

    def _cancel_attempt(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None

    def _looking(self) -> bool:
        if not self.ready:
            return False
        mode = self.registers[MODE] & 3
        return mode in (2, 3) or (mode == 1 and self._kernel.now_us < self._triggered_until_us)

    def _consider(self) -> None:
        """Plan the next attempt to read what is in view."""
        if self._attempt is not None or self._picture is None or not self._looking():
            return
        start_us = max(self._kernel.now_us, self._next_read_us)
        self._attempt = self._kernel.at(
            start_us + DECODE_US + self._rng.randrange(DECODE_JITTER_US), lambda: self._try(start_us)
        )

    def _try(self, started_us: int) -> None:
        self._attempt = None
        if self._picture is None or not self._looking():
            return
        payload = self._decode(self._picture)
        if payload is None:
            return
        wait_us = self._same_code_wait_us(payload)
        if wait_us is None:
            return
        if wait_us:
            self._attempt = self._kernel.after(wait_us, lambda: self._try(started_us))
            return
        self._output(payload)
        self._consider()

    def _same_code_wait_us(self, payload: bytes) -> int | None:
        """Microseconds until this payload may be sent again (0: now), None when another must come first."""
        setting = self.registers[SAME_CODE]
        if payload != self._last_payload or not setting & 0x80:
            return 0
        if not setting & 0x7F:
            return None
        return max(0, self._last_output_us + (setting & 0x7F) * TENTH_US - self._kernel.now_us)

    def _output(self, payload: bytes) -> None:
        if self.registers[MODE] & 3 == 1:
            self._triggered_until_us = 0
            self.registers[TRIGGER] &= 0xFE
        self._last_payload = payload
        data = self.framed(payload)
        if self.options.ack_before_scans:
            data = ACKNOWLEDGEMENT + data
        last_us = self._send(data, self.baud)
        self._last_output_us = last_us
        self._next_read_us = last_us + self.registers[INTERVAL] * TENTH_US
        self._on_read(payload, last_us)

    def framed(self, payload: bytes) -> bytes:
        """A payload in the output format that the registers ask for."""
        output, header = self.registers[OUTPUT], self.registers[HEADER]
        tails = (b"\r", b"\r\n", b"\t", b"")
        text = payload + (tails[output >> 5 & 3] if output & 1 else b"")
        data = text
        if output & 0x80 and header >> 6 < 2:
            data = (b"\x03", b"\x04")[header >> 6] + len(text).to_bytes(2, "big") + text
        if header & 1:
            data += crc16(text).to_bytes(2, "big")
        return data
