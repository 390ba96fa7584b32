"""`chot config`: the settings of a board on USB: shown, changed, or a file of them checked without a board."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from host_tools.cli.board_options import json_option, port_argument, read_config, setting, write_json
from host_tools.errors import EXIT_OK, EXIT_USAGE, UserError
from host_tools.text import say

SUMMARY = ("xem, đổi, kiểm tra cấu hình", "show, change and check settings")
EXAMPLE = "chot config set /dev/ttyUSB0 repeat_window_s=120"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The subcommands and their arguments."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def command(name: str, vi: str, en: str, act: Any) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = commands.add_parser(name, help=say(vi, en), description=say(vi, en))
        sub.set_defaults(act=act)
        return sub

    show = command("get", "xem cấu hình trên bo mạch", "show a board's settings", _get)
    port_argument(show)
    show.add_argument("name", nargs="?", metavar="NAME", help=say("chỉ mục này", "this one only"))
    secrets = say("hiện cả mật khẩu Wi-Fi", "Wi-Fi passwords too")
    show.add_argument("--passwords", action="store_true", help=secrets)
    json_option(show)

    change = command("set", "đổi cấu hình trên bo mạch", "change a board's settings", _set)
    port_argument(change)
    change.add_argument("settings", nargs="+", metavar="NAME=VALUE", help=say("VALUE là JSON hay chữ", "VALUE: JSON or text"))
    json_option(change)

    check = command("validate", "kiểm tra một tệp cấu hình", "check a file of settings", _validate)
    check.add_argument("file", type=Path, metavar="FILE", help=say("cấu hình, JSON", "settings, JSON"))
    json_option(check)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    return int(args.act(args))


def _get(args: argparse.Namespace) -> int:
    from host_tools.device.settings import get, without_passwords

    config = get(args.port)
    if args.name is not None and args.name not in config:
        raise UserError(
            say(f"bo mạch không đặt '{args.name}': dùng mặc định", f"the board does not set '{args.name}': the default holds"),
            hint=say("có: ", "it sets: ") + ", ".join(config),
            exit_code=EXIT_USAGE,
        )
    if args.name is not None:
        config = {args.name: config[args.name]}
    if not args.passwords:
        config = without_passwords(config)
    for name, value in config.items():
        print(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    write_json(args.json, config)
    return EXIT_OK


def _set(args: argparse.Namespace) -> int:
    from host_tools.device.settings import changed, put, without_passwords

    settings = dict(map(setting, args.settings))
    _, new = put(args.port, lambda old: changed(old, settings, above=old))
    shown = without_passwords({name: new[name] for name in (*settings, "version")})
    for name, value in shown.items():
        print(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    write_json(args.json, shown)
    return EXIT_OK


def _validate(args: argparse.Namespace) -> int:
    from host_tools.build.settings import check_config
    from host_tools.device.flashing import FIRMWARE_DIR

    check_config(FIRMWARE_DIR, read_config(args.file))
    print(say(f"{args.file}: dùng được", f"{args.file}: the firmware takes it"))
    write_json(args.json, {"file": str(args.file), "valid": True})
    return EXIT_OK
