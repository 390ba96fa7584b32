"""What the metered runtime lacks: chip modules, AES, and the part of asyncio that plain functions use."""

import struct
import sys
from binascii import crc32

import host

SECTOR_BYTES = 4096
_BLANK = b"\xff" * SECTOR_BYTES


class Event:
    """asyncio's Event as far as a plain function goes: nobody waits for it here."""

    def __init__(self):
        self.state = False

    def set(self):
        self.state = True

    def clear(self):
        self.state = False


class StreamReader:
    """Holds its stream; nothing is read through it here."""

    def __init__(self, stream):
        self.stream = stream


class Aes:
    """A cipher of no cost: its output stays what the buffer held. Frames keep their length and everything else."""

    def __init__(self, key, mode):
        pass

    def encrypt(self, data, output):
        pass


class Partition:
    """A flash that really stores; `operations` is what was done, in order, a program as its number of bytes."""

    TYPE_DATA = 1

    def __init__(self, sectors):
        self.sectors = sectors
        # Through a view: to assign a slice of a bytearray moves everything behind it.
        self.cells = memoryview(bytearray(b"\xff" * (sectors * SECTOR_BYTES)))
        self.operations = []

    def readblocks(self, block, buffer, offset=0):
        start = block * SECTOR_BYTES + offset
        buffer[:] = self.cells[start : start + len(buffer)]
        self.operations.append("read")

    def writeblocks(self, block, data, offset):
        start = block * SECTOR_BYTES + offset
        self.cells[start : start + len(data)] = data
        self.operations.append(len(data))

    def ioctl(self, operation, argument):
        if operation == 6:
            start = argument * SECTOR_BYTES
            self.cells[start : start + SECTOR_BYTES] = _BLANK
            self.operations.append("erase")
            return 0
        return self.sectors


class Quiet:
    """A flash over `cells` that takes nothing of the heap: it moves byte by byte."""

    def __init__(self, sectors, cells):
        self.sectors = sectors
        self.cells = cells

    def readblocks(self, block, buffer, offset=0):
        start = block * SECTOR_BYTES + offset
        for at in range(len(buffer)):
            buffer[at] = self.cells[start + at]

    def writeblocks(self, block, data, offset):
        start = block * SECTOR_BYTES + offset
        for at in range(len(data)):
            self.cells[start + at] = data[at]

    def ioctl(self, operation, argument):
        if operation == 6:
            start = argument * SECTOR_BYTES
            for at in range(SECTOR_BYTES):
                self.cells[start + at] = 0xFF
            return 0
        return self.sectors


class Full:
    """A journal of any size whose sectors all hold what `cells` holds, each under its own sequence; counts reads."""

    def __init__(self, sectors, cells):
        self.sectors = sectors
        self.cells = cells
        self.read_bytes = 0
        # Of each header what differs: its sequence, and the CRC of the whole.
        self.heads = bytearray(8 * sectors)
        head = bytearray(cells[:52])
        for index in range(sectors):
            struct.pack_into("<I", head, 8, index + 1)
            struct.pack_into("<II", self.heads, 8 * index, index + 1, crc32(head))

    def readblocks(self, block, buffer, offset=0):
        for at in range(len(buffer)):
            place = offset + at
            if 8 <= place < 12:
                buffer[at] = self.heads[8 * block + place - 8]
            elif 52 <= place < 56:
                buffer[at] = self.heads[8 * block + place - 48]
            else:
                buffer[at] = self.cells[place]
        self.read_bytes += len(buffer)

    def ioctl(self, operation, argument):
        return self.sectors


class Blank:
    """A blank journal of any size. A read leaves the buffer alone: whoever reads has filled it with 0xFF before."""

    def __init__(self, sectors):
        self.sectors = sectors
        self.reads = 0

    def readblocks(self, block, buffer, offset=0):
        self.reads += 1

    def ioctl(self, operation, argument):
        return self.sectors


class Pin:
    """An output that goes nowhere."""

    def value(self, level):
        pass


class Pwm:
    """The buzzer: marks the moment it sounds, and notes it among the flash operations."""

    def __init__(self, operations):
        self.operations = operations

    def freq(self, hz):
        pass

    def duty_u16(self, duty):
        if duty:
            host.call("mark", "buzzer")
            self.operations.append("beep")


class _Module:
    def __init__(self, **members):
        for name in members:
            setattr(self, name, members[name])


def install():
    """Put the stand-ins where the firmware imports them from."""
    sys.modules["machine"] = _Module(bitstream=None)
    sys.modules["network"] = _Module()
    sys.modules["socket"] = _Module()
    sys.modules["esp32"] = _Module(Partition=Partition)
    sys.modules["cryptolib"] = _Module(aes=Aes)
    sys.modules["asyncio"] = _Module(StreamReader=StreamReader, Event=Event, TimeoutError=OSError)
