"""`chot flash`: MicroPython, partition table, firmware, settings and identity onto a board, in one pass and verified."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from host_tools.cli.board_options import (
    json_option,
    lists_option,
    port_argument,
    progress_line,
    read_bytes,
    read_config,
    rescue_options,
    write_json,
)
from host_tools.errors import EXIT_OK
from host_tools.text import say

SUMMARY = ("nạp MicroPython và Chốt vào bo mạch", "flash MicroPython and Chốt onto a board")
EXAMPLE = "chot flash /dev/ttyUSB0 --board esp32-devkitc --micropython ESP32_GENERIC.bin --config config.json"
DEFAULT_CONFIG = {"version": 1}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (parser.description or "") + say(
        ".\nBo mạch đã ghi danh giữ danh tính; không có --config thì giữ cả cấu hình.",
        ".\nA board that is enrolled keeps its identity, and without --config its settings too.",
    )
    port_argument(parser)
    flashing_options(parser)
    parser.add_argument("--config", type=Path, metavar="FILE", help=say("cấu hình, JSON", "settings, JSON"))
    parser.add_argument("--identity", type=Path, metavar="FILE", help=say("danh tính, JSON", "identity, JSON"))
    lists_option(parser)
    rescue_options(parser)
    json_option(parser)


def flashing_options(parser: argparse.ArgumentParser) -> None:
    """--board and --micropython, of every command that flashes."""
    parser.add_argument("--board", required=True, help=say("tên trong hardware/boards/", "a name in hardware/boards/"))
    text = say("tệp .bin từ micropython.org, từ 1.24 (4G: 1.27)", "the .bin from micropython.org, 1.24 or newer (4G: 1.27)")
    parser.add_argument("--micropython", type=Path, required=True, metavar="FILE", help=text)


def run(args: argparse.Namespace) -> int:
    """Check everything that can be checked without the board, then the board, then write."""
    from host_tools.build.identity import load_identity
    from host_tools.device import dumping, flashing
    from host_tools.device.loader import in_loader
    from host_tools.device.micropython import load

    maker = flashing.Maker(load(args.micropython), args.board)
    config = None if args.config is None else read_config(args.config)
    if config is not None:
        maker.check(config, None, enrolled=False)
    given = None if args.identity is None else load_identity(args.identity)
    lists = read_bytes(args.lists, "--lists")
    begun_s = time.monotonic()
    with in_loader(args.port) as board:
        flashing.check_board(board, maker)
        flashed = dumping.look(board)
        identity = given or flashed.identity
        if config is None:
            config = flashing.kept_config(board, flashed) or DEFAULT_CONFIG
        plan = maker.plan(board.flash_bytes, config, identity, lists)
        dumping.refuse_to_lose(board, flashed, rescue=args.rescue, force=args.force)
        flashing.write(board, plan, progress_line(say("nạp", "flashing")))
        result = {
            "port": args.port,
            "chip": board.chip,
            "mac": board.mac.hex(":"),
            "flash_mib": board.flash_bytes >> 20,
            "micropython": maker.micropython.version_text,
            "device": None if identity is None else identity.device_id.hex(),
            "seconds": round(time.monotonic() - begun_s, 1),
        }
    who = result["device"] or say("chưa ghi danh: 'chot enroll'", "not enrolled yet: 'chot enroll'")
    print(
        say(
            f"{args.port}: đã nạp và kiểm tra, MicroPython {result['micropython']}, {who}",
            f"{args.port}: flashed and verified, MicroPython {result['micropython']}, {who}",
        )
    )
    write_json(args.json, result)
    return EXIT_OK
