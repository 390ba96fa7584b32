"""One link at a time: which network is in force, whether anybody answers on it, and when a cheaper one is tried again."""

import asyncio

from micropython import const

# A link without a request for so long is asked; one that then gives no reply for _ANSWER_MS is dead.
_ASK_MS = const(30000)
_ASK_METERED_MS = const(40000)
_ANSWER_MS = const(20000)  # twice that where nobody has answered on any link
_LONGEST_MS = const(55000)  # and whatever it takes from us meanwhile
_GONE_MS = const(10000)  # the chip finds an access point that was away for a moment by itself
_LOOK_MS = const(2000)
_REST_MS = const(4000)
# On a metered link a cheaper one is tried after twice the time it took the time before, unless it had served for _PROVEN_MS.
_RETURN_MS = const(150000)
_MAX_RETURN_MS = const(3600000)
_PROVEN_MS = const(600000)
_URGENT_MS = const(60000)  # no change of links so soon after something urgent
_LONG_MS = const(0x3FFFFFFF)


class Links:
    """`links` are tried in their order; a link has kind, metered, up(), rssi(), server(), open(pulse) and
    close(heard), which is told whether the collector answered.

    The shipper says what comes of its requests: asking(), moving() while a long one makes progress, then answered(n)
    for an authentic reply or unanswered(n), with the bytes both ways. due() tells it that a word is wanted now, whether
    or not something waits; allowed(urgent) whether the month's bytes permit a request. `budget` is None or has left()
    and spend(n).
    """

    def __init__(self, links, uptime_ms, budget=None):
        self._links = links
        self._uptime_ms = uptime_ms
        self._budget = budget
        self._link = None  # the one in force
        self._heard = False  # it has given a reply
        self._tried_ms = 0  # uptime of the last request
        self._asked_ms = None  # of the first one since the last reply
        self._moved_ms = None  # of the last bytes of the last request, where somebody acknowledged them
        self._round = 0  # 1 after one of all links without a reply
        self._return_ms = _RETURN_MS
        self._urgent_ms = -_LONG_MS

    # What the link in force is

    def up(self):
        return self._link is not None and self._link.up()

    @property
    def kind(self):
        """As HEALTH has it: 1 Wi-Fi, 2 cellular; 0 without a link."""
        return self._link.kind if self._link else 0

    def metered(self):
        return self._link is not None and self._link.metered

    def rssi(self):
        """Signal in dBm, or None."""
        return self._link.rssi() if self.up() else None

    def server(self):
        """Address of the DNS server of the link in force, or None."""
        return self._link.server() if self.up() else None

    # What the shipper says, and asks

    def asking(self):
        """A request begins."""
        self._tried_ms = self._uptime_ms()
        self._moved_ms = None
        if self._asked_ms is None:
            self._asked_ms = self._tried_ms

    def moving(self):
        """More of a request has gone out than the chip alone would take: somebody acknowledges it."""
        self._moved_ms = self._uptime_ms()

    def answered(self, count):
        """The collector itself has answered, after `count` bytes both ways."""
        self._heard = True
        self._asked_ms = None
        self._round = 0
        self._spend(count)

    def unanswered(self, count=0):
        """A request has come to nothing."""
        moved_ms = self._moved_ms
        self.asking()
        self._moved_ms = moved_ms
        self._spend(count)

    def _spend(self, count):
        if self._budget and self.metered():
            self._budget.spend(count)

    def allowed(self, urgent):
        """Whether a request may go out now."""
        if urgent:
            self._urgent_ms = self._uptime_ms()
        return bool(urgent or self._budget is None or not self.metered() or self._budget.left())

    def due(self):
        """True when the shipper is to send something at once: the link is new, or has been silent for too long."""
        if not self.up() or not self.allowed(False):
            return False
        if not self._heard and self._asked_ms is None:
            return True
        wait_ms = _ASK_METERED_MS if self._link.metered else _ASK_MS
        return len(self._links) > 1 and self._uptime_ms() - self._tried_ms >= wait_ms

    def _dead(self):
        """True when the link has been asked and nobody answers, whatever it pretends."""
        if self._asked_ms is None:
            return False
        now = self._uptime_ms()
        since_ms = self._asked_ms if self._moved_ms is None else self._moved_ms
        return now - since_ms >= _ANSWER_MS << self._round or now - self._asked_ms >= _LONGEST_MS

    # Changing links

    async def run(self, pulse):
        """Keep one link up for ever."""
        at = 0
        links = self._links
        if self._link:
            await self._link.close(False)  # this task has crashed
            self._link = None
        while True:
            pulse()
            if not links:
                await asyncio.sleep_ms(_REST_MS)
                continue
            link = links[at]
            self._heard = False
            opened = await link.open(pulse)
            if opened:
                self._link = link
                self._asked_ms = None
                cheaper = await self._serve(at, pulse)
                self._link = None
            await link.close(self._heard)
            at = cheaper if opened and cheaper is not None else (at + 1) % len(links)
            if not at and not self._heard:
                self._round = 1
                await asyncio.sleep_ms(_REST_MS)

    async def _serve(self, at, pulse):
        """Stay with the link in force until it is gone or dead (None), or a cheaper one is to be tried (its place)."""
        link = self._link
        since_ms = seen_ms = self._uptime_ms()
        cheaper = 0
        if link.metered:
            self._return_ms = min(_MAX_RETURN_MS, self._return_ms * 2)
            while cheaper < at and self._links[cheaper].metered:
                cheaper += 1
        while True:
            await asyncio.sleep_ms(_LOOK_MS)
            pulse()
            now = self._uptime_ms()
            if link.up():
                seen_ms = now
            if now - seen_ms >= _GONE_MS or self._dead():
                return None
            if not link.metered:
                if self._heard and now - since_ms >= _PROVEN_MS:
                    self._return_ms = _RETURN_MS
            elif cheaper < at and now - since_ms >= self._return_ms and now - self._urgent_ms >= _URGENT_MS:
                return cheaper
