"""`chot ports`: the boards on this machine's USB: which chip, which MAC, what runs on it."""

from __future__ import annotations

import argparse
from typing import Any

from host_tools.cli.board_options import json_option, write_json
from host_tools.errors import EXIT_DEVICE, EXIT_OK, UserError
from host_tools.text import say

SUMMARY = ("liệt kê bo mạch ở các cổng USB", "list the boards on the USB ports")
EXAMPLE = "chot ports"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (parser.description or "") + say(
        ".\nMỗi bo mạch bị khởi động lại một lần để hỏi chip; nó làm việc tiếp sau vài giây.",
        ".\nEach board is restarted once to ask its chip; it goes back to work within seconds.",
    )
    parser.add_argument(
        "port", nargs="*", metavar="PORT", help=say("chỉ các cổng này", "these ports only (default: all on USB)")
    )
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Ask each board, print a line a board."""
    from host_tools.device.ports import usb_ports

    listed = dict.fromkeys(args.port, "") or {port.name: port.description for port in usb_ports()}
    found = [ask(name, description) for name, description in listed.items()]
    for board in found:
        if "error" in board:
            print(f"{board['port']}  {board['error']}")
        else:
            size = f"{board['flash_mib']} MiB"
            print(f"{board['port']}  {board['chip']}  {board['mac']}  {size}  {runs(board)}")
    if not found:
        print(say("không có cổng USB nào", "there is no USB port"))
    write_json(args.json, found)
    return EXIT_DEVICE if any("error" in board for board in found) else EXIT_OK


def ask(port: str, description: str) -> dict[str, Any]:
    """What a board is and what runs on it, or `error` and `hint`."""
    from host_tools.device.dumping import look
    from host_tools.device.loader import in_loader
    from host_tools.device.micropython import app_version

    try:
        with in_loader(port) as board:
            flashed = look(board)
            identity = flashed.identity
            return {
                "port": port,
                "usb": description,
                "chip": board.chip,
                "revision": board.description,
                "mac": board.mac.hex(":"),
                "flash_mib": board.flash_bytes >> 20,
                "runs": app_version(flashed.app),
                "chot": flashed.journal() is not None,
                "device": None if identity is None else identity.device_id.hex(),
                "collector": None if identity is None else identity.collector_url,
            }
    except UserError as error:
        return {"port": port, "usb": description, "error": error.message, "hint": error.hint}


def runs(board: dict[str, Any]) -> str:
    """In words, what is on the flash."""
    if board["device"]:
        return f"Chốt {board['device']} → {board['collector']}, {board['runs']}"
    if board["chot"]:
        return say(f"Chốt, chưa ghi danh, {board['runs']}", f"Chốt, not enrolled, {board['runs']}")
    return board["runs"] or say("trống", "bare")
