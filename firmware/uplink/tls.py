"""TLS to the collector: a pinned authority, the host's name checked, and a handshake that stops no card."""

import asyncio
import select
import time
from binascii import a2b_base64

import board
import machine
import tls
from clock import CERTAIN
from esp32 import NVS
from micropython import const
from uplink.http import HttpError

_LOOK_MS = const(20)
_STEP_MS = const(10000)  # for the other side's part of the handshake
# The module is held while the chip computes, and for so long while it waits for the other side; and so often.
_HELD_MS = const(1000)
_HOLDS = const(8)
_HOUR_MS = const(3600000)
_CALM_MS = const(5000)
_WRONG_MS = const(2000)
_DAY_S = const(86400)


def make(collector_ca, door, clock):
    """The Tls that believes the identity's authority; OSError or ValueError where there is none."""
    if collector_ca:
        return Tls(a2b_base64(collector_ca), door, clock)
    with open("ca.der", "rb") as file:
        return Tls(file.read(), door, clock)


def certificates(bundle):
    """Each DER certificate of `bundle`, which is one or several of them, one behind the other."""
    at = 0
    while at + 4 <= len(bundle):
        end = at + 4 + (bundle[at + 2] << 8 | bundle[at + 3])
        yield bytes(bundle[at:end])
        at = end


class Tls:
    """`authority` is whom to believe (DER certificates), `door` the station: it lets what stops the CPU happen while no card is
    read. `clock` is the board's; mbedTLS reads the chip's own, which is set by it before each handshake."""

    def __init__(self, authority, door, clock):
        self._door = door
        self._clock = clock
        self._day = None  # the one that is kept
        self._own_ms = None  # what the chip's clock said when this boot began
        self._heard_ms = 0  # uptime of the collector's last answer
        self._turn = 0  # certificates refused since then
        self._context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)  # which verifies unless told otherwise
        for certificate in certificates(authority):
            self._context.load_verify_locations(certificate)

    def wrap(self, connection, host):
        """A socket over `connection`, not yet shaken hands over; ValueError or OSError when there is no memory for it."""
        self._set_clock()
        return self._context.wrap_socket(connection, server_hostname=host, do_handshake_on_connect=False)

    async def shake(self, stream, first):
        """Shake hands and write `first`; what computes is done while the scan module is held.

        It is held once where the other side is quick. Whoever sends byte by byte does not get it held for as long as he likes.

        Raises OSError, asyncio.TimeoutError, or HttpError that names what is wrong with the certificate.
        """
        poll = select.poll()
        poll.register(stream, select.POLLIN | select.POLLOUT)
        sent = None
        left_ms = _HELD_MS

        async def ready(ms):
            while not poll.poll(0):
                if ms <= 0:
                    return False
                await asyncio.sleep_ms(_LOOK_MS)
                ms -= _LOOK_MS
            return True

        async def steps():
            nonlocal sent, left_ms
            try:
                sent = stream.write(first)
                while sent is None:
                    start = time.ticks_ms()
                    there = await ready(left_ms)
                    left_ms -= time.ticks_diff(time.ticks_ms(), start)
                    if not there:
                        break
                    sent = stream.write(first)
            except ValueError as error:
                sent = error

        for _ in range(_HOLDS):
            if not await ready(_STEP_MS):
                break
            await self._door.hold(steps)
            if sent is not None:
                break
        if sent is None:
            raise asyncio.TimeoutError
        if sent != len(first):
            self._turn += 1
            raise HttpError("certificate: " + " ".join(str(sent).split())[:80])

    # The chip's clock

    def _set_clock(self):
        """To the time as far as it is known, else to the latest of the chip's own, the day it was known last, the image's day.

        Nobody signs what a time server, a 4G network or a clock chip says, and a collector's own clock may have been wrong. So
        where a certificate was refused by a time that nothing else agrees with, or for an hour, the earlier two are tried.
        """
        clock = self._clock
        uptime_ms = clock.uptime_ms()
        epoch_s = 946684800 if time.gmtime(0)[0] == 2000 else 0
        chip_ms = time.time_ns() // 1000000 + epoch_s * 1000
        if self._own_ms is None:
            self._own_ms = chip_ms - uptime_ms
        day_ms = max(board.BUILT_S, self._kept_s()) * 1000
        now_ms = clock.now()[0] if clock.known() else max(day_ms, self._own_ms + uptime_ms)
        sure = clock.trust >= CERTAIN or clock.agreed
        if not self._turn or (sure and uptime_ms - self._heard_ms < _HOUR_MS):
            unix_ms = now_ms
        else:
            unix_ms = (now_ms, day_ms, board.BUILT_S * 1000)[self._turn % 3]
        if abs(unix_ms - chip_ms) >= _WRONG_MS:
            year, month, day, hour, minute, second, weekday = time.gmtime(unix_ms // 1000 - epoch_s)[:7]
            machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))

    def _kept_s(self):
        if self._day is None:
            try:
                self._day = NVS("chot").get_i32("day")
            except OSError:
                self._day = 0
        return self._day * _DAY_S

    async def keep_time(self):
        """The collector has answered: keep the day where a power cut does not take it, once a day and while nobody comes."""
        self._heard_ms = self._clock.uptime_ms()
        self._turn = 0
        if self._clock.trust < CERTAIN:
            return
        day = self._clock.now()[0] // (_DAY_S * 1000)
        if day * _DAY_S == self._kept_s() or self._door.silence_ms() < _CALM_MS:
            return

        async def keep():
            store = NVS("chot")
            store.set_i32("day", day)
            store.commit()

        await self._door.hold(keep)
        self._day = day
