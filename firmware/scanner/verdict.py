"""The verdict on a card, from rules that live on the board: the door never waits for the network."""

from micropython import const
from scanner import cards

# As in a SCAN record (docs/formats.md).
ADMITTED = const(1)  # a rule was asked, and none refuses
DENIED = const(2)
RECORDED = const(3)  # there is no rule
NOT_A_CARD = const(4)
PLACE_FULL = const(7)
REPEAT = const(8)
CLOSED = const(9)
NOT_LISTED = const(10)

_ENTERS = (ADMITTED, RECORDED)
GO_ON = (ADMITTED, RECORDED, REPEAT)
_REMEMBERED = const(64)  # cards in the repeat window; with more, the oldest is forgotten and would be recorded again


class Rules:
    """What config asks of a card at reader 0, the way in; at any other, a way out, a card is only recorded.

    `window_ms`: the repeat window, counted from the record. `texts`: whether other codes than cards are recorded.
    `is_open()`: the hours; `denied(scheme, packed)` and `allowed(…)`: the lists; each None where config does not ask it.
    `most`: how many may be inside, 0 for any number.
    """

    def __init__(self, window_ms, texts, is_open=None, denied=None, allowed=None, most=0):
        self.inside = 0  # how many went in and not out again, since this boot
        self._window_ms = window_ms
        self._texts = texts
        self._is_open = is_open
        self._denied = denied
        self._allowed = allowed
        self._most = most
        self._keys = [None] * _REMEMBERED
        self._times = [0] * _REMEMBERED
        self._last = bytearray(_REMEMBERED)  # reader and verdict, as a SCAN record packs them
        self._next = 0

    def decide(self, reader, scheme, packed, uptime_ms):
        """(verdict on a card, whether it is a new one); what is not new was recorded in the repeat window."""
        key = bytes((scheme,)) + packed
        before = 0
        if key in self._keys:
            i = self._keys.index(key)
            # Who went out comes in again, and the other way round.
            if uptime_ms - self._times[i] < self._window_ms and self._last[i] >> 4 == reader:
                before = self._last[i] & 15
        if before in GO_ON:
            return REPEAT, False
        verdict = self._judge(reader, scheme, packed)
        return verdict, verdict != before

    def _judge(self, reader, scheme, packed):
        if scheme == cards.PAYMENT or scheme == cards.LINK or (scheme == cards.OTHER and not self._texts):
            return NOT_A_CARD
        if reader:
            return RECORDED
        if self._denied and self._denied(scheme, packed):
            return DENIED
        if self._is_open and not self._is_open():
            return CLOSED
        if self._allowed and self._allowed(scheme, packed) is False:
            return NOT_LISTED
        if self._most and self.inside >= self._most:
            return PLACE_FULL
        return ADMITTED if self._is_open or self._denied or self._allowed or self._most else RECORDED

    def recorded(self, reader, scheme, packed, verdict, uptime_ms):
        """Remember a card that is now in flash, and who is inside."""
        if verdict == NOT_A_CARD:
            return
        key = bytes((scheme,)) + packed
        i = self._keys.index(key) if key in self._keys else -1
        # A person counts once each way: not who shows the card again on the same side, and no text for a card.
        again = i >= 0 and self._last[i] >> 4 == reader and self._last[i] & 15 in GO_ON
        if verdict in _ENTERS and not again and scheme != cards.OTHER:
            self.inside = max(0, self.inside - 1) if reader else self.inside + 1
        if i < 0:
            i = self._next
            self._keys[i] = key
            self._next = (i + 1) % _REMEMBERED
        self._times[i] = uptime_ms
        self._last[i] = reader << 4 | verdict
