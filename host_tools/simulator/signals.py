"""What a person at the door sees and hears: lamp and buzzer pins turned into signals."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

# The first tone of a signal names it.
TONES = {
    2700: "recorded", 2000: "repeat", 900: "not_card", 1500: "try_again", 1200: "place_full", 700: "full", 500: "refused",
    300: "fault", 1000: "scan_first", 600: "close_door", 1800: "help", 2300: "waved_in",
}  # fmt: skip
# Signals that are about the door and answer no card.
DOOR_SIGNALS = ("scan_first", "close_door", "help", "waved_in")
# Signals that have one tone only: the same tone again is a new signal, however soon.
SINGLE = ("recorded", "repeat", "refused")
# A pause inside a signal of several tones is at most this long: 100 ms, and what blocks the board meanwhile. The next signal
# of a one-reader board begins 200 ms after the last tone at the earliest.
JOIN_US = 190_000
# The same tone set again so soon is one tone to the ear (frequency and duty are two settings of it).
ONE_TONE_US = 20_000
# The lamp belongs to a signal when it changes this soon after the tone.
LAMP_US = 20_000

_COLOURS = {
    (0, 0, 0): "off",
    (1, 0, 0): "red",
    (0, 1, 0): "green",
    (0, 0, 1): "blue",
    (1, 1, 0): "yellow",
    (1, 0, 1): "magenta",
    (0, 1, 1): "cyan",
    (1, 1, 1): "white",
}


@dataclass
class Signal:
    """One signal of one board. `boot` counts the board's boots from 1; `lamp` is the colour that went with it."""

    at_us: int
    boot: int
    name: str
    hz: int
    lamp: str


class SignalDecoder:
    """Follows one board's lamp (pins of red, green, blue) and buzzer; `on_signal` gets each signal as it begins."""

    def __init__(self, on_signal: Callable[[Signal], None], lamp_pins: tuple[int, int, int], buzzer_pin: int) -> None:
        self._on_signal = on_signal
        self._lamp_pins = lamp_pins
        self._buzzer_pin = buzzer_pin
        self._lamp = [0, 0, 0]
        self._hz = 0
        self._sounding = False
        self._began_us = -1
        self._ended_us = -JOIN_US
        self._last: Signal | None = None
        # The last changes of the lamp (virtual us, colour), for a test to look at.
        self.lamp_log: deque[tuple[int, str]] = deque(maxlen=1000)
        self.boot = 0
        # When this boot's lamp was first green: the door is open for cards.
        self.ready_us: int | None = None

    @property
    def colour(self) -> str:
        """The lamp's colour now."""
        return _COLOURS[tuple(self._lamp)]  # type: ignore[index]

    def dark(self) -> None:
        """The board went down: pins float, nothing lights or sounds."""
        self._lamp = [0, 0, 0]
        self._sounding = False
        self._last = None
        self.ready_us = None

    def pin(self, pin: int, level: int, at_us: int) -> None:
        """An output pin changed."""
        if pin not in self._lamp_pins:
            return
        self._lamp[self._lamp_pins.index(pin)] = level
        if self._last is not None and at_us - self._last.at_us <= LAMP_US:
            self._last.lamp = self.colour
        if self.lamp_log and self.lamp_log[-1][0] == at_us:
            self.lamp_log[-1] = (at_us, self.colour)
        else:
            self.lamp_log.append((at_us, self.colour))
        if self.ready_us is None and self.colour == "green":
            self.ready_us = at_us

    def pwm(self, pin: int, hz: int, duty: int, at_us: int) -> None:
        """A PWM channel was set."""
        if pin != self._buzzer_pin:
            return
        sounds = duty > 0 and hz > 0
        was_sounding, was_hz = self._sounding, self._hz
        self._sounding, self._hz = sounds, hz
        if not sounds:
            if was_sounding:
                self._ended_us = at_us
            return
        if was_sounding and was_hz == hz and at_us - self._began_us < ONE_TONE_US:
            return
        self._began_us = at_us
        last = self._last
        joins = (
            last is not None
            and not was_sounding
            and last.hz == hz
            and last.name not in SINGLE
            and at_us - self._ended_us <= JOIN_US
        )
        if not joins:
            self._last = Signal(at_us, self.boot, TONES.get(hz, f"{hz} Hz"), hz, self.colour)
            self._on_signal(self._last)
