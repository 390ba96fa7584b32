"""The picture set: what can be read of it ends in the right scheme and id inside MicroPython, what cannot gives no id.

All 324 pictures take a minute: CHOT_ALL_PICTURES=1. Without it, every seventh, which meets every kind, medium and hold.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter

from host_tools.cards.people import KINDS
from host_tools.cards.picture_set import HOLDS, READABLE_PERCENT, picture_set
from host_tools.cards.pictures import MEDIA
from host_tools.cards.reading import read
from host_tools.formats.records import DIGEST, pack_id
from tests.cards.in_micropython import ROOT, identify

SHOWINGS = picture_set()
SAMPLE = SHOWINGS if os.environ.get("CHOT_ALL_PICTURES") else SHOWINGS[::7]
DEFECTS = {"rotate_deg", "perspective", "blur_px", "glare", "dim", "torn"}


def test_what_the_set_has() -> None:
    assert len(SHOWINGS) >= 300 and len({showing.who.seed for showing in SHOWINGS}) == len(SHOWINGS)
    assert Counter((s.kind, s.medium) for s in SHOWINGS) == {
        (kind, medium): len(HOLDS) for kind in KINDS for medium in MEDIA
    }
    assert {s.kind for s in SHOWINGS if s.expected is None} == set(KINDS), "each kind torn once"
    assert {name for s in SAMPLE for name in s.conditions} == DEFECTS
    assert {s.kind for s in SAMPLE} == set(KINDS) and {s.medium for s in SAMPLE} == set(MEDIA)


def test_every_readable_one_ends_in_the_right_scheme_and_id() -> None:
    readings = [(showing, read(showing.draw())) for showing in SAMPLE]
    readable = [(showing, data) for showing, data in readings if data is not None]
    assert len(readable) * 100 >= len(SAMPLE) * READABLE_PERCENT
    found = identify([data for _, data in readable])
    for (showing, _), (scheme, packed) in zip(readable, found, strict=True):
        truth = showing.expected
        assert truth is not None, f"{showing.file} is torn, and read"
        wanted = pack_id(truth.id) if isinstance(truth.id, str) else bytes((DIGEST,)) + truth.id
        assert (scheme, packed) == (truth.scheme, wanted), showing.file


def test_another_process_draws_the_same_pictures() -> None:
    program = (
        "import hashlib; from host_tools.cards.picture_set import picture_set\n"
        "for s in picture_set()[5::100]: print(hashlib.sha256(s.draw().tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    here = [hashlib.sha256(showing.draw().tobytes()).hexdigest() for showing in SHOWINGS[5::100]]
    assert done.stdout.split() == here and len(set(here)) == 4
