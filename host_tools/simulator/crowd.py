"""People and their cards: which picture is before which module when, and what must arrive for it."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass

from PIL import Image

from host_tools.cards import people
from host_tools.cards.pictures import draw
from host_tools.cards.reading import read
from host_tools.simulator.scenario import Crowd, Scenario, Show

# How a worn card of a crowd may look: arguments of `draw`. All of them can be read.
_WORN = (
    {},
    {"rotate_deg": 20.0},
    {"dim": 0.5},
    {"blur_px": 0.8},
    {"rotate_deg": 180.0},
    {"perspective": 0.1},
)


@dataclass(frozen=True)
class Showing:
    """One picture before one module for a while. `scheme` and `card` are what must arrive; None: nothing can be read."""

    board: str
    at_ms: int
    hold_ms: int
    picture: bytes
    scheme: int | None
    card: str | None
    label: str


class Album:
    """Draws each picture once and reads each picture once, however often it is shown."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[object, ...], bytes] = {}
        self._read: dict[bytes, bytes | None] = {}

    def picture(self, payload: bytes, medium: str, **how: object) -> bytes:
        """The PNG of a payload on a medium; `how` as `draw` takes it."""
        key = (payload, medium, *sorted(how.items()))
        found = self._drawn.get(key)
        if found is None:
            encoded = io.BytesIO()
            draw(payload, medium, **how).save(encoded, "PNG", compress_level=1)  # type: ignore[arg-type]
            found = self._drawn[key] = encoded.getvalue()
        return found

    def decode(self, picture: bytes) -> bytes | None:
        """What a module reads in a picture; the picture is all it is given."""
        digest = hashlib.sha256(picture).digest()
        if digest not in self._read:
            self._read[digest] = read(Image.open(io.BytesIO(picture)))
        return self._read[digest]


def showings(scenario: Scenario, album: Album) -> list[Showing]:
    """Everything that is shown in a scenario, in order of time."""
    found = [_shown(show, album) for show in scenario.shows]
    for index, crowd in enumerate(scenario.crowds):
        found += _crowd(crowd, album, random.Random(f"crowd {scenario.seed} {index}"))
    return sorted(found, key=lambda showing: showing.at_ms)


def _shown(show: Show, album: Album) -> Showing:
    if show.kind:
        who = people.person(show.person)
        payload, card, label = people.payload(show.kind, who), people.expected(show.kind, who), f"{show.kind} {show.person}"
    else:
        payload = _payload(show)
        card, label = people.expected_text(payload), f"{len(payload)} bytes"
    picture = album.picture(
        payload,
        show.medium,
        rotate_deg=show.rotate_deg,
        dim=show.dim,
        blur_px=show.blur_px,
        perspective=show.perspective,
        torn=show.torn,
        seed=show.person,
    )
    return _showing(show.board, show.at_ms, show.hold_ms, picture, None if show.torn else card, label)


def _payload(show: Show) -> bytes:
    if show.text is not None:
        return show.text.encode()
    if show.hex is not None:
        return bytes.fromhex(show.hex)
    # Printable filler that is no card, different for each size.
    return bytes(33 + (i * 7 + show.fill) % 90 for i in range(show.fill))


def _showing(board: str, at_ms: int, hold_ms: int, picture: bytes, card: people.Card | None, label: str) -> Showing:
    if card is None:
        return Showing(board, at_ms, hold_ms, picture, None, None, label)
    name = card.id if isinstance(card.id, str) else card.id.hex()
    return Showing(board, at_ms, hold_ms, picture, card.scheme, name, label)


def _crowd(crowd: Crowd, album: Album, rng: random.Random) -> list[Showing]:
    hands: list[tuple[bytes, people.Card, str]] = []
    for index in range(crowd.people):
        who = people.person(crowd.first + index)
        kind = crowd.kinds[index % len(crowd.kinds)]
        medium = crowd.media[index // len(crowd.kinds) % len(crowd.media)]
        how = rng.choice(_WORN) if crowd.worn else {}
        picture = album.picture(people.payload(kind, who), medium, seed=who.seed, **how)
        hands.append((picture, people.expected(kind, who), f"{kind} {who.seed}"))
    found = []
    for index in range(crowd.count):
        picture, card, label = hands[index % len(hands)]
        at_ms = crowd.from_ms + index * crowd.every_ms
        found.append(_showing(crowd.board, at_ms, crowd.hold_ms, picture, card, label))
    return found
