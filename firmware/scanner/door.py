"""What contact and beam say about people: who went through, who did so without a scan, and whether the door shuts again."""

from drivers import lamp as colours
from micropython import const

# As in a DOOR record (docs/formats.md).
OPENED = const(1)
CLOSED = const(2)
HELD_OPEN = const(3)
OPENED_WITHOUT_SCAN = const(4)
PASSAGE = const(5)
PASSAGE_WITHOUT_SCAN = const(6)

# What people are told about it, as in scanner/signals.py, with which these differ in two of colour, rhythm and pitch too.
SCAN_FIRST = (colours.RED, ((1000, 400), (0, 60), (1000, 60), (0, 260)), 9)
CLOSE_DOOR = (colours.YELLOW, ((600, 250), (0, 120), (600, 250), (0, 180)), 10)
HELP = (colours.BLUE, ((1800, 300), (0, 100), (1800, 300), (0, 300)), 11)
WAVED_IN = (colours.GREEN, ((2300, 60), (0, 90), (2300, 60), (0, 390)), 12)

_WAITS_MS = const(30000)  # from a scan to the passage it allows: the first of a group waits until the last has scanned
_MOST = const(32)  # who may be waiting
_BEHIND_MS = const(5000)  # without a beam: who scanned so shortly before the door closed was not through it
# Light for so long ends a person: arm and body, legs and chair are closer together, two people further apart.
_LOOK_MS = const(40)  # looked at every 20 ms, and later now and then
_GAP_MS = const(150)
_LEAST_MS = const(50)  # dark in one piece: a running child takes 60, a flicker less
_BLOCKED_MS = const(30000)  # from first to last dark: nobody takes so long


class Door:
    """Call look() every 20 ms or so. `tell(event)` gets DOOR events, `blocked()` is called when the beam stays dark."""

    def __init__(self, tell, blocked, held_ms):
        self.passages = 0
        self.without_scan = 0
        self.ignored = 0  # dark spells that were nobody
        self._tell = tell
        self._blocked = blocked
        self._held_ms = held_ms
        self._waiting = []  # (card, ms), the oldest first
        self._open = None
        self._opened_ms = 0
        self._held = False
        self._looked_ms = 0
        self._since_ms = None  # when it got dark
        self._until_ms = 0
        self._dark_ms = 0  # without light between
        self._most_ms = 0
        self._through = False  # the door was open meanwhile

    def scanned(self, card, now):
        """`card` may go through, once; None is somebody without one. The same card again is the same person."""
        self._waiting = [each for each in self._waiting[1 - _MOST :] if card is None or each[0] != card]
        self._waiting.append((card, now))

    def _may_pass(self, now):
        waiting = self._waiting
        while waiting and now - waiting[0][1] > _WAITS_MS:
            waiting.pop(0)
        return bool(waiting)

    def look(self, now, is_open, dark):
        """The contact and the beam as they are at uptime `now` in ms; None for what this door has not."""
        if is_open is not None:
            self._look_at_contact(now, is_open, dark is not None)
        if dark is not None:
            self._look_at_beam(now, dark)
        self._looked_ms = now

    def _look_at_contact(self, now, is_open, has_beam):
        if is_open == self._open:
            if is_open and not self._held and now - self._opened_ms >= self._held_ms:
                self._held = True
                self._tell(HELD_OPEN)
            return
        booted = self._open is None
        self._open = is_open
        self._opened_ms = now
        self._held = False
        if booted:
            return
        if is_open:
            self._tell(OPENED if self._may_pass(now) else OPENED_WITHOUT_SCAN)
        else:
            self._tell(CLOSED)
            if not has_beam:  # everybody who had scanned went through
                self._waiting = [each for each in self._waiting if now - each[1] < _BEHIND_MS]

    def _look_at_beam(self, now, dark):
        if dark:
            if self._since_ms is None:
                self._since_ms = self._until_ms = now
                self._most_ms = 0
                self._through = False
            self._dark_ms += min(now - self._looked_ms, _LOOK_MS)  # a stall of the board is no darkness
            self._most_ms = max(self._most_ms, self._dark_ms)
            # Nobody goes through a door that is shut.
            self._through = self._through or self._open is not False
            if self._until_ms - self._since_ms < _BLOCKED_MS <= now - self._since_ms:
                self._blocked()
            self._until_ms = now
            return
        self._dark_ms = 0
        if self._since_ms is not None and now - self._until_ms >= _GAP_MS:
            spell_ms = self._until_ms - self._since_ms
            self._since_ms = None
            if self._through and self._most_ms >= _LEAST_MS and spell_ms < _BLOCKED_MS:
                self._pass(now)
            else:
                self.ignored += 1

    def _pass(self, now):
        self.passages += 1
        if self._may_pass(now):
            self._waiting.pop(0)
            self._tell(PASSAGE)
        else:
            self.without_scan += 1
            self._tell(PASSAGE_WITHOUT_SCAN)
