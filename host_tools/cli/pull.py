"""`chot pull`: the journal off a board, running or dead, into a dump that `chot rescue` opens."""

from __future__ import annotations

import argparse
from pathlib import Path

from host_tools.cli.board_options import json_option, port_argument, write_json
from host_tools.errors import EXIT_OK
from host_tools.private_files import write_private_bytes
from host_tools.text import say

SUMMARY = ("lấy nhật ký khỏi bo mạch", "take the journal off a board")
EXAMPLE = "chot pull /dev/ttyUSB0 --output gate.bin"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (parser.description or "") + say(
        ".\nBo mạch giữ nguyên nhật ký và làm việc tiếp. Trong tệp có khoá của nó: chỉ chủ tệp đọc được.",
        ".\nThe board keeps its journal and goes back to work. The file holds its key: only its owner may read it.",
    )
    port_argument(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help=say("tệp ảnh", "the dump to write"))
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Read, write, say how much is in it."""
    from host_tools.device import dumping
    from host_tools.device.loader import in_loader

    with in_loader(args.port) as board:
        flashed = dumping.look(board)
        journal = dumping.read_journal(board, flashed)
        image = dumping.dump(board, flashed, journal)
    write_private_bytes(args.output, image, "--output")
    sectors = dumping.unreleased_sectors(journal)
    print(
        say(
            f"{args.output}: nhật ký, {sectors} sector chưa về trung tâm",
            f"{args.output}: the journal, {sectors} sectors no collector has confirmed",
        )
    )
    write_json(args.json, {"port": args.port, "file": str(args.output), "unreleased_sectors": sectors})
    return EXIT_OK
