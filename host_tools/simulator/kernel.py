"""Discrete-event time: a heap of callbacks in exact order of (microsecond, order of scheduling)."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

FOREVER_US = 1 << 60


class Event:
    """A callback to come; `cancel()` takes it out of the future."""

    __slots__ = ("at_us", "action")

    def __init__(self, at_us: int, action: Callable[[], None]) -> None:
        self.at_us = at_us
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Kernel:
    """The clock of one world; `now_us` is microseconds since the scenario began."""

    def __init__(self) -> None:
        self.now_us = 0
        self._heap: list[tuple[int, int, Event]] = []
        # The same events by the moment from which a board may notice them.
        self._noticed: list[tuple[int, int, Event]] = []
        self._order = itertools.count()
        self.stopped = False
        self._until_us = FOREVER_US

    def at(self, at_us: int, action: Callable[[], None], *, unnoticed_us: int = 0) -> Event:
        """Run `action` at `at_us` (not before now), after everything already due at that microsecond. Nothing of it
        reaches a board sooner than `unnoticed_us` later."""
        event = Event(max(at_us, self.now_us), action)
        order = next(self._order)
        heapq.heappush(self._heap, (event.at_us, order, event))
        if unnoticed_us < FOREVER_US:
            heapq.heappush(self._noticed, (event.at_us + unnoticed_us, order, event))
        return event

    def after(self, delay_us: int, action: Callable[[], None]) -> Event:
        """Run `action` `delay_us` from now."""
        return self.at(self.now_us + delay_us, action)

    def next_us(self) -> int:
        """When the next event is due, or the run ends: nothing of the world happens before."""
        return self._first_us(self._heap)

    def horizon_us(self) -> int:
        """Until then no board notices anything of the world."""
        return self._first_us(self._noticed)

    def _first_us(self, heap: list[tuple[int, int, Event]]) -> int:
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
        return min(heap[0][0], self._until_us) if heap else self._until_us

    def run(self, until_us: int) -> None:
        """Run everything due up to `until_us`, then stand there; `stopped` ends it early."""
        self._until_us = until_us
        while not self.stopped and self._heap:
            due, _, event = self._heap[0]
            if due > until_us:
                break
            heapq.heappop(self._heap)
            action, event.action = event.action, None
            if action is not None:
                self.now_us = max(self.now_us, due)
                action()
        if not self.stopped:
            self.now_us = max(self.now_us, until_us)
