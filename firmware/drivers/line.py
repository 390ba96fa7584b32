"""Scan modules that print each code as a line: a profile says how one is asked, set up and started (hardware.md 1.5)."""

import asyncio

from drivers.module import Module
from micropython import const

_LINES = const(2)
_ANSWER_MS = const(500)
_TRIGGER_HIGH_MS = const(60)  # engines want 50 ms between two triggers


class Line(Module):
    """A module that prints. `profile` is a tuple, in this order:

    rates to look for it at; question and the byte that answers it (b"", 0: it cannot be asked); settings; the text that
    starts reading, the one that stops it, and the byte that answers these and the settings (0: none); the suffix that
    each line must have (b"": CR and LF are stripped where they are); the silence in ms that ends a line; the time in ms
    after which reading is started again. `trigger` is the pin of an active-low trigger line, or None.
    """

    rests = False  # it is started again as soon as the line is silent

    def __init__(self, uart, on_payload, on_fail, profile, trigger=None):
        super().__init__(uart, on_payload, on_fail)
        self._rates, self._question, self._answer, self._setup, self._go, self._halt, self._accepted = profile[:7]
        self._suffix, self._gap_ms, self._silence_ms = profile[7:]
        self._trigger = trigger
        self._awaited = 0
        if self._accepted:
            self._ends = b"\r\n" + bytes((self._accepted,))

    def _parse(self):
        # An answer that is late, or that nobody waits for, is no part of a code.
        while self._fill and self._buffer[0] in (self._awaited, self._accepted) and self._buffer[0]:
            self._reply = True
            self._shift(1)

    def gap(self):
        """The line has been silent: what came is a code. A module that reads once when started is started again."""
        while self._fill and self._accepted and self._buffer[self._fill - 1] == self._accepted:
            self._reply = True  # it was started while a code was on its way
            self._fill -= 1
        self._end_line()
        self._soon = bool(self._go or self._trigger)

    async def _tell(self, text, answer):
        """Send a text; True when it was answered, or needs no answer."""
        if not answer:
            self._uart.write(text)
            return True
        self._awaited = answer
        answered = await self._ask(text, _ANSWER_MS)
        self._awaited = 0
        return answered

    async def _configure(self):
        for baudrate in self._rates:
            self._rate(baudrate)
            if not self._answer or await self._tell(self._question, self._answer):
                for text in self._setup:
                    # Once more where a code came in between. What it does not know it does not answer.
                    await self._tell(text, self._accepted) or await self._tell(text, self._accepted)
                return _LINES if await self._alive() else None
        return None

    async def _alive(self):
        if self._trigger:
            self._trigger(1)
            await asyncio.sleep_ms(_TRIGGER_HIGH_MS)
            self._trigger(0)
        return not self._go or await self._tell(self._go, self._accepted) or await self._tell(self._go, self._accepted)

    async def _pause(self):
        if self._trigger:
            self._trigger(1)
        return not self._halt or await self._tell(self._halt, self._accepted)

    def _resume(self):
        return self._alive()


def make(uart, on_payload, on_fail, settings, trigger, number):
    """The reader of a module that nothing is known of but what config says."""
    profile = (
        (settings.line_baud,),
        b"",
        0,
        (),
        settings.line_start,
        settings.line_stop,
        0,
        settings.line_suffix,
        settings.line_gap_ms,
        2500,  # shorter than any engine reads for, by default
    )
    return Line(uart, on_payload, on_fail, profile, trigger)
