"""The serial loader of a virtual ESP32: the ROM's protocol, and the stub's once a stub has been uploaded and run."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from host_tools.simulator.chips import Chip, Registers
from host_tools.simulator.flash import SECTOR_BYTES, Flash

END, ESCAPE = 0xC0, 0xDB
# What esptool sends first (esp-serial-flasher calls it the sync frame): command 8 and its 36 bytes.
SYNC_FRAME = b"\xc0\x00\x08\x24\x00\x00\x00\x00\x00\x07\x07\x12\x20" + b"\x55" * 32 + b"\xc0"

_FLASH_BEGIN, _FLASH_DATA, _FLASH_END = 0x02, 0x03, 0x04
_MEM_BEGIN, _MEM_END, _MEM_DATA = 0x05, 0x06, 0x07
_SYNC, _WRITE_REG, _READ_REG = 0x08, 0x09, 0x0A
_SPI_SET_PARAMS, _SPI_ATTACH, _READ_FLASH_SLOW, _CHANGE_BAUD = 0x0B, 0x0D, 0x0E, 0x0F
_DEFL_BEGIN, _DEFL_DATA, _DEFL_END, _FLASH_MD5 = 0x10, 0x11, 0x12, 0x13
_SECURITY_INFO = 0x14
_ERASE_FLASH, _ERASE_REGION, _READ_FLASH = 0xD0, 0xD1, 0xD2

_ROM_SYNC_VALUE = 0x20120707
_CHECKSUM_SEED = 0xEF
# Reasons of a failure (ESP-IDF, serial protocol): of the ROM, then of the stub.
_INVALID, _FAILED, _BAD_CHECKSUM = 0x05, 0x06, 0x07
_STUB_BAD_LENGTH, _STUB_BAD_CHECKSUM, _STUB_INFLATE = 0xC0, 0xC1, 0xC6
_SLOW_READ_BYTES = 64


def slip(packet: bytes) -> bytes:
    """A packet as it goes over the wire."""
    return b"\xc0" + packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


class SlipReader:
    """Takes bytes, gives whole packets; what does not keep the framing is dropped up to the next end mark, and counted."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.dropped = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that `data` completes."""
        packets = []
        self._buffer += data
        while (end := self._buffer.find(END)) >= 0:
            raw = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if not raw:
                continue
            packet = raw.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
            if raw.count(ESCAPE) == raw.count(b"\xdb\xdc") + raw.count(b"\xdb\xdd"):
                packets.append(packet)
            else:
                self.dropped += 1
        return packets


class _Refused(Exception):
    """A command that fails; its argument is the reason byte."""


@dataclass
class _Writing:
    """A download to flash under way: where the next byte goes, and up to where the flash is erased already."""

    at: int
    end: int
    erased: int
    inflate: zlib._Decompress | None = None
    sequence: int = 0


@dataclass
class _Reading:
    """A read of the stub under way: blocks are sent while fewer than `window` are unacknowledged."""

    at: int
    end: int
    block: int
    window: int
    sent: int = 0
    acknowledged: int = 0
    digest: hashlib._Hash = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))


