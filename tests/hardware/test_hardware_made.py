"""What hardware/ and docs/ hold as made is what the sources make now; where a package is missing, the hash still says so."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from host_tools.build.boards import board_names, load_board
from host_tools.hardware import made
from host_tools.hardware.stamp import bears, digest
from host_tools.hardware.wiring import wiring

ROOT = Path(__file__).resolve().parents[2]
AGAIN = "stale: run `make hardware`, look at the pictures, commit them"
LIGHT = made.light()
PICTURES = sorted(path for folder in (made.WIRING_DIR, made.POWER_DIR, made.ENCLOSURE_DIR) for path in folder.glob("*.svg"))


def name_of(path: Path) -> str:
    """A file as the project calls it."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", LIGHT, ids=name_of)
def test_what_needs_no_package_is_made_again_and_compared(path: Path) -> None:
    content = LIGHT[path]
    assert isinstance(content, str)
    assert path.read_text(encoding="utf-8") == content, AGAIN


@pytest.mark.parametrize(("board", "picture", "parts"), made.wiring_files())
def test_wiring_pictures_are_not_stale(board: str, picture: Path, parts: Path) -> None:
    value = made.wiring_hash(board)
    assert bears(picture, value) and bears(parts, value), AGAIN


@pytest.mark.parametrize("name", made.enclosure_names())
def test_the_enclosure_is_not_stale(name: str) -> None:
    assert bears(made.ENCLOSURE_DIR / name, made.enclosure_hash()), AGAIN


def test_a_changed_source_is_noticed() -> None:
    picture = made.WIRING_DIR / "esp32-devkitc.svg"
    assert not bears(picture, digest("another wiring"))
    assert not bears(picture.with_name("nothing.svg"), made.wiring_hash("esp32-devkitc"))
    assert digest("a", "b") != digest("ab") and digest("a", "b") != digest("b", "a")


def test_nothing_lies_there_that_nothing_makes() -> None:
    wiring_made = {path for path in LIGHT if path.parent == made.WIRING_DIR}
    wiring_made |= {path for _, *paths in made.wiring_files() for path in paths}
    assert set(made.WIRING_DIR.iterdir()) == wiring_made
    assert set(made.POWER_DIR.iterdir()) == {path for path in LIGHT if path.parent == made.POWER_DIR}
    assert {path.name for path in made.ENCLOSURE_DIR.iterdir()} == set(made.enclosure_names())


@pytest.mark.parametrize("picture", PICTURES, ids=name_of)
def test_pictures_are_whole_and_say_what_they_are(picture: Path) -> None:
    tree = ElementTree.parse(picture).getroot()
    names = [element.tag.rpartition("}")[2] for element in tree.iter()]
    assert names.count("title") == names.count("desc") == 1
    assert not {"script", "foreignObject"} & set(names)


@pytest.mark.parametrize("name", board_names())
def test_a_wiring_picture_shows_every_part_and_every_wire(name: str) -> None:
    text = (made.WIRING_DIR / f"{name}.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    document = wiring(load_board(name))
    shown = re.findall(r">(\w+) {2,}\S", text)
    wanted = {part for part, given in document["connectors"].items() if given.get("style") != "simple"}
    assert wanted | set(document["cables"]) == set(shown)
    assert text.count("<rect ") == sum(cable["wirecount"] for cable in document["cables"].values())


@pytest.mark.parametrize("name", board_names())
def test_a_parts_list_has_every_part(name: str) -> None:
    lines = (made.WIRING_DIR / f"{name}-parts.tsv").read_text(encoding="utf-8").splitlines()
    listed = {what for line in lines[1:-1] for what in line.split("\t")[4].split(", ") if what}
    document = wiring(load_board(name))
    named = {part for part, given in document["connectors"].items() if given.get("style") != "simple"}
    assert listed == named | set(document["cables"])


@pytest.mark.parametrize("name", board_names())
def test_the_page_of_pins_has_each_pin_once(name: str) -> None:
    section = (ROOT / "docs/pins.md").read_text(encoding="utf-8").partition(f"## `{name}`\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", section, re.MULTILINE)
    board = load_board(name)
    assert sorted(int(pin) for pin, _ in rows) == sorted(board.pinout.header | set(board.pinout.wired))
    used = {int(pin): use for pin, use in rows}
    for part, members in board.parts.items():
        for member, pin in members.items():
            assert member == "uart" or f"`{part}.{member}`" in used[pin]
