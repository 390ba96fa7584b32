"""Says what a picture was made from: a hash over its sources, written into the picture and compared by a test."""

from __future__ import annotations

import hashlib
from pathlib import Path

HASH_LENGTH = 16


def digest(*sources: str | bytes | Path) -> str:
    """The hash of texts and files in this order, in hexadecimal: 16 digits."""
    total = hashlib.sha256()
    for source in sources:
        content = source.read_bytes() if isinstance(source, Path) else source
        total.update(hashlib.sha256(content.encode() if isinstance(content, str) else content).digest())
    return total.hexdigest()[:HASH_LENGTH]


def line(made_from: str, value: str) -> str:
    """The line that a picture bears."""
    return f"made from {made_from}, sha256 {value}"


def bears(picture: Path, value: str) -> bool:
    """True if the file (SVG, PNG or STL) says that it was made from sources of this hash."""
    return picture.exists() and f"sha256 {value}".encode() in picture.read_bytes()
