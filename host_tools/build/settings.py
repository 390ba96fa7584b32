"""Asks the firmware's own schema about a config before it goes into an image: there is only one, firmware/config.py."""

from __future__ import annotations

import builtins
import types
from pathlib import Path
from typing import Any

from host_tools.build.boards import load_board
from host_tools.build.image import encode_config
from host_tools.errors import UserError
from host_tools.formats import lists as list_file
from host_tools.text import say

_SCHEMA = "config.py"


def _module(firmware_dir: Path, name: str) -> types.ModuleType:
    """A pure module of the firmware, run here; what it imports of the firmware is found in the same tree."""
    path = firmware_dir / (name.replace(".", "/") + ".py")
    module = types.ModuleType(name)

    def find(wanted: str, *rest: Any) -> types.ModuleType:
        if wanted == "micropython":
            found = types.ModuleType(wanted)
            found.__dict__["const"] = lambda value: value
            return found
        if (firmware_dir / (wanted.replace(".", "/") + ".py")).is_file():
            return _module(firmware_dir, wanted)
        return builtins.__import__(wanted, *rest)

    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": find}
    exec(compile(path.read_bytes(), f"firmware/{path.relative_to(firmware_dir)}", "exec"), module.__dict__)
    return module


def check_config(firmware_dir: Path, config: Any) -> None:
    """UserError when the firmware of this tree would refuse `config` (it would go on with its defaults: no Wi-Fi).

    The schema is a pure module that runs here as on the board; a tree without one takes any config.
    """
    path = firmware_dir / _SCHEMA
    if not path.is_file():
        return
    schema = _module(firmware_dir, "config")
    try:
        schema.parse(encode_config(config).decode())
    except schema.ConfigError as error:
        raise UserError(
            say(f"cấu hình: {error}", f"config: {error}"),
            hint=say("sửa mục ấy; bo mạch sẽ từ chối cấu hình này", "mend that member; the board would refuse this config"),
        ) from None


def check_parts(config: Any, board: str, lists: bytes | None) -> None:
    """UserError when `config` asks for what this board, or the list file beside it, does not have."""
    if config.get("exit_scanner", "none") != "none" and "SCANNER2_UART" not in load_board(board).constants:
        raise UserError(
            say(f"cấu hình: exit_scanner, nhưng bo mạch '{board}' không có [scanner2]",
                f"config: exit_scanner, but the board '{board}' has no [scanner2]"),
            hint=say("bỏ exit_scanner, hoặc dùng bo mạch có [scanner2]", "leave it out, or take a board with [scanner2]"),
        )  # fmt: skip
    held = list_file.decode(lists).sections if lists is not None else {}
    for name, kind in (("deny", list_file.DENY), ("allow", list_file.ALLOW)):
        if name in config.get("lists", []) and kind not in held:
            raise UserError(
                say(f"cấu hình: lists có '{name}', nhưng không có", f"config: lists has '{name}', but there is none"),
                hint=say("thêm --lists FILE, do 'chot lists' tạo", "add --lists FILE, made by 'chot lists'"),
            )
