"""Makes the golden list file and the JSON of what is in it. Run it only when the version of the format changes.

.venv/bin/python -m tests.formats.golden.make_lists
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from host_tools.formats import lists, records

HERE = Path(__file__).resolve().parent
FILE = HERE / "lists-v1.txt"
EXPECTED = HERE / "lists-v1.json"
ROW = 64

KEY = bytes(range(0x40, 0x60))
VERSION = 20261126
DATE = datetime.date(2026, 11, 26)
DIGEST = records.pack_digest(b"HC1:" + b"A" * 100)
# One of each scheme is denied; the allow list is of citizen cards.
DENIED = [
    (0, b"\0" + b"12345"),
    (0, b"\0" + "thẻ khách số 7".encode()),
    (0, records.pack_digest(b"x" * 65)),
    (1, records.pack_id("162979388586171100")),
    (2, records.pack_id("046099012345")),
    (3, records.pack_id("0123456789")),
    (3, records.pack_id("GD4012345678901")),
    *((scheme, DIGEST) for scheme in range(4, 9)),
]
ALLOWED = [(2, records.pack_id(f"0460990{number:05}")) for number in range(60)]
# Of these, the first few, and those that the filter takes for its own.
OTHERS = [(2, records.pack_id(f"0790990{number:05}")) for number in range(1000)]
_SHOWN = 20


def made() -> tuple[str, str]:
    """The text form of the file and the JSON, as the host makes them today."""
    prints = {card: lists.fingerprint(KEY, *card) for card in (*DENIED, *ALLOWED, *OTHERS)}
    file = lists.encode(KEY, VERSION, DATE, deny=[prints[card] for card in DENIED], allow=[prints[card] for card in ALLOWED])
    rows = (f"{at:04x} {file[at : at + ROW].hex()}\n" for at in range(0, len(file), ROW))
    found = lists.decode(file)
    taken = [card for card in OTHERS if found.allow_holds(prints[card])]
    cards = [
        {
            "scheme": scheme,
            "id": packed.hex(),
            "fingerprint": value.hex(),
            "denied": found.deny_holds(value),
            "allowed": found.allow_holds(value),
        }
        for (scheme, packed), value in ((card, prints[card]) for card in (*DENIED, *ALLOWED, *OTHERS[:_SHOWN], *taken))
    ]
    return "".join(rows), _laid_out({"list_key": KEY.hex(), "version": VERSION, "date": DATE.isoformat(), "cards": cards})


def file_bytes() -> bytes:
    """The file from its text form."""
    return b"".join(bytes.fromhex(line.split()[1]) for line in FILE.read_text("utf-8").splitlines())


def _laid_out(found: dict[str, Any]) -> str:
    """JSON with a line for each card."""
    cards = ",\n".join(f"  {json.dumps(card)}" for card in found.pop("cards"))
    members = [f' "{name}": {json.dumps(value)}' for name, value in found.items()]
    return "{\n" + ",\n".join([*members, f' "cards": [\n{cards}\n ]']) + "\n}\n"


if __name__ == "__main__":
    for path, text in zip((FILE, EXPECTED), made(), strict=True):
        path.write_text(text, encoding="utf-8")
