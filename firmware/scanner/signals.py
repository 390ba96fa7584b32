"""Signals: what the lamp and the buzzer say about a card, and, between cards, about the board (docs/signals.md)."""

import asyncio

from clock import happens
from drivers import lamp as colours

# Each signal: colour of the lamp, then (tone in Hz, ms) in turn; tone 0 is a pause. No two share colour and rhythm.
RECORDED = (colours.GREEN, ((2700, 150), (0, 650)))
REPEAT = (colours.GREEN, ((2000, 40), (0, 260)))
NOT_A_CARD = (colours.YELLOW, ((900, 120), (0, 80), (900, 120), (0, 480)))
FAULT = (colours.RED, ((300, 150), (0, 100), (300, 150), (0, 100), (300, 150), (0, 350)))
NO_ROOM = (colours.RED, ((700, 350), (0, 100), (700, 350), (0, 100)))  # over before the next code can come
TRY_AGAIN = (colours.YELLOW, ((1500, 60), (0, 60), (1500, 60), (0, 420)))

# What the lamp says while no card is shown: (first colour, ms, second colour, ms).
STARTING = (colours.BLUE, 300, colours.OFF, 300)
READY = (colours.GREEN, 2000, colours.GREEN, 2000)
OFFLINE = (colours.GREEN, 1900, colours.BLUE, 100)
BACKLOG = (colours.GREEN, 1000, colours.YELLOW, 1000)
FILLING = (colours.YELLOW, 1500, colours.GREEN, 500)
ALMOST_FULL = (colours.YELLOW, 1500, colours.RED, 500)
FULL = (colours.RED, 250, colours.YELLOW, 250)
BROKEN = (colours.RED, 1000, colours.OFF, 1000)


class Signals:
    """Plays one signal at a time on `lamp` and `buzzer`; the newest one wins. `state` is what the lamp says between."""

    def __init__(self, lamp, buzzer):
        self.state = STARTING
        self._lamp = lamp
        self._buzzer = buzzer
        self._signal = None
        self._played = asyncio.Event()

    def play(self, signal):
        """Begin a signal now: its light and its first tone are on when this returns."""
        self._signal = signal
        self._buzzer.tone(signal[1][0][0])
        self._lamp.show(signal[0])
        self._played.set()

    async def run(self, pulse):
        """Carry signals to their end and blink the state between them."""
        while True:
            pulse()
            self._played.clear()
            signal, self._signal = self._signal, None
            if signal:
                for i, (freq_hz, ms) in enumerate(signal[1]):
                    if i:
                        self._buzzer.tone(freq_hz)
                    if await happens(self._played, ms):
                        break
                continue
            first, first_ms, second, second_ms = self.state
            self._lamp.show(first)
            if not await happens(self._played, first_ms):
                self._lamp.show(second)
                await happens(self._played, second_ms)
