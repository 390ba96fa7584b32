"""A doorway: people who go through it, hands on its buttons, and what contact, beam and switches say to the board meanwhile."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from host_tools.simulator.kernel import Kernel
from host_tools.simulator.scenario import Passage

# Model, no data sheet: a contact bounces for some ms; a door is open before somebody is in it, and falls shut behind.
BOUNCE_US = 5_000
BOUNCES = 4
OPENS_MS = 600
SHUTS_MS = 1_200
PRESS_MS = 250

# Spells of dark and light in the beam, in ms, as (least, most): what a body at 1 m/s or so, with arms and bags, does to a
# beam across the door.
_ADULT = ((250, 420),)
_WITH_ARM = ((50, 90), (40, 90), (250, 400))
_CHILD = ((90, 150),)
_RUNNING = ((65, 90),)
_WHEELCHAIR = ((200, 300), (40, 100), (500, 1100), (40, 100), (80, 200))
BODIES: dict[str, tuple[tuple[tuple[int, int], ...], ...]] = {
    "walk": (_ADULT, _ADULT, _WITH_ARM),
    "child": (_CHILD, _RUNNING),
    "wheelchair": (_WHEELCHAIR,),
}


@dataclass
class Truth:
    """What has really happened there."""

    passages: int = 0
    without_scan: int = 0
    hands: Counter[str] = field(default_factory=Counter)


class Doorway:
    """`pins`: the board's constants; `set_input(pin, level)` is the wire. Switches close to ground; contact, beam and tamper
    are closed while all is well."""

    def __init__(
        self, kernel: Kernel, rng: random.Random, pins: Mapping[str, int], set_input: Callable[[int, int], None]
    ) -> None:
        self._kernel = kernel
        self._rng = rng
        self._pins = pins
        self._set_input = set_input
        self._holding = 0  # who keeps the door open
        self._in_beam = 0
        self.truth = Truth()
        self.relay_log: list[tuple[int, int]] = []  # (virtual us, level)
        for name in ("DOOR_CONTACT", "DOOR_BEAM", "TAMPER_PIN"):
            self._set(name, 0)
        for name in ("BUTTON_HELP", "BUTTON_GUARD"):
            self._set(name, 1)

    def pin(self, pin: int, level: int, at_us: int) -> None:
        """An output pin of the board changed."""
        if pin == self._pins.get("RELAY_PIN"):
            self.relay_log.append((at_us, level))

    def _set(self, name: str, level: int) -> None:
        if name in self._pins:
            self._set_input(self._pins[name], level)

    def _switch(self, name: str, level: int) -> None:
        """A mechanical contact changes: it bounces before it stays."""
        moments = sorted(self._rng.randrange(BOUNCE_US) for _ in range(2 * BOUNCES))
        self._set(name, level)
        for number, moment_us in enumerate(moments):
            value = level if number % 2 else 1 - level
            self._kernel.after(moment_us, lambda value=value: self._set(name, value))  # type: ignore[misc]

    def _hold(self, by: int) -> None:
        before, self._holding = self._holding, self._holding + by
        if (before > 0) != (self._holding > 0):
            self._switch("DOOR_CONTACT", 1 if self._holding else 0)

    def _dark(self, by: int) -> None:
        self._in_beam += by
        self._set("DOOR_BEAM", 1 if self._in_beam else 0)

    def _hold_between(self, from_us: int, to_us: int) -> None:
        self._kernel.at(from_us, lambda: self._hold(1))
        self._kernel.at(to_us, lambda: self._hold(-1))

    def _dark_between(self, from_us: int, to_us: int) -> None:
        self._kernel.at(from_us, lambda: self._dark(1))
        self._kernel.at(to_us, lambda: self._dark(-1))

    def plan(self, passage: Passage) -> Iterator[tuple[int, Callable[[], None]]]:
        """(virtual us, what happens then) of everybody in `passage`, in order."""
        for number in range(passage.count):
            at_us = (passage.at_ms + number * passage.every_ms) * 1000
            yield max(0, at_us - OPENS_MS * 1000), lambda: self._come(passage)

    def _come(self, passage: Passage) -> None:
        now_us = self._kernel.now_us
        end_us = now_us + passage.for_ms * 1000
        kind = passage.kind
        if kind in BODIES:
            self._go_through(passage, now_us + OPENS_MS * 1000)
        elif kind == "wedge":
            self._hold_between(now_us, end_us)
        elif kind == "block":
            self._dark_between(now_us, end_us)
        elif kind == "flicker":
            self._flicker(now_us, end_us)
        elif kind == "tamper":
            self._press("TAMPER_PIN", kind, 1, end_us)
        else:
            self._press(f"BUTTON_{kind.upper()}", kind, 0, now_us + PRESS_MS * 1000)

    def _go_through(self, passage: Passage, in_beam_us: int) -> None:
        at_us = in_beam_us
        for number, (least, most) in enumerate(self._rng.choice(BODIES[passage.kind])):
            until_us = at_us + self._rng.randrange(least * 1000, most * 1000)
            if number % 2 == 0:
                self._dark_between(at_us, until_us)
            at_us = until_us
        self._hold_between(self._kernel.now_us, at_us + SHUTS_MS * 1000)
        self.truth.passages += 1
        self.truth.without_scan += not passage.scanned

    def _flicker(self, at_us: int, end_us: int) -> None:
        """A beam out of line, an insect, rain: spells too short for anybody."""
        while at_us < end_us:
            until_us = at_us + self._rng.randrange(2_000, 25_000)
            self._dark_between(at_us, until_us)
            at_us = until_us + self._rng.randrange(40_000, 400_000)

    def _press(self, name: str, kind: str, pressed: int, until_us: int) -> None:
        self.truth.hands[kind] += 1
        self._switch(name, pressed)
        self._kernel.at(until_us, lambda: self._switch(name, 1 - pressed))
