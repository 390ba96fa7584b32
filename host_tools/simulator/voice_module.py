"""A DFPlayer Mini on its line: takes frames once it has booted, checks them, and remembers what it was told to say."""

from __future__ import annotations

from dataclasses import dataclass

from host_tools.simulator.kernel import Kernel

FRAME_BYTES = 10
# DFRobot's manual of the module: initialization takes 1.5 to 3 s, the volume is then 30.
BOOT_US = 3_000_000
LOUDEST = 30
_VOLUME, _PLAY = 0x06, 0x12


@dataclass(frozen=True)
class Said:
    """A prompt that was begun."""

    at_us: int
    prompt: int
    volume: int


class VoiceModule:
    """Speaks what it is told; nobody waits for it, so it sends nothing."""

    baud = 9600

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._buffer = bytearray()
        self._ready_us = 0
        self._powered = False
        self.volume = LOUDEST
        self.said: list[Said] = []
        self.dropped_bytes = 0
        self.deaf_frames = 0  # that came before it had booted

    def power_on(self) -> None:
        """Supply comes up."""
        self._powered = True
        self.volume = LOUDEST
        self._buffer.clear()
        self._ready_us = self._kernel.now_us + BOOT_US

    def power_off(self) -> None:
        """Supply goes."""
        self._powered = False

    def receive(self, data: bytes) -> None:
        """Bytes from the board have arrived, now."""
        if not self._powered:
            return
        self._buffer += data
        while len(self._buffer) >= FRAME_BYTES:
            frame = bytes(self._buffer[:FRAME_BYTES])
            whole = frame[:3] == b"\x7e\xff\x06" and frame[9] == 0xEF
            if not whole or (sum(frame[1:7]) + int.from_bytes(frame[7:9], "big")) & 0xFFFF:
                self.dropped_bytes += 1
                del self._buffer[0]
                continue
            del self._buffer[:FRAME_BYTES]
            self._obey(frame[3], int.from_bytes(frame[5:7], "big"))

    def _obey(self, command: int, value: int) -> None:
        if self._kernel.now_us < self._ready_us:
            self.deaf_frames += 1
        elif command == _VOLUME:
            self.volume = min(value, LOUDEST)
        elif command == _PLAY:
            self.said.append(Said(self._kernel.now_us, value, self.volume))
