"""Where the worked examples of the formats are: $CHOT_VECTORS, else shared/ beside the checkout, else the copy kept here."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
COPY = HERE / "vectors" / "journal-v1.json"
SHARED = HERE.parent.parent / "shared" / "vectors" / "journal-v1.json"


def path() -> Path:
    """The file that both sides of the conformance tests read."""
    if "CHOT_VECTORS" in os.environ:
        return Path(os.environ["CHOT_VECTORS"])
    return SHARED if SHARED.is_file() else COPY
