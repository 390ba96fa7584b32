"""The picture set: every kind of code on every medium, held badly; a fifth may be beyond reading, none may mislead.

`chot cards DIR --set` writes it. A deck (deck.py) holds only pictures of which it is known beforehand whether they can be
read; here it is known of the torn ones alone.
"""

from __future__ import annotations

import itertools
from typing import Any

from host_tools.cards.deck import Showing
from host_tools.cards.people import KINDS, people
from host_tools.cards.pictures import MEDIA

SEED = 4
READABLE_PERCENT = 80

# How the codes are held. Each kind meets each of them on each medium, a little different each time (`_held`).
HOLDS: tuple[dict[str, Any], ...] = (
    {"rotate_deg": 31, "perspective": 0.12},
    {"glare": 0.24},
    {"blur_px": 1.5},
    {"perspective": 0.34, "rotate_deg": -14},
    {"dim": 0.22, "rotate_deg": 160, "glare": 0.1},
    {"blur_px": 1.0, "perspective": 0.2, "dim": 0.5, "glare": 0.16},
)


def picture_set() -> list[Showing]:
    """The showings of the set, each of another person; always the same."""
    showings: list[Showing] = []
    crowd = iter(people(len(KINDS) * len(MEDIA) * len(HOLDS), SEED))
    for row, (hold, medium) in enumerate(itertools.product(HOLDS, MEDIA)):
        for kind in KINDS:
            index = len(showings)
            conditions = _held(hold, index)
            if kind == KINDS[row % len(KINDS)]:  # another kind in each row, so that each is torn at some time
                conditions["torn"] = True
            showings.append(Showing(index, kind, next(crowd), medium, conditions))
    return showings


def _held(hold: dict[str, Any], index: int) -> dict[str, Any]:
    """No two hands hold alike: up to a fifth less or more of everything but the light."""
    share = 0.8 + 0.4 * (index * 37 % 101) / 100
    return {name: value if name == "dim" else round(value * share, 3) for name, value in hold.items()}
