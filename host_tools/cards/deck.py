"""Makes a deck of pictures: many people's cards of every kind, on every medium, in good and bad conditions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from host_tools.cards.people import KINDS, Card, Person, expected, payload, people
from host_tools.cards.pictures import MEDIA, draw
from host_tools.cards.reading import read
from host_tools.errors import UserError
from host_tools.text import say

MANIFEST = "manifest.json"

# How cards are held: most well, some badly, one in eleven torn. `deck` shifts them, and the media, by one each time the
# kinds are through, so that in time every kind is held in every way.
CONDITIONS: tuple[dict[str, Any], ...] = (
    {},
    {"rotate_deg": 25},
    {"dim": 0.35},
    {},
    {"blur_px": 1.2},
    {"perspective": 0.25},
    {"torn": True},
    {"rotate_deg": -110, "dim": 0.6},
    {},
    {"rotate_deg": 180},
    {"perspective": 0.15, "blur_px": 0.8, "rotate_deg": -12},
)


@dataclass(frozen=True)
class Showing:
    """One card as it is shown: whose, of which kind, on what, and how it is held (arguments of `draw`)."""

    index: int
    kind: str
    who: Person
    medium: str
    conditions: dict[str, Any] = field(default_factory=dict)

    @property
    def payload(self) -> bytes:
        """The bytes in the symbol."""
        return payload(self.kind, self.who)

    @property
    def expected(self) -> Card | None:
        """What must arrive; None for a torn card, which nothing can read."""
        return None if self.conditions.get("torn") else expected(self.kind, self.who)

    def draw(self) -> Image.Image:
        """Its picture; the same one each time."""
        return draw(self.payload, self.medium, seed=self.who.seed, **self.conditions)

    @property
    def file(self) -> str:
        """The name of its picture."""
        return f"{self.index:03d}-{self.medium}-{self.kind}.png"


def deck(count: int, seed: int = 0, media: tuple[str, ...] = MEDIA) -> list[Showing]:
    """`count` showings, each of another person; the same arguments give the same deck."""
    showings = []
    for index, who in enumerate(people(count, seed)):
        kind = KINDS[index % len(KINDS)]
        turn = index + index // len(KINDS)
        conditions = CONDITIONS[turn % len(CONDITIONS)]
        showings.append(Showing(index, kind, who, media[turn % len(media)], dict(conditions)))
    return showings


def write_deck(directory: Path, showings: list[Showing]) -> list[bytes | None]:
    """Draw every showing into `directory` with a manifest.json, and return what zxing-cpp reads from each file.

    UserError when the directory cannot be written.
    """
    manifest, readings = [], []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for showing in showings:
            path = directory / showing.file
            picture = showing.draw()
            picture.save(path)
            readings.append(read(path))
            manifest.append(_entry(showing) | {"pixels": hashlib.sha256(picture.tobytes()).hexdigest()})
        (directory / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(
            say(f"không ghi được {directory}: {error.strerror}", f"cannot write {directory}: {error.strerror}"),
            hint=say("chọn thư mục khác", "choose another directory"),
        ) from None
    return readings


def _entry(showing: Showing) -> dict[str, Any]:
    """A picture's line in the manifest; a digest is given as hex under its own name, for an id is text."""
    entry: dict[str, Any] = {"file": showing.file, "medium": showing.medium, "kind": showing.kind}
    entry["conditions"] = showing.conditions
    card = showing.expected
    entry["scheme"] = None if card is None else card.scheme
    if card is not None:
        entry["verdict"] = card.verdict
        if isinstance(card.id, bytes):
            entry["digest"] = card.id.hex()
        else:
            entry["id"] = card.id
    return entry
