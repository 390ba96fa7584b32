"""A serial QR module of GROW's "7E 00" family: registers, commands, quirks; given pictures, it sends what it reads."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from host_tools.simulator.kernel import Event, Kernel
from host_tools.simulator.serial_module import BOOT_US, DECODE_JITTER_US, DECODE_US, SerialModule

# Bytes of the family's manual (hardware notes 1.1), written down here apart from any driver.
COMMAND_HEADER = b"\x7e\x00"
REPLY_HEADER = b"\x02\x00\x00"
ACKNOWLEDGEMENT = bytes.fromhex("02 00 00 01 00 33 31")
HEARTBEAT_REPLY = bytes.fromhex("03 00 00 01 00 33 31")
UNCHECKED_CRC = b"\xab\xcd"
READ, WRITE, SAVE, ERASE_FIRMWARE, HEARTBEAT = 0x07, 0x08, 0x09, 0x05, 0x0A
MODE, TRIGGER, CODES, STABLE, INTERVAL, READ_TIME, SAME_CODE, HEADER, BAUD, OUTPUT, RESET, IDENTITY = (
    0x0000, 0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0013, 0x001A, 0x002A, 0x0060, 0x00D9, 0x00E0,
)  # fmt: skip
COMMAND_MODE, CONTINUOUS, INDUCTION = 1, 2, 3
READ_FAIL_BIT, READ_FAIL_TEXT = 0x10, b"RF"
FACTORY, DEFAULTS, DEEP_SLEEP, RATE_9600 = 0x50, 0x55, 0xA5, 0xD3
CODES_OFF = b"_SET_CODE_OFF"
REGISTERS = 0x0100
TENTH_US = 100_000

# A frame must be complete this soon after its header, or it gets no reply.
FRAME_TIMEOUT_US = 400_000
# Model: no manual gives it. Reply after a command.
REPLY_US = 8_000
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
    """Which unit was bought: what it keeps, what it forgets, what it adds. Kinds other than "grow" know `baud`,
    `boot_us` and `tail` only, and "line" `trigger`."""

    kind: str = "grow"
    baud: int = 9600
    boot_us: int = BOOT_US
    framed_output: bool = True  # False: a 2016 GM65 whose register 0060 drops bit 7
    same_code_register: bool = True
    heartbeat: bool = True
    save_works: bool = True
    ack_lost_on_baud_change: bool = False
    code_string: bool = False  # configuration codes are switched by a text, not by register 0003
    power_on_noise: bool = False
    ack_before_scans: bool = False
    tail: bool = True  # False: GM60, no tail by default
    trigger: bool = False  # kind "line": it reads once each time its trigger line, active low, is pulled
    registers: dict[int, int] = field(default_factory=dict)


class ScanModule(SerialModule):
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
        super().__init__(kernel, send, options.boot_us)
        self._rng = rng
        self.options = options
        self._decode = decode
        self._on_read = on_read
        self._saved = self._factory()
        self.registers = bytearray(self._saved)
        self.baud = options.baud
        self.codes_off = False  # by the text of newer models
        self._asleep = False
        self._picture: bytes | None = None
        self._buffer = b""
        self._frame_timeout: Event | None = None
        self._attempt: Event | None = None
        self._next_read_us = 0
        self._last_payload: bytes | None = None
        self._last_output_us = 0
        self._triggered_until_us = 0
        # Induction, and continuous mode with a read-fail text: when this read began to look, and what ends it.
        self._looks_from_us: int | None = None
        self._read_over: Event | None = None
        self.commands = 0
        self.unanswered = 0

    def _factory(self) -> bytearray:
        registers = bytearray(REGISTERS)
        registers[MODE] = 0xD6
        registers[STABLE] = 4
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

    def _factory_settings(self) -> None:
        self._saved = self._factory()

    def _stop(self) -> None:
        super()._stop()
        self._end_read()
        self._cancel_attempt()

    def _start(self) -> None:
        super()._start()
        self._asleep = self.codes_off = False
        self.registers[:] = self._saved
        self._buffer = b""
        self._last_payload = None
        self._triggered_until_us = 0

    def _booted(self) -> None:
        super()._booted()
        self.baud = self._baud_of_registers()
        self._next_read_us = self._kernel.now_us
        if self.ready and self.options.power_on_noise:
            self._send(bytes(self._rng.getrandbits(8) for _ in range(3)), self.baud)
        self._begin_read()
        self._consider()

    def _baud_of_registers(self) -> int:
        divisor = self.registers[BAUD] | (self.registers[BAUD + 1] & 0x1F) << 8
        exact = _UART_CLOCK_HZ // max(divisor, 1)
        nearest = min(_STANDARD_BAUDS, key=lambda standard: abs(standard - exact))
        return nearest if abs(nearest - exact) < nearest // 25 else exact

    # Commands.

    def receive(self, data: bytes) -> None:
        """Bytes from the host."""
        if self._asleep and not self.cut_off:
            self._start()  # the first byte wakes it, and it reboots
        if not self.ready or self.cut_off:
            return
        self._buffer += data
        self.codes_off = self.codes_off or (self.options.code_string and CODES_OFF in self._buffer)
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
            if at == CODES and self.options.code_string:
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
        if address <= MODE:
            self._begin_read()
        self._consider()

    def _set_baud(self, baud: int) -> None:
        if self.ready:
            self.baud = baud

    def _special(self, value: int) -> None:
        if value in (FACTORY, DEFAULTS):
            self._kernel.after(REPLY_US + 20_000, self.factory_reset)
        elif value == DEEP_SLEEP:
            self._kernel.after(REPLY_US + 20_000, self._sleep)
        elif value == RATE_9600:
            self.registers[BAUD : BAUD + 2] = b"\x39\x01"
            self._kernel.after(REPLY_US + 20_000, lambda: self._set_baud(9600))

    def _sleep(self) -> None:
        self._stop()
        self._asleep = self._powered

    def _reply(self, data: bytes) -> None:
        def send() -> None:
            if self.ready:
                self._send(data, self.baud)

        self._kernel.after(REPLY_US, send)

    # Reading pictures.

    def show(self, picture: bytes | None) -> None:
        """What is before the lens from now on: an encoded picture, or nothing."""
        changed = picture is not None and picture != self._picture
        self._picture = picture
        self._cancel_attempt()
        if changed and self.ready and self.registers[MODE] & 3 == INDUCTION:
            self._look(self.registers[STABLE] * TENTH_US)
        self._consider()

    def _begin_read(self) -> None:
        """A mode begins. In induction nothing is looked at until the picture changes."""
        self._end_read()
        if self.registers[MODE] & 3 == CONTINUOUS and self.registers[OUTPUT] & READ_FAIL_BIT:
            self._look(0)

    def _look(self, after_us: int) -> None:
        """One read: it ends with a code, or with the read-fail text when its time is over."""
        self._end_read()
        self._looks_from_us = self._kernel.now_us + after_us
        limit_us = self.registers[READ_TIME] * TENTH_US
        if limit_us:
            self._read_over = self._kernel.at(self._looks_from_us + limit_us, self._read_failed)

    def _end_read(self) -> None:
        self._looks_from_us = None
        if self._read_over is not None:
            self._read_over.cancel()
            self._read_over = None

    def _read_failed(self) -> None:
        self._end_read()
        if self.registers[MODE] & 3 == INDUCTION:
            self._cancel_attempt()
        if self.registers[OUTPUT] & READ_FAIL_BIT:
            self._send(self.framed(READ_FAIL_TEXT), self.baud)
        self._begin_read()

    def _trigger(self, on: bool) -> None:
        if on and self.registers[MODE] & 3 == COMMAND_MODE:
            limit = self.registers[READ_TIME] * TENTH_US or 1 << 60
            self._triggered_until_us = self._kernel.now_us + limit
        else:
            self._triggered_until_us = 0

    def _cancel_attempt(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None

    def _looking(self) -> bool:
        if not self.ready or self.cut_off:
            return False
        mode = self.registers[MODE] & 3
        if mode == INDUCTION:
            return self._looks_from_us is not None
        return mode == CONTINUOUS or (mode == COMMAND_MODE and self._kernel.now_us < self._triggered_until_us)

    def _consider(self) -> None:
        """Plan the next attempt to read what is in view."""
        if self._attempt is not None or self._picture is None or not self._looking():
            return
        start_us = max(self._kernel.now_us, self._next_read_us, self._looks_from_us or 0)
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
        if self.registers[MODE] & 3 == COMMAND_MODE:
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
        self._begin_read()

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
