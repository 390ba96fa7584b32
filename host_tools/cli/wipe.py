"""`chot wipe`: erases all of a board's flash and proves that it is blank: no key, no password, no record stays on it."""

from __future__ import annotations

import argparse

from host_tools.cli.board_options import json_option, port_argument, rescue_options, write_json
from host_tools.errors import EXIT_DEVICE, EXIT_OK, UserError
from host_tools.text import say

SUMMARY = ("xoá sạch bo mạch", "erase a board wholly")
EXAMPLE = "chot wipe /dev/ttyUSB0 --rescue gate.bin"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    port_argument(parser)
    rescue_options(parser)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Refuse to lose records, erase, read back."""
    from host_tools.device import dumping
    from host_tools.device.loader import in_loader

    with in_loader(args.port) as board:
        lost = dumping.refuse_to_lose(board, dumping.look(board), rescue=args.rescue, force=args.force)
        board.erase_all()
        if not board.holds(0, b"\xff" * board.flash_bytes):
            raise UserError(
                say(f"{args.port}: flash không xoá hết được", f"{args.port}: the flash did not erase wholly"),
                hint=say("huỷ chip: khoá còn trên đó", "destroy the chip: keys are still on it"),
                exit_code=EXIT_DEVICE,
            )
        result = {"port": args.port, "mac": board.mac.hex(":"), "bytes": board.flash_bytes, "sectors_unconfirmed": lost}
    print(
        say(
            f"{args.port}: {result['bytes']} byte đã xoá, đọc lại trống",
            f"{args.port}: {result['bytes']} bytes erased, and read back blank",
        )
    )
    write_json(args.json, result)
    return EXIT_OK
