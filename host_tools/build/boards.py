"""Reads a board description (hardware/boards/*.toml), checks it, and writes firmware/board.py from it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host_tools.build.pins import CHIPS, Kind, Pinout
from host_tools.errors import UserError
from host_tools.text import say

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BOARDS_DIR = Path(__file__).resolve().parents[2] / "hardware" / "boards"
# Boards that only the simulator has: not among board_names(), and nobody has wired one.
VIRTUAL_DIR = Path(__file__).resolve().parents[1] / "simulator" / "boards"

_OUT, _IN, _SWITCH, _UART = Kind.OUTPUT, Kind.INPUT, Kind.SWITCH, Kind.UART

# Every part a board may have, and what each of its members asks of its pin. A part that the firmware learns to use
# is added here, so a misspelt name is an error and not a silently missing constant.
SECTIONS: dict[str, dict[str, Kind]] = {
    "scanner": {"uart": _UART, "tx": _OUT, "rx": _IN, "trigger": _OUT},
    "scanner2": {"uart": _UART, "tx": _OUT, "rx": _IN, "trigger": _OUT},
    "lamp": {"red": _OUT, "green": _OUT, "blue": _OUT, "ws2812": _OUT},
    "buzzer": {"pin": _OUT},
    "relay": {"pin": _OUT},
    "voice": {"uart": _UART, "tx": _OUT, "rx": _IN, "busy": _IN},
    "door": {"contact": _SWITCH, "beam": _SWITCH},
    "button": {"help": _SWITCH, "guard": _SWITCH},
    "tamper": {"pin": _SWITCH},
    "i2c": {"sda": _OUT, "scl": _OUT},
    "modem": {
        "uart": _UART,
        "tx": _OUT,
        "rx": _IN,
        "pwrkey": _OUT,
        "dtr": _OUT,
        "reset": _OUT,
        "power": _OUT,
        "flight": _OUT,
        "status": _IN,
    },
    "battery": {"pin": Kind.ANALOG},
}
REQUIRED = ("scanner", "lamp", "buzzer")
# What the firmware loads for a part that not every board has.
_MODULES = {
    "relay": "drivers.door",
    "door": "drivers.door",
    "button": "drivers.door",
    "tamper": "drivers.door",
    "voice": "drivers.voice",
}

# The members of which a section needs one whole set; a part that is not here needs all of its members.
_WHOLE: dict[str, tuple[tuple[str, ...], ...]] = {
    "scanner": (("uart", "tx", "rx"),),
    "scanner2": (("uart", "tx", "rx"),),
    "lamp": (("red", "green", "blue"), ("ws2812",)),
    "voice": (("uart", "tx", "rx"),),
    "door": (("contact",), ("beam",)),
    "button": (("help",), ("guard",)),
    "modem": (("uart", "tx", "rx", "pwrkey"),),
}


@dataclass(frozen=True)
class Board:
    """A checked board: its name, chip, `parts` (part -> member -> number), `constants` (SCANNER_TX -> 17), and pins."""

    name: str
    chip: str
    parts: dict[str, dict[str, int]]
    constants: dict[str, int]
    pinout: Pinout


def board_names() -> list[str]:
    """The names of all described boards."""
    return sorted(path.stem for path in BOARDS_DIR.glob("*.toml"))


def load_board(name: str) -> Board:
    """The board described in hardware/boards/<name>.toml, or a virtual one; UserError if there is none or it does not check."""
    virtual = VIRTUAL_DIR / f"{name}.toml"
    if name not in board_names() and virtual not in VIRTUAL_DIR.glob("*.toml"):
        raise UserError(
            say(f"không có bo mạch '{name}'", f"no board '{name}'"),
            hint=say("có: ", "there is: ") + ", ".join(board_names()),
        )
    path = BOARDS_DIR / f"{name}.toml" if name in board_names() else virtual
    return parse_board(path.read_text(encoding="utf-8"), name)


class _Reading:
    """One description being read: its data, what is used so far, and how a mistake in it is told."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.pins: dict[int, str] = {}
        self.uarts: dict[int, str] = {}
        try:
            self.data: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise self.wrong(f"không phải TOML: {error}", f"not TOML: {error}") from None

    def wrong(self, vi: str, en: str, instead: str = "") -> UserError:
        hint = say(f"sửa hardware/boards/{self.name}.toml", f"mend hardware/boards/{self.name}.toml")
        message = say(f"bo mạch '{self.name}': {vi}", f"board '{self.name}': {en}")
        return UserError(message, hint=f"{hint}: {instead}" if instead else hint)

    def choice(self, key: str, choices: set[str]) -> str:
        value = self.data.pop(key, None)
        if not isinstance(value, str) or value not in choices:
            raise self.wrong(f"'{key}' phải là một trong {sorted(choices)}", f"'{key}' must be one of {sorted(choices)}")
        return value

    def pin_list(self, key: str) -> frozenset[int]:
        value = self.data.pop(key, [])
        if not isinstance(value, list) or any(type(pin) is not int for pin in value):
            raise self.wrong(f"'{key}' phải là danh sách số chân", f"'{key}' must be a list of pin numbers")
        return frozenset(value)

    def wired(self) -> dict[int, str]:
        value = self.data.pop("wired", {})
        if not isinstance(value, dict) or not all(pin.isdecimal() and isinstance(to, str) for pin, to in value.items()):
            raise self.wrong("[wired] phải gồm dòng: chân = \"…\"", "[wired] must hold lines like: 35 = \"battery.pin\"")
        return {int(pin): to for pin, to in value.items()}

    def pinout(self, chip_name: str) -> Pinout:
        chip = CHIPS[chip_name]
        psram = self.choice("psram", set(chip.psram)) if "psram" in self.data else None
        if "header" not in self.data:
            raise self.wrong("thiếu 'header'", "'header' is missing: the pins that can be reached")
        return Pinout(chip, psram, self.pin_list("header"), self.wired(), self.pin_list("resistors"))

    def part(self, section: str, pinout: Pinout) -> dict[str, int]:
        """The members of one section, in the order of SECTIONS."""
        given = self.data[section]
        members = SECTIONS[section]
        if not isinstance(given, dict):
            raise self.wrong(f"'{section}' phải là một mục", f"'{section}' must be a section, [{section}]")
        for member in given:
            if member not in members:
                raise self.wrong(f"không biết '{section}.{member}'", f"unknown member '{section}.{member}'")
        sets = _WHOLE.get(section, (tuple(members),))
        if not any(set(whole) <= set(given) for whole in sets):
            near = max(sets, key=lambda whole: len(set(whole) & set(given)))
            what = next(f"{section}.{member}" for member in near if member not in given)
            raise self.wrong(f"thiếu '{what}'", f"'{what}' is missing")
        if "ws2812" in given and len(given) > 1:
            raise self.wrong("'lamp' là ws2812 hoặc ba LED", "'lamp' is either ws2812 or red, green and blue, not both")
        part = {}
        for member, kind in members.items():
            if member in given:
                what = f"{section}.{member}"
                value = given[member]
                if type(value) is not int:
                    raise self.wrong(f"'{what}' phải là số nguyên", f"'{what}' must be an integer")
                part[member] = self.uart(what, value, pinout) if kind is _UART else self.pin(what, value, kind, pinout)
        return part

    def uart(self, what: str, value: int, pinout: Pinout) -> int:
        chip = pinout.chip
        free = sorted(chip.uarts - set(self.uarts))
        instead = say("UART còn trống: ", "UARTs left: ") + (", ".join(map(str, free)) or say(_ALONE_VI, _ALONE_EN))
        if value not in chip.uarts:
            raise self.wrong(f"'{what}' = {value}: không có UART ấy", f"'{what}' = {value}: no such free UART", instead)
        if value in self.uarts:
            by = self.uarts[value]
            raise self.wrong(
                f"'{what}' = {value}: '{by}' đã dùng UART ấy", f"'{what}' = {value}: '{by}' uses that UART", instead
            )
        self.uarts[value] = what
        return value

    def pin(self, what: str, value: int, kind: Kind, pinout: Pinout) -> int:
        fault = pinout.fault(value, what, kind)
        if fault is None and value in self.pins:
            by = self.pins[value]
            fault = (f"'{by}' đã dùng chân ấy", f"'{by}' uses that pin already")
        if fault is not None:
            # Pins that stand later in the description are not free either.
            wanted = {pin for part in self.data.values() if isinstance(part, dict) for pin in part.values()}
            fitting = pinout.fitting(what, kind, {*self.pins, *(pin for pin in wanted if type(pin) is int)})
            instead = say("dùng một trong các chân ", "use one of the pins ") + ", ".join(map(str, fitting))
            vi, en = (f"'{what}' = {value}: {why}" for why in fault)
            raise self.wrong(vi, en, instead if fitting else say("hết chân hợp", "no fitting pin is left"))
        self.pins[value] = what
        return value


