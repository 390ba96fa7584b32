"""`chot shell`: a Python prompt on a board in maintenance, by mpremote; the board goes back to work when it is left."""

from __future__ import annotations

import argparse
import subprocess
import sys

from host_tools.cli.board_options import json_option, port_argument, write_json
from host_tools.errors import EXIT_OK
from host_tools.text import say

SUMMARY = ("mở dấu nhắc Python trên bo mạch", "open a Python prompt on a board")
EXAMPLE = "chot shell /dev/ttyUSB0 --run 'import os; print(os.listdir())'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (parser.description or "") + say(
        ".\nCtrl-] để ra. Ai tới được dấu nhắc đọc được mọi thứ trên bo mạch.",
        ".\nCtrl-] leaves it. Whoever reaches the prompt can read everything on the board.",
    )
    port_argument(parser)
    parser.add_argument("--run", metavar="CODE", help=say("chạy đoạn mã này rồi ra", "run this and leave"))
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Hand the port to mpremote once the board is in maintenance."""
    from host_tools.device.console import in_maintenance, stays_in_maintenance

    printed = None
    if args.run is not None:
        with in_maintenance(args.port) as console:
            printed = console.run(args.run)
        print(printed, end="")
    else:
        with stays_in_maintenance(args.port):
            command = [sys.executable, "-m", "mpremote", "connect", args.port, "resume", "repl"]
            subprocess.run(command, check=False)
    write_json(args.json, {"port": args.port, "printed": printed})
    return EXIT_OK
