"""An NTP server's side of one datagram (RFC 5905), and the ways in which one can be wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

NTP_PORT = 123
_PACKET = struct.Struct(">BBBbII4sQQQQ")
_TO_1970_S = 2_208_988_800
_ERA_S = 1 << 32  # the first one ends in 2036
_SERVER, _ALARM = 4, 3


@dataclass
class NtpServer:
    """`clock_ms()` is UTC, what it serves is `ahead_ms` of it; `forged` answers do not name the question."""

    clock_ms: Callable[[], int]
    ahead_ms: int = 0
    stratum: int = 2
    up: bool = True
    alarm: bool = False
    forged: bool = False
    dispersion_ms: int = 2
    questions: int = 0

    def answer(self, host: str, query: bytes) -> bytes | None:
        """The answer to one datagram."""
        if not self.up or len(query) < _PACKET.size:
            return None
        self.questions += 1
        asked = 1 if self.forged else _PACKET.unpack_from(query)[10]
        now_ms = self.clock_ms() + self.ahead_ms
        now = ((now_ms // 1000 + _TO_1970_S) % _ERA_S) << 32 | (now_ms % 1000 << 32) // 1000
        first = (_ALARM if self.alarm else 0) << 6 | 4 << 3 | _SERVER
        spread = (self.dispersion_ms << 16) // 1000
        return _PACKET.pack(first, self.stratum, 6, -20, spread, spread, b"SIM\0", now - (8 << 32), asked, now, now)
