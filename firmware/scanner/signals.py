"""Signals: what lamp, buzzer, voice and relay say about a card or the door, and, between cards, the lamp about the board."""

import asyncio
import time

from clock import happens
from drivers import lamp as colours
from micropython import const

# Each signal (docs/signals.md): colour of the lamp, then (tone in Hz, ms) in turn, tone 0 being a pause; number of the voice's
# prompt. Any two differ in two of colour, rhythm and pitch. Green lets through: the relay opens.
RECORDED = (colours.GREEN, ((2700, 150), (0, 650)), 1)
REPEAT = (colours.GREEN, ((2000, 40), (0, 260)), 2)
NOT_A_CARD = (colours.YELLOW, ((900, 120), (0, 80), (900, 120), (0, 480)), 3)
FAULT = (colours.RED, ((300, 150), (0, 100), (300, 150), (0, 100), (300, 150), (0, 350)), 4)
NO_ROOM = (colours.RED, ((700, 350), (0, 100), (700, 350), (0, 100)), 5)  # over before the next code can come
STAFF = (colours.RED, ((500, 600), (0, 300)), 6)
PLACE_FULL = (colours.YELLOW, ((1200, 200), (0, 100), (1200, 200), (0, 100), (1200, 200), (0, 100)), 7)
TRY_AGAIN = (colours.YELLOW, ((1500, 60), (0, 60), (1500, 60), (0, 420)), 8)

# By verdict. Denied, expired, forged, closed and not on the list look and sound the same: the reason is the centre's affair.
OF = (None, RECORDED, STAFF, RECORDED, NOT_A_CARD, STAFF, STAFF, PLACE_FULL, REPEAT, STAFF, STAFF)

# What the lamp says while no card is shown: (first colour, ms, second colour, ms).
STARTING = (colours.BLUE, 300, colours.OFF, 300)
READY = (colours.GREEN, 2000, colours.GREEN, 2000)
OFFLINE = (colours.GREEN, 1900, colours.BLUE, 100)
BACKLOG = (colours.GREEN, 1000, colours.YELLOW, 1000)
FILLING = (colours.YELLOW, 1500, colours.GREEN, 500)
ALMOST_FULL = (colours.YELLOW, 1500, colours.RED, 500)
FULL = (colours.RED, 250, colours.YELLOW, 250)
BROKEN = (colours.RED, 1000, colours.OFF, 1000)


_CLEAR_MS = const(70)  # of a signal are heard before the one for a card at the other reader cuts it short ...
_BETWEEN_MS = const(30)  # ... after so much silence


class Signals:
    """Plays one signal at a time; the newest one wins. `state` is what the lamp says between."""

    def __init__(self, lamp, buzzer):
        self.state = STARTING
        self._lamp = lamp
        self._buzzer = buzzer
        self._signal = None
        self._waiting = None  # until the one that has just begun has been heard
        self._began_ms = None
        self._played = asyncio.Event()
        self.voice = self.relay = None  # where the board has one

    def play(self, signal):
        """Begin a signal now: its light and its first tone are on when this returns, unless another began just before."""
        now = time.ticks_ms()
        if self._began_ms is not None and time.ticks_diff(now, self._began_ms) < _CLEAR_MS:
            self._waiting = signal
        else:
            self._begin(signal)
        self._played.set()

    def remark(self, signal):
        """Play a signal that is about no card, unless one is being played; it gives way to any other at once."""
        if self._began_ms is None:
            self.play(signal)
            self._began_ms = time.ticks_add(time.ticks_ms(), -_CLEAR_MS)

    def _begin(self, signal):
        self._began_ms = time.ticks_ms()
        self._signal = signal
        self._buzzer.tone(signal[1][0][0])
        self._lamp.show(signal[0])
        if self.relay and signal[0] is colours.GREEN:
            self.relay.open()
        if self.voice:
            self.voice.say(signal[2])

    async def _next(self):
        """The signal that is to be carried to its end, if any."""
        if self._waiting:
            await asyncio.sleep_ms(max(0, _CLEAR_MS - time.ticks_diff(time.ticks_ms(), self._began_ms)))
            self._buzzer.tone(0)
            await asyncio.sleep_ms(_BETWEEN_MS)
            waiting, self._waiting = self._waiting, None
            self._begin(waiting)
        self._played.clear()
        signal, self._signal = self._signal, None
        return signal

    async def run(self, pulse):
        """Carry signals to their end and blink the state between them."""
        while True:
            pulse()
            signal = await self._next()
            if signal:
                for i, (freq_hz, ms) in enumerate(signal[1]):
                    if i:
                        self._buzzer.tone(freq_hz)
                    if await happens(self._played, ms):
                        break
                else:
                    self._began_ms = None
                continue
            first, first_ms, second, second_ms = self.state
            self._lamp.show(first)
            if not await happens(self._played, first_ms):
                self._lamp.show(second)
                await happens(self._played, second_ms)
