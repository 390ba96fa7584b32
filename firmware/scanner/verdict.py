"""The verdict on a card, from rules that live on the board: the door never waits for the network."""

from micropython import const
from scanner import cards

RECORDED = const(3)
NOT_A_CARD = const(4)
REPEAT = const(8)

_REMEMBERED = const(64)  # cards in the repeat window; with more, the oldest is forgotten and would be recorded again


class Rules:
    """The repeat window, `window_ms` long, counted from the record."""

    def __init__(self, window_ms):
        self._window_ms = window_ms
        self._keys = [None] * _REMEMBERED
        self._times = [0] * _REMEMBERED
        self._next = 0

    def decide(self, scheme, key, uptime_ms):
        """The verdict for a card. `key` names it: scheme and packed id in one bytes object."""
        if scheme == cards.PAYMENT or scheme == cards.LINK:
            return NOT_A_CARD
        if key in self._keys and uptime_ms - self._times[self._keys.index(key)] < self._window_ms:
            return REPEAT
        return RECORDED

    def recorded(self, key, uptime_ms):
        """Remember a code that is now in flash."""
        if key in self._keys:
            self._times[self._keys.index(key)] = uptime_ms
            return
        self._keys[self._next] = key
        self._times[self._next] = uptime_ms
        self._next = (self._next + 1) % _REMEMBERED
