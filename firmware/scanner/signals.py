"""Signals: what the lamp and the buzzer say about a card, and, between cards, about the board (docs/signals.md)."""

import asyncio

from drivers import lamp as colours

# Each signal: colour of the lamp, then (tone in Hz, ms) in turn; tone 0 is a pause. No two share colour and rhythm.
RECORDED = (colours.GREEN, ((2700, 150), (0, 650)))
REPEAT = (colours.GREEN, ((2000, 40), (0, 260)))
NOT_A_CARD = (colours.YELLOW, ((900, 120), (0, 80), (900, 120), (0, 480)))
FAULT = (colours.RED, ((300, 150), (0, 100), (300, 150), (0, 100), (300, 150), (0, 350)))

# What the lamp says while no card is shown: (first colour, ms, second colour, ms).
STARTING = (colours.BLUE, 300, colours.OFF, 300)
READY = (colours.GREEN, 2000, colours.GREEN, 2000)
OFFLINE = (colours.GREEN, 1900, colours.BLUE, 100)
BACKLOG = (colours.GREEN, 1000, colours.YELLOW, 1000)
FULL = (colours.RED, 250, colours.YELLOW, 250)
BROKEN = (colours.RED, 1000, colours.OFF, 1000)


class Signals:
    """Plays one signal at a time on `lamp` and `buzzer`; the newest one wins."""

    def __init__(self, lamp, buzzer):
        self._lamp = lamp
        self._buzzer = buzzer
        self._state = STARTING
        self._steps = None
        self._changed = asyncio.Event()

    def play(self, signal):
        """Begin a signal now: its light and its first tone are on when this returns."""
        colour, self._steps = signal
        self._buzzer.tone(self._steps[0][0])
        self._lamp.show(colour)
        self._changed.set()

    def state(self, state):
        """What the lamp says between cards from now on."""
        if state is not self._state:
            self._state = state
            self._changed.set()

    async def _wait(self, ms):
        """True after `ms`, False when something new is to be shown first."""
        try:
            await asyncio.wait_for_ms(self._changed.wait(), ms)
        except asyncio.TimeoutError:
            return True
        return False

    async def run(self, pulse):
        """Carry signals to their end and blink the state between them."""
        while True:
            pulse()
            self._changed.clear()
            steps, self._steps = self._steps, None
            if steps:
                for position, (freq_hz, ms) in enumerate(steps):
                    if position:
                        self._buzzer.tone(freq_hz)
                    while not await self._wait(ms):
                        if self._steps:
                            break
                        self._changed.clear()
                    if self._steps:
                        break
                else:
                    self._buzzer.tone(0)
                continue
            first, first_ms, second, second_ms = self._state
            self._lamp.show(first)
            if await self._wait(first_ms):
                self._lamp.show(second)
                await self._wait(second_ms)
