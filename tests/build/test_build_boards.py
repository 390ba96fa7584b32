"""A board description is checked to the pin, and the committed board.py is the one made from it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from host_tools.build.boards import BOARDS_DIR, board_names, board_source, load_board, parse_board
from host_tools.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
NAME = "esp32-devkitc"
TEXT = (BOARDS_DIR / f"{NAME}.toml").read_text(encoding="utf-8")


def test_committed_board_module_is_not_stale() -> None:
    made = board_source(load_board(NAME))
    committed = (ROOT / "firmware" / "board.py").read_text(encoding="utf-8")
    assert committed == made, "firmware/board.py is stale: make it again from hardware/boards/esp32-devkitc.toml"


def test_pins_of_the_devkit() -> None:
    assert load_board(NAME).constants == {
        "SCANNER_UART": 1,
        "SCANNER_TX": 17,
        "SCANNER_RX": 16,
        "LAMP_RED": 25,
        "LAMP_GREEN": 26,
        "LAMP_BLUE": 27,
        "BUZZER_PIN": 32,
    }


@pytest.mark.parametrize("name", board_names())
def test_every_board_checks_and_gives_constants_only(name: str) -> None:
    tree = ast.parse(board_source(load_board(name)))
    assert ast.get_docstring(tree)
    for node in tree.body[1:]:
        assert isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant), ast.dump(node)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "esp32-devkitc"', 'name = "other"', "'name' must be"),
        ('chip = "esp32"', 'chip = "esp8266"', "'chip' must be"),
        ('chip = "esp32"', "chip = [1]", "'chip' must be"),
        ('chip = "esp32"', 'chip = "esp32"\ndoor = 4', "unknown section 'door'"),
        ("tx = 17", "", "'scanner.tx' must be an integer"),
        ("tx = 17", 'tx = "17"', "'scanner.tx' must be an integer"),
        ("tx = 17", "tx = true", "'scanner.tx' must be an integer"),
        ("tx = 17", "tx = 17\ntc = 4", "unknown member 'scanner.tc'"),
        ("tx = 17", "tx = 16", "'scanner.tx' uses that pin already"),
        ("tx = 17", "tx = 34", "input-only"),
        ("tx = 17", "tx = 24", "no such pin"),
        ("tx = 17", "tx = 40", "no such pin"),
        ("tx = 17", "tx = -1", "no such pin"),
        ("tx = 17", "tx = 9", "belongs to the flash"),
        ("tx = 17", "tx = 1", "belongs to the console"),
        ("uart = 1", "uart = 0", "no such free UART"),
        ("[buzzer]", "[buzzers]", "unknown section 'buzzers'"),
        ("pin = 32", "pin = ", "not TOML"),
    ],
)
def test_a_mistake_is_one_line_with_a_hint(old: str, new: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    assert old in TEXT
    with pytest.raises(UserError) as raised:
        parse_board(TEXT.replace(old, new, 1), NAME)
    assert says in raised.value.message and "\n" not in raised.value.message
    assert f"{NAME}.toml" in raised.value.hint


def test_an_input_may_sit_on_an_input_only_pin() -> None:
    assert parse_board(TEXT.replace("rx = 16", "rx = 34"), NAME).constants["SCANNER_RX"] == 34


def test_a_missing_section_is_named() -> None:
    with pytest.raises(UserError, match="buzzer"):
        parse_board(TEXT[: TEXT.index("[buzzer]")], NAME)


@pytest.mark.parametrize("name", ["", "nothing", "../boards/esp32-devkitc"])
def test_an_unknown_board_lists_those_there_are(name: str) -> None:
    with pytest.raises(UserError) as raised:
        load_board(name)
    assert NAME in raised.value.hint
