"""`chot replace`: a new board takes an old one's place; the checkpoint keeps the history of both."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from host_tools.cli.board_options import json_option, write_json
from host_tools.errors import EXIT_OK, EXIT_USAGE, UserError
from host_tools.text import say

SUMMARY = ("thay bo mạch cũ bằng bo mới", "put a new board in an old one's place")
EXAMPLE = "chot replace 000024a160112233 000024a160445566 --db centre/collector.db"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    text = say("mã thiết bị, 16 chữ số hex", "device id, 16 hex digits")
    parser.add_argument("old", metavar="OLD", help=text)
    parser.add_argument("new", metavar="NEW", help=text)
    database = say("cơ sở dữ liệu trung tâm", "the collector's database")
    parser.add_argument("--db", type=Path, required=True, metavar="PATH", help=database)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Move the new board; say what the old one may still hold."""
    from host_tools.collector.enrolment import replace
    from host_tools.collector.store import Store
    from host_tools.collector.trouble import database_errors
    from host_tools.collector.wording import moment

    old, new = _device(args.old), _device(args.new)
    with database_errors(args.db), Store(args.db, make=False) as store:
        done = replace(store, old, new, time.time_ns() // 1_000_000)
    seen = say("chưa bao giờ", "never") if done.last_seen_ms is None else moment(done.last_seen_ms)
    print(
        say(
            f"'{done.checkpoint}': {args.new} thay {args.old}; lịch sử của cả hai thuộc chốt này",
            f"'{done.checkpoint}': {args.new} in the place of {args.old}; the history of both is the checkpoint's",
        )
    )
    print(
        say(
            f"bo cũ liên lạc lần cuối: {seen}. Còn bản ghi trên nó? 'chot rescue PORT --db {args.db}'",
            f"the old board was last heard: {seen}. Records left on it? 'chot rescue PORT --db {args.db}'",
        )
    )
    result = {"checkpoint": done.checkpoint, "old": args.old, "new": args.new, "last_seen": done.last_seen_ms}
    write_json(args.json, {**result, "unreleased_sectors": done.unreleased_sectors})
    return EXIT_OK


def _device(text: str) -> bytes:
    try:
        device_id = bytes.fromhex(text)
    except ValueError:
        device_id = b""
    if len(device_id) != 8:
        raise UserError(
            say("mã thiết bị là 16 chữ số hex", "a device id is 16 hex digits"),
            hint=say("'chot collector status DIR' liệt kê chúng", "'chot collector status DIR' lists them"),
            exit_code=EXIT_USAGE,
        )
    return device_id
