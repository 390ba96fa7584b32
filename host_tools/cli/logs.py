"""`chot logs`: what a board prints at its console, as it comes, without disturbing it."""

from __future__ import annotations

import argparse
import sys

from host_tools.cli.board_options import json_option, port_argument, write_json
from host_tools.errors import EXIT_OK
from host_tools.text import say

SUMMARY = ("xem những gì bo mạch in ra", "show what a board prints")
EXAMPLE = "chot logs /dev/ttyUSB0 --seconds 10"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    port_argument(parser)
    text = say("dừng sau ngần ấy giây (mặc định: Ctrl-C)", "end after so many seconds (default: Ctrl-C)")
    parser.add_argument("--seconds", type=float, help=text)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Listen until the time is over, or Ctrl-C: both are a good end."""
    from host_tools.device.console import listen

    seen = bytearray()

    def heard(data: bytes) -> None:
        seen.extend(data)
        # A board is no reason for a terminal to do anything but show text.
        text = data.decode("utf-8", "replace").replace("\r\n", "\n")
        sys.stdout.write("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text))
        sys.stdout.flush()

    try:
        listen(args.port, heard, args.seconds)
    except KeyboardInterrupt:
        print()
    write_json(args.json, {"port": args.port, "lines": seen.decode("utf-8", "replace").splitlines()})
    return EXIT_OK
