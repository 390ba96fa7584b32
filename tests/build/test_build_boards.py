"""A board description is checked to the pin, and the committed board.py is the one made from it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from host_tools.build.boards import BOARDS_DIR, board_names, board_source, load_board, parse_board
from host_tools.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
BAD = sorted((Path(__file__).parent / "bad_boards").glob("*.toml"))
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
        assert isinstance(node, ast.Assign), ast.dump(node)
        ast.literal_eval(node.value)


def test_a_board_names_what_is_loaded_for_its_parts() -> None:
    sources = {name: board_source(load_board(name)) for name in board_names()}
    assert "PARTS = ()\n" in sources["esp32-devkitc"]
    assert 'PARTS = ("drivers.door",)\n' in sources["esp32-s3-devkitc-1"]
    assert 'PARTS = ("drivers.door", "drivers.voice")\n' in sources["esp32-devkitc-door"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "esp32-devkitc"', 'name = "other"', "'name' must be"),
        ('chip = "esp32"', 'chip = "esp8266"', "'chip' must be"),
        ('chip = "esp32"', "chip = [1]", "'chip' must be"),
        ('chip = "esp32"', 'chip = "esp32"\ngate = 4', "unknown section 'gate'"),
        ("tx = 17", "", "'scanner.tx' is missing"),
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


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_board_is_told_why_and_what_to_use(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    text = path.read_text(encoding="utf-8")
    says = text.splitlines()[0].removeprefix("# says: ")
    with pytest.raises(UserError) as raised:
        parse_board(text, path.stem)
    assert says in raised.value.message
    # What the hint offers first mends the board.
    found = re.search(r"'(\w+)\.(\w+)' = (\d+)", says)
    offered = re.search(r": (?:use one of the pins|UARTs left:) (\d+)", raised.value.hint)
    assert found and offered, raised.value.hint
    section, member, pin = found.groups()
    mended = re.sub(rf"(\[{section}\](?:\n.+)*?\n{member} = ){pin}\b", rf"\g<1>{offered[1]}", text)
    assert parse_board(mended, path.stem).parts[section][member] == int(offered[1])


def test_every_rule_has_its_bad_board() -> None:
    source = (ROOT / "host_tools/build/pins.py").read_text(encoding="utf-8")
    rules = source[source.index("    def fault") : source.index("    def fitting")].count("return ") - 1
    assert len(BAD) >= rules + 3  # and the doubled pin, the doubled UART, the console's UART


@pytest.mark.parametrize("language", ["C", "vi_VN.UTF-8"])
def test_both_languages_name_the_pin(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", language)
    with pytest.raises(UserError, match="strapping"):
        parse_board(TEXT.replace("tx = 17", "tx = 12"), NAME)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("header = [", "headers = [", "'header' is missing"),
        ("header = [", 'header = ["4", ', "'header' must be a list"),
        ('chip = "esp32"', 'chip = "esp32"\npsram = "octal"', "'psram' must be one of"),
        ("\n[scanner]", '\n[wired]\n18 = "scanner.tx"\n\n[scanner]', "[wired] 18 is 'scanner.tx', but"),
        ("\n[scanner]", "\n[wired]\n18 = 4\n\n[scanner]", "[wired] must hold"),
        ("\n[scanner]", '\n[wired]\nrx = "scanner.rx"\n\n[scanner]', "[wired] must hold"),
        ("blue = 27", "", "'lamp.blue' is missing"),
        ("blue = 27", "blue = 27\nws2812 = 4", "not both"),
        ("\n[scanner]", "\n[button]\n\n[scanner]", "'button.help' is missing"),
    ],
)
def test_the_frame_of_a_description(old: str, new: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    assert old in TEXT
    with pytest.raises(UserError) as raised:
        parse_board(TEXT.replace(old, new, 1), NAME)
    assert says in raised.value.message


def test_an_absent_part_gives_no_constant() -> None:
    minimal = load_board(NAME).constants
    door = load_board("esp32-devkitc-door").constants
    assert not any(name.startswith(("RELAY", "DOOR", "VOICE", "I2C")) for name in minimal)
    assert minimal.items() <= door.items()
    assert {"RELAY_PIN", "DOOR_CONTACT", "DOOR_BEAM", "BUTTON_HELP", "BUTTON_GUARD", "TAMPER_PIN", "VOICE_TX"} <= set(door)


def test_what_the_makers_wired_is_kept() -> None:
    """The maker's pin maps: T-A7670 and T-SIM7600 have transmit and receive the other way round."""
    a7670 = load_board("lilygo-t-a7670").constants
    sim7600 = load_board("lilygo-t-sim7600").constants
    assert (a7670["MODEM_TX"], a7670["MODEM_RX"], a7670["MODEM_POWER"], a7670["MODEM_RESET"]) == (26, 27, 12, 5)
    assert (sim7600["MODEM_TX"], sim7600["MODEM_RX"], sim7600["MODEM_FLIGHT"], sim7600["MODEM_STATUS"]) == (27, 26, 25, 34)
    assert "MODEM_POWER" not in sim7600


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
