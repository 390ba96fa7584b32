"""What the pages say is so: links lead somewhere, quoted commands parse, and the table of signals is the firmware's."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from host_tools.cli import collector
from host_tools.cli.main import COMMANDS, _parser
from host_tools.errors import UserError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [page for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))) if page.exists()]
PICTURES = sorted(DOCS.glob("*.svg"))

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMAND = re.compile(r"^(?:\w+=\S+ )*(?:\.venv/bin/)?(chot|make) (.+)$")
COLOURS = {"green": "xanh lá", "blue": "xanh dương", "yellow": "vàng", "red": "đỏ", "off": ""}


def name_of(path: Path) -> str:
    """A page as the project calls it."""
    return path.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def commands(page: Path) -> Iterator[tuple[str, list[str], bool]]:
    """(program, arguments, whole) of each command a page quotes; one inside a sentence may be only its beginning."""
    for language, block in FENCE.findall(page.read_text("utf-8")):
        if language in ("", "sh"):
            for line in block.splitlines():
                for part in re.split(r" && | \| |; ", line):
                    if found := COMMAND.match(part.strip().removeprefix("$ ")):
                        words = shlex.split(found[2], comments=True)
                        cut = next((at for at, word in enumerate(words) if word in (">", "&")), len(words))
                        yield found[1], words[:cut], True
    for span in SPAN.findall(prose(page)):
        if found := COMMAND.match(span):
            yield found[1], found[2].split(), False


def make_targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@cache
def collector_actions() -> frozenset[str]:
    """What `chot collector` can do, as its parser says."""
    parser = argparse.ArgumentParser()
    collector.arguments(parser)
    choices = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return frozenset(choices)


def chot_fault(arguments: list[str], whole: bool) -> str | None:
    """What `chot` has against these arguments, None if it takes them."""
    if not whole:
        if arguments[0] == "…" or arguments[0].startswith("-"):
            return None
        if arguments[0] not in COMMANDS:
            return f"no command {arguments[0]}"
        action = arguments[1] if arguments[0] == "collector" and len(arguments) > 1 else "init"
        return None if action in collector_actions() else f"no action {action}"
    try:
        _parser(arguments[0]).parse_args(arguments)
    except UserError as error:
        return error.message
    except SystemExit as ended:  # --help and --version
        return None if not ended.code else "refused"
    return None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(prose(page)) if not re.match(r"[a-z]+:|#", target)]
    broken = [target for target in targets if not (page.parent / target.partition("#")[0]).exists()]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_parse(page: Path) -> None:
    targets = make_targets()
    for program, arguments, whole in commands(page):
        if program == "chot":
            assert chot_fault(arguments, whole) is None, f"chot {' '.join(arguments)}"
        else:
            wanted = [word for word in arguments if "=" not in word]
            assert set(wanted) <= targets, f"make {' '.join(arguments)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_quoted_files_exist(page: Path) -> None:
    folders = ("firmware", "host_tools", "tests", "scenarios", "hardware", "docs")
    quoted = re.findall(rf"(?<![\w/])(?:{'|'.join(folders)})/[\w./-]*\w/?", page.read_text("utf-8"))
    missing = {path for path in quoted if not (ROOT / path).exists()}
    assert not missing


def test_the_operators_page_quotes_every_action_of_the_collector() -> None:
    quoted = {words[1] for program, words, whole in commands(DOCS / "operator.md") if whole and words[0] == "collector"}
    assert quoted == collector_actions()


def test_the_map_names_every_file_of_the_firmware() -> None:
    section = (DOCS / "code.md").read_text("utf-8").partition("### `firmware/`")[2].partition("###")[0]
    named = set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))
    files = {path for path in (ROOT / "firmware").rglob("*.py") if "def " in path.read_text("utf-8")}
    wanted = {path.relative_to(ROOT / "firmware").as_posix() for path in files}
    assert wanted <= named
    assert all((ROOT / "firmware" / name).exists() for name in named)


def signals_in_code() -> tuple[dict[str, tuple[str, str, int]], dict[str, str]]:
    """(signals, states) of firmware/scanner/signals.py and door.py: name -> (colour, tones, prompt), and name -> rhythm, as the
    page has them."""
    signals: dict[str, tuple[str, str, int]] = {}
    states: dict[str, str] = {}
    sources = [(ROOT / f"firmware/scanner/{name}.py").read_text("utf-8") for name in ("signals", "door")]
    for node in [node for source in sources for node in ast.parse(source).body]:
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)):
            continue
        if any(isinstance(item, ast.Name) for item in node.value.elts):  # signals by verdict
            continue
        target = node.targets[0]
        assert isinstance(target, ast.Name)
        values = [
            item.attr.lower() if isinstance(item, ast.Attribute) else ast.literal_eval(item) for item in node.value.elts
        ]
        if isinstance(values[1], tuple):
            signals[target.id] = (values[0], ", ".join(f"{hz} Hz {ms} ms" for hz, ms in values[1] if hz), values[2])
        else:
            states[target.id] = f"{values[0]} {values[1]} ms, {values[2]} {values[3]} ms"
    return signals, states


def signals_on_page() -> dict[str, list[str]]:
    """Rows of the tables in docs/signals.md: name -> the other cells."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+) \|$", (DOCS / "signals.md").read_text("utf-8"), re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in rows}


def test_the_page_of_signals_is_the_firmwares() -> None:
    signals, states = signals_in_code()
    rows = signals_on_page()
    assert signals and states
    assert set(rows) == set(signals) | set(states)
    for name, (colour, tones, _) in signals.items():
        lamp, sound, *said = rows[name]
        assert lamp == f"{COLOURS[colour]} · {colour}"
        assert f"({tones})" in sound
        assert len(said) == 2
    for name, rhythm in states.items():
        lamp, *said = rows[name]
        assert f"({rhythm})" in lamp
        for colour, vietnamese in COLOURS.items():
            if colour in rhythm.split() and vietnamese:
                assert vietnamese in lamp
        assert len(said) == 2


def test_the_prompts_on_the_page_are_the_firmwares() -> None:
    signals, _ = signals_in_code()
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \| (.+) \| (.+) \|$", (DOCS / "signals.md").read_text("utf-8"), re.MULTILINE)
    assert {(int(number), name) for number, name, *_ in rows} == {(prompt, name) for name, (*_, prompt) in signals.items()}
    assert len({text for _, _, *texts in rows for text in texts}) == 2 * len(signals), "each in two languages, no two alike"


@pytest.mark.parametrize("picture", PICTURES, ids=name_of)
def test_pictures_are_plain_and_used(picture: Path) -> None:
    tree = ElementTree.parse(picture).getroot()
    names = [element.tag.rpartition("}")[2] for element in tree.iter()]
    assert not {"script", "foreignObject", "image"} & set(names)
    assert names.count("title") == names.count("desc") == 1, "what a screen reader says"
    drawn = [element for element in tree if element.tag.rpartition("}")[2] not in ("title", "desc", "defs")]
    width, height = tree.attrib["viewBox"].split()[2:]
    ground = drawn[0].attrib
    assert (ground["width"], ground["height"]) == (width, height), "a ground of its own, so it reads in dark mode"
    assert any(picture.name in page.read_text("utf-8") for page in PAGES)
