"""People and their cards: which picture is before which module when, and what must arrive for it."""

from __future__ import annotations

import heapq
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from host_tools.cards import people
from host_tools.cards.pictures import draw
from host_tools.cards.reading import read
from host_tools.simulator.scenario import Crowd, Scenario, Show

# How a worn card of a crowd may look: arguments of `draw`. All of them can be read.
_WORN: tuple[dict[str, Any], ...] = (
    {},
    {"rotate_deg": 20.0},
    {"dim": 0.5},
    {"blur_px": 0.8},
    {"rotate_deg": 180.0},
    {"perspective": 0.1},
)


@dataclass(frozen=True)
class Showing:
    """One card before one module for a while: its payload on a medium, held as `how` says (arguments of `draw`).
    `scheme` and `card` are what must arrive; None: nothing can be read."""

    board: str
    at_ms: int
    hold_ms: int
    payload: bytes
    medium: str
    how: tuple[tuple[str, Any], ...]
    scheme: int | None
    card: str | None
    label: str
    reader: int = 0


class Album:
    """Draws each picture once and reads each picture once, however often it is shown."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[Any, ...], bytes] = {}
        self._read: dict[bytes, bytes | None] = {}

    def picture(self, showing: Showing) -> bytes:
        """The PNG that is before the lens."""
        key = (showing.payload, showing.medium, *showing.how)
        found = self._drawn.get(key)
        if found is None:
            encoded = io.BytesIO()
            draw(showing.payload, showing.medium, **dict(showing.how)).save(encoded, "PNG", compress_level=1)
            found = self._drawn[key] = encoded.getvalue()
        return found

    def decode(self, picture: bytes) -> bytes | None:
        """What a module reads in a picture; the picture is all it is given."""
        if picture not in self._read:
            self._read[picture] = read(Image.open(io.BytesIO(picture)))
        return self._read[picture]


def showings(scenario: Scenario) -> Iterator[Showing]:
    """Everything that is shown in a scenario, in order of time; a long run's are made as they come."""
    single = sorted((_shown(show) for show in scenario.shows), key=lambda showing: showing.at_ms)
    crowds = [
        _crowd(crowd, random.Random(f"crowd {scenario.seed} {index}"), scenario.day_s * 1000)
        for index, crowd in enumerate(scenario.crowds)
    ]
    return heapq.merge(single, *crowds, key=lambda showing: showing.at_ms)


def _shown(show: Show) -> Showing:
    if show.kind:
        who = people.person(show.person)
        payload, card = people.payload(show.kind, who), people.expected(show.kind, who)
        label = f"{show.kind} {show.person}"
    else:
        payload = _payload(show)
        card, label = people.expected_text(payload), f"{len(payload)} bytes"
    how = {
        "rotate_deg": show.rotate_deg,
        "dim": show.dim,
        "blur_px": show.blur_px,
        "perspective": show.perspective,
        "torn": show.torn,
        "seed": show.person,
    }
    readable = None if show.torn else card
    where = (show.board, show.reader)
    return _showing(where, show.at_ms, show.hold_ms, payload, show.medium, how, readable, label)


def _payload(show: Show) -> bytes:
    if show.text is not None:
        return show.text.encode()
    if show.hex is not None:
        return bytes.fromhex(show.hex)
    # Printable filler that is no card, different for each size.
    return bytes(33 + (i * 7 + show.fill) % 90 for i in range(show.fill))


def _showing(
    where: tuple[str, int],
    at_ms: int,
    hold_ms: int,
    payload: bytes,
    medium: str,
    how: dict[str, Any],
    card: people.Card | None,
    label: str,
) -> Showing:
    scheme, name = None, None
    if card is not None:
        scheme, name = card.scheme, card.id if isinstance(card.id, str) else card.id.hex()
    board, reader = where
    return Showing(board, at_ms, hold_ms, payload, medium, tuple(sorted(how.items())), scheme, name, label, reader)


def _crowd(crowd: Crowd, rng: random.Random, day_ms: int) -> Iterator[Showing]:
    hands: list[tuple[bytes, str, dict[str, Any], people.Card, str]] = []
    for index in range(crowd.people):
        who = people.person(crowd.first + index)
        kind = crowd.kinds[index % len(crowd.kinds)]
        medium = crowd.media[index // len(crowd.kinds) % len(crowd.media)]
        how = {**(rng.choice(_WORN) if crowd.worn else {}), "seed": who.seed}
        hands.append((people.payload(kind, who), medium, how, people.expected(kind, who), f"{kind} {who.seed}"))
    for day in range(crowd.days):
        for index in range(crowd.count):
            payload, medium, how, card, label = hands[index % len(hands)]
            at_ms = crowd.from_ms + day * day_ms + index * crowd.every_ms
            yield _showing((crowd.board, crowd.reader), at_ms, crowd.hold_ms, payload, medium, how, card, label)
