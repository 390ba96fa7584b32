"""docs/technician.md, followed word for word on three virtual boards: every command runs, and says what the page says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from technicians_centre import DEVICE, MAC, Centre

from host_tools.cli import main as cli
from host_tools.device import ports
from host_tools.device.ports import Port
from host_tools.errors import EXIT_DEVICE, EXIT_ENVIRONMENT, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_USAGE
from host_tools.simulator.usb_board import UsbBoard

PAGE = Path(__file__).parents[2] / "docs" / "technician.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOKEN = re.compile(r"(?:[a-z2-7]{5}-){7}[a-z2-7]{5}")
FILES = {"json": "config.json", "csv": "doors.csv"}
# What differs from run to run.
VARYING = (
    (re.compile(r"\d+ KiB free"), "# KiB free"),
    (re.compile(r"\d+ ms"), "# ms"),
    (re.compile(r"\d+ baud"), "# baud"),
    (re.compile(r"came on \d+ times"), "came on # times"),
    (re.compile(r"\d+ s ago"), "# s ago"),
    (re.compile(r"heard: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "heard: #"),
    (re.compile(r"firmware     good  .*"), "firmware     good  #"),
    (re.compile(r"\d+ not confirmed"), "# not confirmed"),
)


class Reader:
    """Somebody who types what the page says; `names` are what stands there for ports, address and token of this run."""

    def __init__(self, names: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        self.names = names
        self._capsys = capsys

    def here(self, text: str) -> str:
        """The page's names made those of this run."""
        for there, here in self.names.items():
            text = text.replace(there, here)
        return text

    def type(self, line: str) -> str:
        """Run a line; what it printed."""
        words = shlex.split(self.here(line))
        if words[0] in (".", "umask"):
            return ""
        assert words[0] == "chot", line
        self._capsys.readouterr()
        status = cli.main(words[1:])
        said = self._capsys.readouterr()
        assert status == 0, f"{line}\n{said.out}{said.err}"
        return said.out

    def compare(self, printed: str, page: str) -> None:
        """Lines of a batch come as the boards do; everything else in the page's order."""
        wanted = self.here(page)
        for pattern, mark in VARYING:
            printed, wanted = pattern.sub(mark, printed), pattern.sub(mark, wanted)
        assert printed.splitlines() == wanted.splitlines()


def test_the_page_word_for_word(
    table: Callable[..., UsbBoard],
    centre: Centre,
    download: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.chdir(tmp_path)
    boards = [table(mac=MAC[:5] + bytes((last,)), collector=("127.0.0.1", centre.port)) for last in (0x33, 0x44, 0x55)]
    names = {f"/dev/ttyUSB{number}": board.url for number, board in enumerate(boards)}
    reader = Reader({**names, "http://192.168.1.10:8080": centre.url}, capsys)
    plugged = [boards[0]]
    monkeypatch.setattr(ports, "usb_ports", lambda: [Port(board.url, "10c4:ea60 CP2102N") for board in plugged])

    printed = ""
    for language, block in BLOCK.findall(PAGE.read_text("utf-8")):
        if language in FILES:
            Path(FILES[language]).write_text(block, encoding="utf-8")
        elif language == "sh":
            if "chot batch" in block:
                plugged[:] = boards[1:]
            if "--collector" in block and "doctor" in block:
                centre.wait_for(DEVICE, health=True)
            printed = "".join(map(reader.type, block.splitlines()))
        else:
            if found := TOKEN.search(block):
                token = TOKEN.search(printed)
                assert token is not None
                reader.names[found[0]] = token[0]
            reader.compare(printed, block)
    for board in boards:
        assert not board.flash.violations and not board.board.faults
    assert {name: place["checkpoint"] for name, place in centre.boards().items()} == {
        DEVICE: "market gate",
        "000024a160112244": "school",
        "000024a160112255": "market gate",
    }
    assert set(boards[0].flash.dump()) == {0xFF}, "wiped"


def test_the_page_has_every_exit_code() -> None:
    text = PAGE.read_text("utf-8")
    for code in (0, 1, EXIT_USAGE, EXIT_INPUT, EXIT_ENVIRONMENT, EXIT_DEVICE, EXIT_INTERRUPTED):
        assert re.search(rf"^\| {code} \| ", text, re.MULTILINE), code


def test_the_page_quotes_every_command_of_a_technician() -> None:
    text = PAGE.read_text("utf-8")
    for command in set(cli.COMMANDS) - {"build", "cards", "lists", "sim", "trace"}:
        assert f"chot {command} " in text or f"chot {command}\n" in text, command
