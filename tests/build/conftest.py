"""What the build tests share: a small firmware tree, an identity, and the real MicroPython."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from host_tools.build.identity import Identity

RING = 'def where(divisor):\n    """Fails on purpose."""\n    value = 1\n    return value // divisor\n'

WORDS = "0123456789" * 30
# The names that main.py uses are the ones that keep their length.
MAIN = "from journal.ring import where\nfrom journal.words import WORDS\nfrom board import SCANNER_TX\n"


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    """A firmware tree with a package, a stale board.py, and things that do not belong on a board."""
    root = tmp_path / "firmware"
    (root / "journal").mkdir(parents=True)
    (root / "main.py").write_text(MAIN)
    (root / "board.py").write_text("SCANNER_TX = 99\n")
    (root / "journal" / "ring.py").write_text(RING)
    # Longer than the board's cache of 128 bytes.
    (root / "journal" / "words.py").write_text(f"WORDS = {WORDS!r}\n")
    (root / "journal" / "__init__.py").write_text('"""A package."""\n')
    (root / "journal" / "notes.txt").write_text("not for the board")
    return root


@pytest.fixture
def identity() -> Identity:
    """A made-up board."""
    return Identity(
        device_id=bytes.fromhex("0000246f28aabbcc"),
        device_key=b"\x11" * 32,
        collector_public=b"\x22" * 32,
        collector_url="http://127.0.0.1:8080",
        list_key=b"\xa5" * 32,
    )


@pytest.fixture
def micropython() -> Path:
    """The MicroPython executable that the pinned package brought, or MICROPYTHON."""
    path = Path(os.environ.get("MICROPYTHON") or Path(sys.executable).parent / "micropython")
    assert path.is_file(), f"no MicroPython at {path}"
    return path
