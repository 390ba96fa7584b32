"""How loud the buzzer and the voice are, by local time; a voice that had lost its supply is told again."""

import asyncio

from micropython import const
from scanner.hours import Hours

_EVERY_MS = const(10000)
_QUIET_PERCENT = const(30)


class Loudness:
    """In the Hours `quiet` it is not as loud; while the time is not known, as loud as by day. `voice` may be None."""

    def __init__(self, buzzer, voice, clock, quiet):
        self._buzzer = buzzer
        self._voice = voice
        self._clock = clock
        self._quiet = quiet

    def set(self):
        percent = _QUIET_PERCENT if self._clock.known() and self._quiet.open() else 100
        self._buzzer.loudness(percent)
        if self._voice:
            self._voice.volume(percent)

    async def run(self, pulse):
        while True:
            pulse()
            self.set()
            await asyncio.sleep_ms(_EVERY_MS)


def make(board, machine, station, signals, buzzer, clock, settings):
    """The task of this board's Loudness."""
    quiet = Hours(settings.quiet_hours, clock, settings.utc_offset_min)
    return Loudness(buzzer, signals.voice, clock, quiet).run