class RomLoader:
    """The loader of one chip over its `flash`. `reset()` is called when a command makes the chip restart."""

    def __init__(self, chip: Chip, mac: bytes, flash: Flash, reset: Callable[[], None]) -> None:
        self.chip = chip
        self.registers = Registers(chip, mac, flash.size)
        self._flash = flash
        self._reset = reset
        self._slip = SlipReader()
        self.stub = False
        self.commands = 0
        self._ram_left = 0
        self._ram_sequence = 0
        self._writing: _Writing | None = None
        self._reading: _Reading | None = None

    def feed(self, data: bytes) -> bytes:
        """Take what came over the wire; what goes back."""
        return b"".join(self._packet(packet) for packet in self._slip.feed(data))

    def _packet(self, packet: bytes) -> bytes:
        if self._reading is not None and len(packet) == 4:
            self._reading.acknowledged = struct.unpack("<I", packet)[0]
            return self._send_blocks()
        if len(packet) < 8 or packet[0] != 0:
            return b""
        command, size, checksum = struct.unpack_from("<xBHI", packet)
        self._reading = None
        self.commands += 1
        body = packet[8:]
        try:
            if size != len(body):
                raise _Refused(_STUB_BAD_LENGTH if self.stub else _INVALID)
            return self._command(command, body, checksum)
        except struct.error:
            return self._answer(command, status=(1, _STUB_BAD_LENGTH if self.stub else _INVALID))
        except _Refused as refused:
            if refused.args[0] == _INVALID and not self.stub:
                return self._answer(0, status=(1, _INVALID)) * 8  # the ROM says it so often, and names no command
            return self._answer(command, status=(1, refused.args[0]))

    def _answer(self, command: int, value: int = 0, data: bytes = b"", status: tuple[int, int] = (0, 0)) -> bytes:
        """A reply; the ROM's status has two spare bytes."""
        tail = bytes(status) + (b"" if self.stub else b"\0\0")
        return slip(struct.pack("<BBHI", 1, command, len(data) + len(tail), value) + data + tail)

    def _command(self, command: int, body: bytes, checksum: int) -> bytes:
        answer = self._answer
        if command == _SYNC:
            return answer(command, 0 if self.stub else _ROM_SYNC_VALUE) * 8
        if command == _READ_REG:
            return answer(command, self.registers.read(struct.unpack("<I", body)[0]))
        if command == _WRITE_REG:
            for at in range(0, len(body), 16):
                self.registers.write(*struct.unpack_from("<III", body, at))
            return answer(command)
        if command in (_SPI_SET_PARAMS, _SPI_ATTACH, _CHANGE_BAUD):
            return answer(command)
        if command == _SECURITY_INFO and self.chip.security_info:
            return answer(command, data=struct.pack("<IB7xII", 0, 0, self.chip.chip_id, 0))
        if command in (_MEM_BEGIN, _MEM_DATA, _MEM_END):
            return self._ram(command, body, checksum)
        if command in (_FLASH_BEGIN, _DEFL_BEGIN):
            return self._begin(command, body)
        if command in (_FLASH_DATA, _DEFL_DATA):
            return self._data(command, body, checksum)
        if command in (_FLASH_END, _DEFL_END):
            return self._end(command, body)
        if command == _FLASH_MD5:
            address, size = self._range(*struct.unpack_from("<II", body))
            digest = hashlib.md5(self._flash.read(address, size), usedforsecurity=False)
            return answer(command, data=digest.digest() if self.stub else digest.hexdigest().encode())
        if command == _READ_FLASH_SLOW and not self.stub:
            address, size = self._range(*struct.unpack("<II", body))
            if size > _SLOW_READ_BYTES:
                raise _Refused(_FAILED)
            return answer(command, data=self._flash.read(address, size).ljust(_SLOW_READ_BYTES, b"\0"))
        if command in (_ERASE_FLASH, _ERASE_REGION, _READ_FLASH) and self.stub:
            return self._stub_command(command, body)
        raise _Refused(0xFF if self.stub else _INVALID)

    def _range(self, address: int, size: int) -> tuple[int, int]:
        if address + size > self._flash.size:
            raise _Refused(_FAILED)
        return address, size

    def _payload(self, body: bytes, checksum: int) -> tuple[int, bytes]:
        """(sequence, bytes) of a data command whose length and checksum hold."""
        size, sequence = struct.unpack_from("<II", body)
        data = body[16:]
        if size != len(data):
            raise _Refused(_STUB_BAD_LENGTH if self.stub else _INVALID)
        state = _CHECKSUM_SEED
        # The checksum is the XOR of all bytes: of the two halves over each other, again and again.
        folded = int.from_bytes(data, "little")
        bits = 1 << max(3, (8 * len(data) - 1).bit_length())
        while bits > 8:
            bits //= 2
            folded = folded >> bits ^ folded & (1 << bits) - 1
        if state ^ folded != checksum:
            raise _Refused(_STUB_BAD_CHECKSUM if self.stub else _BAD_CHECKSUM)
        return sequence, data

    def _ram(self, command: int, body: bytes, checksum: int) -> bytes:
        """Code for RAM is taken and its sums are checked; run is the stub that this loader knows by heart."""
        if command == _MEM_BEGIN:
            self._ram_left, self._ram_sequence = struct.unpack_from("<I", body)[0], 0
        elif command == _MEM_DATA:
            sequence, data = self._payload(body, checksum)
            if sequence != self._ram_sequence or len(data) > self._ram_left:
                raise _Refused(_FAILED)
            self._ram_sequence += 1
            self._ram_left -= len(data)
        else:
            stays, _entry = struct.unpack("<II", body)
            if self._ram_left:
                raise _Refused(_FAILED)
            said = self._answer(command)
            if not stays:
                self.stub = True
                said += slip(b"OHAI")
            return said
        return self._answer(command)

    # Writing

    def _begin(self, command: int, body: bytes) -> bytes:
        size, _blocks, _block_bytes, address = struct.unpack_from("<IIII", body)
        self._range(address, size)
        end = address + size
        self._writing = _Writing(address, end, address - address % SECTOR_BYTES)
        if command == _DEFL_BEGIN:
            self._writing.inflate = zlib.decompressobj()
        if not self.stub:
            self._erase_up_to(self._writing, end)  # the ROM erases first, the stub as it goes
        return self._answer(command)

    def _data(self, command: int, body: bytes, checksum: int) -> bytes:
        sequence, data = self._payload(body, checksum)
        writing = self._writing
        if writing is None or (writing.inflate is None) != (command == _FLASH_DATA):
            raise _Refused(_FAILED)
        if sequence == writing.sequence - 1:
            return self._answer(command)  # sent again because its answer was lost
        if sequence != writing.sequence:
            raise _Refused(_FAILED)
        writing.sequence += 1
        if writing.inflate is not None:
            try:
                data = writing.inflate.decompress(data)
            except zlib.error:
                raise _Refused(_STUB_INFLATE if self.stub else _FAILED) from None
        self._program(writing, data)
        return self._answer(command)

    def _program(self, writing: _Writing, data: bytes) -> None:
        # The last block is padded: what goes beyond the announced size is not programmed.
        data = data[: max(0, writing.end - writing.at)]
        if not data:
            return
        self._erase_up_to(writing, writing.at + len(data))
        self._flash.begin_program(writing.at, data, 0)
        self._flash.finish()
        writing.at += len(data)

    def _erase_up_to(self, writing: _Writing, end: int) -> None:
        end = min(-(-end // SECTOR_BYTES) * SECTOR_BYTES, self._flash.size)
        if end > writing.erased:
            self._erase(writing.erased, end - writing.erased)
            writing.erased = end

    def _erase(self, address: int, size: int) -> None:
        self._flash.begin_erase(address, size, 0)
        self._flash.finish()

    def _end(self, command: int, body: bytes) -> bytes:
        stays = struct.unpack("<I", body)[0]
        self._writing = None
        said = self._answer(command)
        if not stays:
            self._reset()
        elif self.stub and command == _FLASH_END:
            pass  # stays in the stub, as esptool's last "final operation" wants it
        return said

    # What only the stub can

    def _stub_command(self, command: int, body: bytes) -> bytes:
        if command == _ERASE_FLASH:
            self._erase(0, self._flash.size)
        elif command == _ERASE_REGION:
            address, size = self._range(*struct.unpack("<II", body))
            if address % SECTOR_BYTES or size % SECTOR_BYTES:
                raise _Refused(_FAILED)
            self._erase(address, size)
        else:
            address, size, block, window = struct.unpack("<IIII", body)
            self._range(address, size)
            self._reading = _Reading(address, address + size, block, window)
            return self._answer(command) + self._send_blocks()
        return self._answer(command)

    def _send_blocks(self) -> bytes:
        """The blocks that the window lets go, and behind the last one, when all is acknowledged, the digest."""
        reading = self._reading
        assert reading is not None
        packets: deque[bytes] = deque()
        while reading.at < reading.end and reading.sent - reading.acknowledged < reading.window * reading.block:
            data = self._flash.read(reading.at, min(reading.block, reading.end - reading.at))
            reading.digest.update(data)
            reading.at += len(data)
            reading.sent += len(data)
            packets.append(slip(data))
        if reading.at == reading.end and reading.acknowledged >= reading.sent:
            packets.append(slip(reading.digest.digest()))
            self._reading = None
        return b"".join(packets)
