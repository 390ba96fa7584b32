"""What a chip keeps through a reset: the RTC and its memory (as long as there is power), NVS, its MAC and its randomness."""

from __future__ import annotations

import random
import struct

from host_tools.simulator.board import _ops

_START = struct.Struct("<IiIBIq6s16s16sB")


class Keeping:
    """State of one chip beside its flash; `rng` stands for its randomness. Times are virtual microseconds."""

    def __init__(self, rng: random.Random, mac: bytes, drift_ppm: int) -> None:
        self._rng = rng
        self._mac = mac
        self._drift_ppm = drift_ppm
        # Without the radio the chip's generator gives the same bytes at every boot.
        self._poor_randomness = rng.randbytes(16)
        self._rtc_memory = b""
        self._rtc_zero_us = 0
        self._rtc_base_us = 0
        self._nvs: dict[bytes, bytes] = {}

    def power_on(self, at_us: int) -> None:
        """The supply comes back: RTC and its memory begin anew."""
        self._rtc_memory = b""
        self._rtc_zero_us = at_us
        self._rtc_base_us = 0

    def post(self, op: int, at_us: int, payload: bytes) -> bool:
        """Take a post of the board if it is about what is kept here; False when it is not."""
        if op == _ops.POST_RTC_MEMORY:
            self._rtc_memory = payload
        elif op == _ops.POST_RTC_TIME:
            self._rtc_base_us = struct.unpack("<q", payload)[0]
            self._rtc_zero_us = at_us
        elif op == _ops.POST_NVS_SET:
            space, key, value = payload[1:].split(b"\0", 2)
            if payload[0]:
                self._nvs[space + b"\0" + key] = value
            else:
                self._nvs.pop(space + b"\0" + key, None)
        else:
            return False
        return True

    def nvs(self, name: bytes) -> bytes | None:
        """The value committed under namespace, NUL, key."""
        return self._nvs.get(name)

    def start_message(
        self,
        now_us: int,
        cause: int,
        flash_fd: int,
        ports: dict[int, int],
        unstable_sectors: list[int],
        round_trip_us: int,
    ) -> bytes:
        """What a boot begins with, in the order in which the board's _start.py takes it."""
        head = _START.pack(
            self._rng.randrange(1 << 30),
            self._drift_ppm,
            round_trip_us,
            cause,
            flash_fd,
            self._rtc_base_us + now_us - self._rtc_zero_us,
            self._mac,
            self._poor_randomness,
            self._rng.randbytes(16),
            len(ports),
        )
        inherited = b"".join(struct.pack("<BI", ident, fd) for ident, fd in ports.items())
        counts = struct.pack("<HH", len(unstable_sectors), len(self._rtc_memory))
        sectors = struct.pack(f"<{len(unstable_sectors)}I", *unstable_sectors)
        return head + inherited + counts + sectors + self._rtc_memory
