"""What the metered runtime lacks: chip modules, AES, and the part of asyncio that plain functions use."""

import sys

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
    sys.modules["machine"] = _Module()
    sys.modules["network"] = _Module()
    sys.modules["esp32"] = _Module(Partition=Partition)
    sys.modules["cryptolib"] = _Module(aes=Aes)
    sys.modules["asyncio"] = _Module(StreamReader=StreamReader, Event=Event, TimeoutError=OSError)
