"""The parts that a board's door is built from: hardware/parts.toml, and which of them a board description asks for."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from host_tools.build.boards import Board

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HARDWARE_DIR = Path(__file__).resolve().parents[2] / "hardware"
PARTS_FILE = HARDWARE_DIR / "parts.toml"

# Boards that are the same controller with other parts on it.
_CONTROLLERS = {"esp32-devkitc-door": "esp32-devkitc"}
_MODEMS = {"lilygo-t-a7670": "modem-a7670", "lilygo-t-sim7600": "modem-sim7600"}
_SWITCHES = {
    ("door", "contact"): "contact",
    ("door", "beam"): "beam",
    ("button", "help"): "help",
    ("button", "guard"): "guard",
    ("tamper", "pin"): "tamper",
}


@dataclass(frozen=True)
class Part:
    """One part: names, where it was sold, what it draws on which rail (mA), or what it gives (A, for ever and at peaks)."""

    key: str
    vi: str
    en: str
    source: str = ""
    instead: tuple[str, str] | None = None
    vietnam: tuple[str, ...] = field(default=())
    on_board: bool = False
    volts: float = 0
    rest_ma: float = 0
    work_ma: float = 0
    peak_ma: float = 0
    amps: float = 0
    peak_amps: float = 0


@cache
def catalogue() -> dict[str, Part]:
    """All parts by their key, in the order of the file."""
    data = tomllib.loads(PARTS_FILE.read_text(encoding="utf-8"))
    parts = {}
    for key, given in data.items():
        instead = tuple(given.pop("instead", ())) or None
        parts[key] = Part(key=key, instead=instead, vietnam=tuple(given.pop("vietnam", ())), **given)
    return parts


def controller(board: Board) -> Part:
    """The part that carries the chip."""
    return catalogue()[_CONTROLLERS.get(board.name, board.name)]


def switches(board: Board) -> dict[str, int]:
    """Part -> pin of everything on the board that closes to ground."""
    return {key: board.parts[at[0]][at[1]] for at, key in _SWITCHES.items() if at[1] in board.parts.get(at[0], {})}


def loads(board: Board) -> list[Part]:
    """Every part of the board's door that draws current, one entry each."""
    parts = catalogue()
    keys = [_MODEMS[board.name]] if board.name in _MODEMS else []
    keys += ["scanner"] + ["scanner"] * ("scanner2" in board.parts)
    keys += ["ws2812"] if "ws2812" in board.parts["lamp"] else ["led-red", "led-green", "led-blue"]
    keys += ["uln2003", "buzzer"]
    keys += [key for section, key in (("relay", "relay"), ("voice", "voice"), ("i2c", "ds3231")) if section in board.parts]
    keys += list(switches(board))
    if "relay" in board.parts:
        keys.append("lock")
    return [controller(board), *(parts[key] for key in keys)]
