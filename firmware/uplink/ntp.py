"""SNTP: the time of a server that config names, asked while nobody better has told it (RFC 4330, RFC 5905)."""

import asyncio
import socket
import struct
import time

from micropython import const
from uplink import dns
from uplink.http import numeric

_PORT = const(123)
_TO_1970_S = const(2208988800)
_ERA_S = const(0x100000000)
_TIMEOUT_MS = const(4000)
_POLL_MS = const(10)
_LOOK_MS = const(2000)
_FIRST_WAIT_MS = const(16000)
_MAX_WAIT_MS = const(1024000)
_GOOD_MS = const(1000)  # a clock with less error is not asked about
_MAX_SPREAD_MS = const(4000)  # a server that is further from the truth is not believed
_YEARS_S = const(20 * 31557600)
_SOURCE = const(2)  # as a CLOCK record names it


def _fixed_ms(value):
    """16.16 seconds in whole ms, rounded up."""
    return (value * 1000 + 65535) >> 16


def reading(packet, nonce, rtt_ms, built_s):
    """(UTC in ms when the answer came, error ± ms) of a server's answer to the question that carried `nonce`, or None."""
    if (
        len(packet) < 48
        or packet[24:32] != nonce
        or packet[0] & 7 != 4
        or packet[0] >> 6 == 3
        or not 0 < packet[1] < 16
    ):
        return None
    delay, dispersion = struct.unpack_from(">II", packet, 4)
    came_s, came, left_s, left = struct.unpack_from(">IIII", packet, 32)
    held_ms = (left_s - came_s) * 1000 + (left * 1000 >> 32) - (came * 1000 >> 32)
    spread_ms = _fixed_ms(delay) // 2 + _fixed_ms(dispersion)
    if not left_s or not 0 <= held_ms <= rtt_ms or spread_ms > _MAX_SPREAD_MS:
        return None
    if left_s < _TO_1970_S:
        left_s += _ERA_S  # seconds wrap in 2036
    half_ms = (rtt_ms - held_ms) // 2 + 1
    unix_s = left_s - _TO_1970_S
    if not built_s <= unix_s < built_s + _YEARS_S:
        return None
    return unix_s * 1000 + (left * 1000 >> 32) + half_ms, half_ms + spread_ms + 1


class Ntp:
    """`host` is a name or an address, `links` the network, `random(n)` gives bytes. `built_s`: no true time is before it."""

    def __init__(self, host, links, clock, random, built_s):
        self._host = host
        self._links = links
        self._clock = clock
        self._random = random
        self._built_s = built_s
        self._wait_ms = _FIRST_WAIT_MS // 2

    async def _address(self):
        """The server's address, or None."""
        if numeric(self._host):
            return self._host
        try:
            found = await dns.resolve(self._host, self._links.server(), self._random)
        except (OSError, TypeError, ValueError):
            found = None  # no network, or what config names is no name
        return found[0] if found else None

    async def _ask(self):
        """Ask once: True when the clock has been told, False when nobody told it, None when there was no way."""
        address = await self._address()
        if not address:
            return False
        port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            port.setblocking(False)
            nonce = self._random(8)  # in place of our time: whoever forges an answer must have seen it
            question = b"\x23" + bytes(39) + nonce
            where = socket.getaddrinfo(address, _PORT)[0][-1]
            sent = time.ticks_ms()
            port.sendto(question, where)
            while time.ticks_diff(time.ticks_ms(), sent) < _TIMEOUT_MS:
                try:
                    packet = port.recvfrom(48)[0]
                except OSError:
                    packet = b""
                found = reading(packet, nonce, time.ticks_diff(time.ticks_ms(), sent), self._built_s)
                if found:
                    self._clock.reading(*(found + (_SOURCE,)))
                    return True
                await asyncio.sleep_ms(_POLL_MS)  # whatever came: a flood stops nothing else
        except OSError:
            return None
        finally:
            port.close()
        return False

    async def run(self, pulse):
        """Ask while there is a network and the clock needs it, for ever."""
        rest_ms = 0
        while True:
            pulse()
            await asyncio.sleep_ms(_LOOK_MS)
            rest_ms -= _LOOK_MS
            clock, links = self._clock, self._links
            if rest_ms > 0 or not links.up() or not links.allowed(False) or (clock.known() and clock.now()[1] < _GOOD_MS):
                continue
            told = await self._ask()
            if told is not None:
                self._wait_ms = _FIRST_WAIT_MS // 2 if told else min(_MAX_WAIT_MS, self._wait_ms * 2)
                rest_ms = self._wait_ms


def make(host, links, clock, random, built_s):
    """The client of server `host`, a name or an address."""
    return Ntp(host, links, clock, random, built_s)
