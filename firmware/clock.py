"""Time: an uptime that never wraps, and UTC with its error; integers only, for floats are single precision here."""

import asyncio
import time

from micropython import const

_DRIFT_PPM = const(50)
_EVERY_MS = const(6 * 3600 * 1000)
_SURER_MS = const(1000)
_YEARS_MS = 20 * 31557600000
CERTAIN = const(4)  # the trust of a word that only the collector, or a technician, can have given
# How far a source (of a CLOCK record: RTC chip, NTP, collector, modem, technician) is believed where two contradict.
_TRUST = b"\0\2\3\4\1\4"


async def happens(event, ms):
    """Wait for an asyncio.Event; False when `ms` passed without it."""
    try:
        await asyncio.wait_for_ms(event.wait(), ms)
    except asyncio.TimeoutError:
        return False
    return True


class Clock:
    """`built_s`: no true time is before it (0: not known).

    Ticks wrap after 12.4 days, so uptime_ms() is to be called daily at least; the supervisor does so all the time.
    """

    def __init__(self, built_s=0):
        self._built_ms = built_s * 1000
        self._last = time.ticks_ms()
        self._uptime_ms = 0
        self._read_ms = 0  # uptime of the reading that holds
        self._unix_ms = None
        self._error_ms = 0
        self.source = 0
        self.trust = 0  # of the most trusted source that agrees with what is known
        self.agreed = False  # another source has said the same
        self._written_ms = None  # uptime of the last CLOCK record
        self._said_ms = 0  # the error that it told

    def uptime_ms(self):
        """Milliseconds since this boot."""
        now = time.ticks_ms()
        self._uptime_ms += time.ticks_diff(now, self._last)
        self._last = now
        return self._uptime_ms

    def known(self):
        return self._unix_ms is not None

    def now(self):
        """(UTC in ms since 1970, error ± ms); only when known()."""
        age = self.uptime_ms() - self._read_ms
        return self._unix_ms + age, self._error_ms + age * _DRIFT_PPM // 1000000 + 1

    def reading(self, unix_ms, error_ms, source):
        """Take a reading when it is better than what is known, or contradicts it and is believed more. What agrees with a
        trusted reading is trusted like it: the next lie has to contradict both. Before the build, or long after: nonsense."""
        if self._built_ms and not 0 <= unix_ms - self._built_ms < _YEARS_MS:
            return
        trust = _TRUST[source]
        if self.known():
            now, error = self.now()
            jump = abs(unix_ms - now) > error + error_ms
            if jump and trust < self.trust:
                return
            if jump:
                self.agreed = False
            else:
                self.agreed = self.agreed or source != self.source
                trust = self.trust = max(trust, self.trust)
                if error_ms >= error:
                    return
            if jump or self._said_ms - error_ms >= _SURER_MS:
                self._written_ms = None
        self._unix_ms = unix_ms
        self._error_ms = error_ms
        self._read_ms = self.uptime_ms()
        self.source = source
        self.trust = trust

    def record_due(self):
        """True when a CLOCK record is to be written: time is first known, jumped, is much surer, or six hours have passed."""
        return self.known() and (self._written_ms is None or self.uptime_ms() - self._written_ms >= _EVERY_MS)

    def recorded(self):
        self._written_ms = self._uptime_ms
        self._said_ms = self._error_ms
