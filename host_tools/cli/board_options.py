"""What the commands for boards on a USB port share: their arguments, their progress line, their JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from host_tools.errors import EXIT_USAGE, UserError
from host_tools.private_files import write_private
from host_tools.text import say

# progress(done, total), in bytes; the same as the loader's, which takes its time to import.
Progress = Callable[[int, int], None]


def port_argument(parser: argparse.ArgumentParser) -> None:
    """PORT."""
    text = say("cổng, như /dev/ttyUSB0 ('chot ports' liệt kê)", "the port, as /dev/ttyUSB0 ('chot ports' lists them)")
    parser.add_argument("port", metavar="PORT", help=text)


def json_option(parser: argparse.ArgumentParser) -> None:
    """--json FILE."""
    text = say("ghi kết quả ra tệp JSON ('-': ra màn hình)", "also write the result as JSON ('-': to standard output)")
    parser.add_argument("--json", metavar="FILE", help=text)


def rescue_options(parser: argparse.ArgumentParser) -> None:
    """--rescue FILE and --force."""
    kept = say("cứu bản ghi chưa về trung tâm ra tệp này trước", "first save records no collector has confirmed to this file")
    parser.add_argument("--rescue", type=Path, metavar="FILE", help=kept)
    force = say("bỏ các bản ghi chưa về trung tâm", "give up records that no collector has confirmed")
    parser.add_argument("--force", action="store_true", help=force)


def lists_option(parser: argparse.ArgumentParser) -> None:
    """--lists FILE."""
    text = say("danh sách thẻ, do 'chot lists' tạo", "a file made by 'chot lists'")
    parser.add_argument("--lists", type=Path, metavar="FILE", help=text)


def centre_options(parser: argparse.ArgumentParser) -> None:
    """--collector, --board-url and --ca, of every command that enrols."""
    parser.add_argument("--collector", required=True, metavar="URL", help=say("địa chỉ trung tâm", "the collector"))
    own = say("địa chỉ mà bo mạch sẽ gọi, nếu khác", "the address that boards are to call, if another")
    parser.add_argument("--board-url", metavar="URL", help=own)
    authority = say("nơi cấp chứng chỉ, khi dùng https (PEM hay DER)", "whose certificates count under https (PEM or DER)")
    parser.add_argument("--ca", type=Path, metavar="FILE", help=authority)


def write_json(target: str | None, result: Any) -> None:
    """What --json asks for, if it does."""
    if target is None:
        return
    text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
    if target == "-":
        print(text, end="")
    else:
        write_private(Path(target), text, "--json")


def progress_line(what: str) -> Progress | None:
    """A progress that rewrites one line on a terminal; None where nobody watches."""
    if not sys.stderr.isatty():
        return None
    last = [-1]

    def tell(done: int, total: int) -> None:
        percent = 100 * done // max(1, total)
        if percent != last[0]:
            last[0] = percent
            print(f"\r{what} {percent:3d} %", end="\n" if done >= total else "", file=sys.stderr, flush=True)

    return tell


def read_bytes(path: Path | None, option: str) -> bytes | None:
    """The bytes of an option's file, None without one."""
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            say(f"không đọc được {path}: {error.strerror}", f"cannot read {path}: {error.strerror}"),
            hint=say(f"xem lại {option}", f"check {option}"),
        ) from None


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a JSON file; UserError when it holds no object."""
    text = read_bytes(path, "--config") or b""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            say(f"{path} không phải JSON: {error}", f"{path} is not JSON: {error}"),
            hint=say("sửa ở dòng và cột ấy", "mend it at that line and column"),
        ) from None
    if not isinstance(found, dict):
        raise UserError(
            say(f"{path}: không phải đối tượng JSON", f"{path}: not a JSON object"),
            hint='{"version":1,"wifi":[{"ssid":"cho-dong-ba","password":"..."}]}',
        )
    return found


def setting(text: str) -> tuple[str, Any]:
    """(name, value) of NAME=VALUE; the value is JSON, or else a text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UserError(
            say(f"'{text}' không có dạng NAME=VALUE", f"'{text}' is not NAME=VALUE"),
            hint=say("ví dụ repeat_window_s=120", "for example repeat_window_s=120"),
            exit_code=EXIT_USAGE,
        )
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
