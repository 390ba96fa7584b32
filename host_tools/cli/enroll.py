"""`chot enroll`: registers a flashed board with a collector by a one-time token; writes its identity and settings."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path
from typing import Any

from host_tools.cli.board_options import (
    centre_options,
    json_option,
    lists_option,
    port_argument,
    read_bytes,
    read_config,
    rescue_options,
    setting,
    write_json,
)
from host_tools.errors import EXIT_DEVICE, EXIT_OK, EXIT_USAGE, UserError
from host_tools.text import say

SUMMARY = ("ghi danh bo mạch với trung tâm", "enrol a board with a collector")
EXAMPLE = "chot enroll /dev/ttyUSB0 --collector http://10.0.0.5:8080 --token k3j5z-... --set 'wifi=[{\"ssid\":\"cho\"}]'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    port_argument(parser)
    centre_options(parser)
    token = say(
        "mã dùng một lần ('chot collector token' tạo; không có thì hỏi)",
        "the one-time token ('chot collector token' makes it); asked for if not given",
    )
    parser.add_argument("--token", help=token)
    parser.add_argument("--config", type=Path, metavar="FILE", help=say("cấu hình mới, JSON", "new settings, JSON"))
    text = say("đổi một mục cấu hình (nhiều lần được)", "change one setting (may be given again)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings", help=text)
    lists_option(parser)
    rescue_options(parser)
    json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Ask the collector, then write the identity by esptool and the settings by mpremote."""
    from host_tools.build.settings import check_config
    from host_tools.device import dumping, flashing
    from host_tools.device.enrolling import centre, enrol
    from host_tools.device.loader import in_loader
    from host_tools.device.settings import changed, put

    settings = dict(map(setting, args.settings))
    config = None if args.config is None else read_config(args.config)
    if config is not None:
        check_config(flashing.FIRMWARE_DIR, {**config, **settings})
    at = centre(args.collector, args.board_url, args.ca)
    lists = read_bytes(args.lists, "--lists")
    try:
        token = args.token or getpass.getpass(say("mã ghi danh: ", "token: "))
    except EOFError:
        raise UserError(
            say("không có mã ghi danh", "there is no token"),
            hint=say("thêm --token", "add --token"),
            exit_code=EXIT_USAGE,
        ) from None
    with in_loader(args.port) as board:
        flashed = dumping.look(board)
        journal = flashed.journal()
        if journal is None:
            raise UserError(
                say(f"{args.port}: chưa nạp Chốt", f"{args.port}: Chốt is not on it"),
                hint=say("nạp trước bằng 'chot flash'", "'chot flash' comes first"),
                exit_code=EXIT_DEVICE,
            )
        kept = config if config is not None else flashing.kept_config(board, flashed) or {}
        at.check({**kept, **settings})
        # What was recorded under the key that it has now opens with no other.
        sectors = dumping.refuse_to_lose(board, flashed, rescue=args.rescue, force=args.force)
        identity, checkpoint = enrol(at, token, board.device_id)
        if sectors:
            board.erase(journal.offset, journal.size)
        flashing.write_identity(board, identity, lists)
    if config is not None or settings:
        put(args.port, lambda old: changed(old if config is None else config, settings, above=old))
    result: dict[str, Any] = {
        "port": args.port,
        "device": identity.device_id.hex(),
        "checkpoint": checkpoint,
        "collector": identity.collector_url,
    }
    print(
        say(
            f"{args.port}: {result['device']} thuộc chốt '{checkpoint}', gửi về {identity.collector_url}",
            f"{args.port}: {result['device']} serves '{checkpoint}' and reports to {identity.collector_url}",
        )
    )
    write_json(args.json, result)
    return EXIT_OK
