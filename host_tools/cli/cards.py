"""`chot cards`: pictures of cards to hold before a checkpoint, virtual or real, and what each must arrive as."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from host_tools.errors import EXIT_OK, EXIT_PROMISE_BROKEN, UserError
from host_tools.text import say

SUMMARY = ("vẽ ảnh thẻ QR của người không có thật", "draw pictures of QR cards of people who do not exist")
EXAMPLE = "chot cards cards/ --count 40 --seed 7"

_MEDIA = ("paper", "plastic", "phone")
_MAX_COUNT = 1000


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("directory", type=Path, metavar="OUT_DIR", help=say("nơi ghi ảnh", "where the pictures go"))
    parser.add_argument("--count", type=int, default=33, help=say("số ảnh (33)", "how many (33)"))
    parser.add_argument(
        "--seed", type=int, default=0, help=say("cùng số, cùng ảnh (0)", "same number, same pictures (0)")
    )
    parser.add_argument(
        "--set",
        action="store_true",
        help=say("bộ ảnh kiểm tra: 324 ảnh, luôn như nhau", "the picture set of the tests: 324, always the same"),
    )
    parser.add_argument(
        "--medium", choices=_MEDIA, action="append", help=say("chỉ loại này; lặp được", "only this; may be repeated")
    )


def run(args: argparse.Namespace) -> int:
    """Draw, read back, and say how many are read; 1 when a picture does not read as it must."""
    from host_tools.cards.deck import MANIFEST, deck, write_deck
    from host_tools.cards.picture_set import READABLE_PERCENT, picture_set

    if not 1 <= args.count <= _MAX_COUNT:
        raise UserError(
            say(f"--count {args.count} ngoài khoảng", f"--count {args.count} is out of range"),
            hint=say(f"từ 1 đến {_MAX_COUNT}", f"1 to {_MAX_COUNT}"),
        )
    showings = picture_set() if args.set else deck(args.count, args.seed, tuple(args.medium or _MEDIA))
    readings = write_deck(args.directory, showings)

    torn = [showing for showing in showings if showing.expected is None]
    read = sum(reading is not None for reading in readings)
    print(
        say(
            f"{len(showings)} ảnh và {MANIFEST} trong {args.directory}; zxing-cpp đọc được {read}, rách {len(torn)}",
            f"{len(showings)} pictures and {MANIFEST} in {args.directory}; zxing-cpp reads {read}, {len(torn)} torn",
        )
    )
    wrong = []
    for showing, reading in zip(showings, readings, strict=True):
        wanted = None if showing.expected is None else showing.payload
        # Of the set it is not known beforehand which can be read, only that none may read as something else.
        if reading != wanted and not (args.set and reading is None):
            wrong.append(showing)
    for showing in wrong:
        print(say(f"đọc sai: {showing.file}", f"reads wrong: {showing.file}"))
    if args.set:
        digest = hashlib.sha256((args.directory / MANIFEST).read_bytes()).hexdigest()
        print(say(f"SHA-256 của {MANIFEST}: {digest}", f"SHA-256 of {MANIFEST}: {digest}"))
        if read * 100 < len(showings) * READABLE_PERCENT:
            print(say(f"đọc được dưới {READABLE_PERCENT} %", f"fewer than {READABLE_PERCENT} % can be read"))
            return EXIT_PROMISE_BROKEN
    return EXIT_PROMISE_BROKEN if wrong else EXIT_OK