_ALONE_VI = "không; chỉ một trong scanner2, voice, modem đi cùng scanner được"
_ALONE_EN = "none; only one of scanner2, voice and modem can go beside scanner"


def parse_board(text: str, name: str) -> Board:
    """Check a description (TOML text) that must call itself `name`; UserError names the first thing wrong in it."""
    reading = _Reading(text, name)
    if reading.data.pop("name", None) != name:
        raise reading.wrong(f"'name' phải là '{name}'", f"'name' must be '{name}'")
    chip = reading.choice("chip", set(CHIPS))
    pinout = reading.pinout(chip)
    for section in reading.data:
        if section not in SECTIONS:
            raise reading.wrong(f"không biết mục '{section}'", f"unknown section '{section}'")
    for section in REQUIRED:
        if section not in reading.data:
            raise reading.wrong(f"thiếu mục [{section}]", f"section [{section}] is missing")
    parts = {section: reading.part(section, pinout) for section in SECTIONS if section in reading.data}
    for pin, to in pinout.wired.items():
        section, _, member = to.partition(".")
        if member in SECTIONS.get(section, {}) and parts.get(section, {}).get(member) != pin:
            raise reading.wrong(f"[wired] {pin} là '{to}', mục ấy nói khác", f"[wired] {pin} is '{to}', but {to} is not {pin}")
    constants = {
        f"{section}_{member}".upper(): value for section, part in parts.items() for member, value in part.items()
    }
    return Board(name=name, chip=chip, parts=parts, constants=constants, pinout=pinout)


def board_source(board: Board, built_s: int = 0) -> str:
    """The text of firmware/board.py: constants only. `built_s` is when, UTC since 1970: no clock is right that says less."""
    lines = [
        f'"""Pins and parts of the board {board.name}; made from hardware/boards/{board.name}.toml, not by hand."""',
        "",
        f'NAME = "{board.name}"',
        f'CHIP = "{board.chip}"',
        f"BUILT_S = {built_s}",
    ]
    lines += [f"{name} = {value}" for name, value in board.constants.items()]
    modules = sorted({_MODULES[part] for part in board.parts if part in _MODULES})
    lines.append(f"PARTS = ({', '.join(map(json.dumps, modules))}{',' if len(modules) == 1 else ''})")
    return "\n".join(lines) + "\n"
