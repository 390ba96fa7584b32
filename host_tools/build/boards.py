"""Reads a board description (hardware/boards/*.toml), checks it, and writes firmware/board.py from it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host_tools.errors import UserError
from host_tools.text import say

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BOARDS_DIR = Path(__file__).resolve().parents[2] / "hardware" / "boards"

OUTPUT = "output"  # the pin must be able to drive
INPUT = "input"
NUMBER = "number"  # not a pin

# Every section a board must have, and the kind of each of its members. A part that the firmware learns to use
# is added here, so a misspelt name is an error and not a silently missing constant.
SECTIONS: dict[str, dict[str, str]] = {
    "scanner": {"uart": NUMBER, "tx": OUTPUT, "rx": INPUT},
    "lamp": {"red": OUTPUT, "green": OUTPUT, "blue": OUTPUT},
    "buzzer": {"pin": OUTPUT},
}


@dataclass(frozen=True)
class Chip:
    """What a chip's pins can do: GPIO numbers that exist, that can only be read, and that are taken already."""

    pins: frozenset[int]
    input_only: frozenset[int]
    taken: dict[int, str]
    uarts: frozenset[int]


# ESP32 datasheet, pin list: no GPIO 20, 24, 28-31; 34-39 have no output driver; 6-11 hold the flash;
# 1 and 3 are the console (UART0) that flashing and maintenance need.
CHIPS = {
    "esp32": Chip(
        pins=frozenset(range(40)) - {20, 24, 28, 29, 30, 31},
        input_only=frozenset(range(34, 40)),
        taken={**dict.fromkeys(range(6, 12), "flash"), 1: "console", 3: "console"},
        uarts=frozenset({1, 2}),
    ),
}


@dataclass(frozen=True)
class Board:
    """A checked board: its name, its chip, and `constants` (SCANNER_TX -> 17) in the order of the description."""

    name: str
    chip: str
    constants: dict[str, int]


def board_names() -> list[str]:
    """The names of all described boards."""
    return sorted(path.stem for path in BOARDS_DIR.glob("*.toml"))


def load_board(name: str) -> Board:
    """The board described in hardware/boards/<name>.toml; UserError if there is none or it does not check."""
    if name not in board_names():
        raise UserError(
            say(f"không có bo mạch '{name}'", f"no board '{name}'"),
            hint=say("có: ", "there is: ") + ", ".join(board_names()),
        )
    path = BOARDS_DIR / f"{name}.toml"
    return parse_board(path.read_text(encoding="utf-8"), name)


def parse_board(text: str, name: str) -> Board:
    """Check a description (TOML text) that must call itself `name`; UserError names the first thing wrong in it."""

    def wrong(vi: str, en: str) -> UserError:
        hint = say(f"sửa hardware/boards/{name}.toml", f"mend hardware/boards/{name}.toml")
        return UserError(say(f"bo mạch '{name}': {vi}", f"board '{name}': {en}"), hint=hint)

    try:
        data: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise wrong(f"không phải TOML: {error}", f"not TOML: {error}") from None
    if data.pop("name", None) != name:
        raise wrong(f"'name' phải là '{name}'", f"'name' must be '{name}'")
    chip_name = data.pop("chip", None)
    chip = CHIPS.get(chip_name) if isinstance(chip_name, str) else None
    if chip is None or not isinstance(chip_name, str):
        raise wrong(f"'chip' phải là một trong {sorted(CHIPS)}", f"'chip' must be one of {sorted(CHIPS)}")
    for section in data:
        if section not in SECTIONS:
            raise wrong(f"không biết mục '{section}'", f"unknown section '{section}'")

    constants: dict[str, int] = {}
    used: dict[int, str] = {}
    for section, members in SECTIONS.items():
        given = data.get(section)
        if not isinstance(given, dict):
            raise wrong(f"thiếu mục [{section}]", f"section [{section}] is missing")
        for member in given:
            if member not in members:
                raise wrong(f"không biết '{section}.{member}'", f"unknown member '{section}.{member}'")
        for member, kind in members.items():
            what = f"{section}.{member}"
            value = given.get(member)
            if isinstance(value, bool) or not isinstance(value, int):
                raise wrong(f"'{what}' phải là số nguyên", f"'{what}' must be an integer")
            if kind == NUMBER:
                if value not in chip.uarts:
                    raise wrong(f"'{what}' = {value}: không có UART ấy", f"'{what}' = {value}: no such free UART")
            else:
                if value not in chip.pins:
                    raise wrong(f"'{what}' = {value}: không có chân ấy", f"'{what}' = {value}: no such pin")
                if value in chip.taken:
                    raise wrong(
                        f"'{what}' = {value}: chân của {chip.taken[value]}",
                        f"'{what}' = {value}: that pin belongs to the {chip.taken[value]}",
                    )
                if kind == OUTPUT and value in chip.input_only:
                    raise wrong(f"'{what}' = {value}: chân chỉ vào", f"'{what}' = {value}: an input-only pin")
                if value in used:
                    raise wrong(
                        f"'{what}' = {value}: '{used[value]}' đã dùng chân ấy",
                        f"'{what}' = {value}: '{used[value]}' uses that pin already",
                    )
                used[value] = what
            constants[f"{section}_{member}".upper()] = value
    return Board(name=name, chip=chip_name, constants=constants)


def board_source(board: Board) -> str:
    """The text of firmware/board.py: constants only."""
    lines = [
        f'"""Pins and parts of the board {board.name}; made from hardware/boards/{board.name}.toml, not by hand."""',
        "",
        f'NAME = "{board.name}"',
        f'CHIP = "{board.chip}"',
    ]
    lines += [f"{name} = {value}" for name, value in board.constants.items()]
    return "\n".join(lines) + "\n"
