"""A box of boards through `chot batch` against one centre, three of them faulty; CHOT_BOX=40 is the whole box."""

from __future__ import annotations

import csv
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from technicians_centre import WIFI, Centre

from host_tools.cli import main as cli
from host_tools.simulator.runtime import Runtime
from host_tools.simulator.scan_module import ModuleOptions
from host_tools.simulator.usb_board import UsbBoard

BOARDS = int(os.environ.get("CHOT_BOX", "7"))
AT_ONCE = 2
# Which boards of the box are faulty, and how: a flash of 2 MiB, a dead scan module, a cable that is cut while flashing.
SMALL, SILENT, CUT = 1, 3, 4


class Box:
    """Plugs the boards in, `AT_ONCE` at a time, under names as the PC gives them; takes out what batch has done with."""

    def __init__(self, directory: Path, runtime: Runtime, centre: Centre) -> None:
        self.ports = directory / "ports"
        self.ports.mkdir()
        self._directory = directory
        self._runtime = runtime
        self._centre = centre
        self.lines: list[str] = []
        self.served: list[str] = []
        self.broken: list[str] = []

    def run(self) -> None:
        waiting = list(range(BOARDS))
        plugged: dict[str, tuple[int, UsbBoard]] = {}
        while waiting or plugged:
            while waiting and len(plugged) < AT_ONCE:
                number = waiting.pop(0)
                name = str(self.ports / f"ttyUSB{number}")
                board = self._make(number)
                os.symlink(board.url, name)
                plugged[name] = number, board
            for name, (number, board) in list(plugged.items()):
                if number == CUT and board.flash.counts.programmed_bytes > 20_000 and Path(name).is_symlink():
                    os.unlink(name)
                    board.unplug()
                if any(line.startswith(f"{name}:") and ("done" in line or "FAILED" in line) for line in list(self.lines)):
                    self._take_out(name, number, board)
                    del plugged[name]
            time.sleep(0.02)

    def _make(self, number: int) -> UsbBoard:
        settings: dict[str, Any] = {"module": ModuleOptions()}
        if number == SMALL:
            settings["flash_bytes"] = 2 << 20
        if number == SILENT:
            settings["module"] = None
        mac = bytes.fromhex("24a1600000") + bytes((number,))
        board = UsbBoard(
            self._directory / f"board{number}",
            self._runtime,
            mac=mac,
            wifi=WIFI,
            collector=("127.0.0.1", self._centre.port),
            speed=20.0,
            **settings,
        )
        return board.__enter__()

    def _take_out(self, name: str, number: int, board: UsbBoard) -> None:
        """A board that was done works at its door: the centre must hear of it."""
        device = "0000" + board.mac.hex()
        if number not in (SMALL, SILENT, CUT):
            try:
                self._centre.wait_for(device)
                self.served.append(device)
            except AssertionError:
                self.broken.append(f"{device} not heard of")
        if board.flash.violations or board.board.faults:
            self.broken.append(device)
        Path(name).unlink(missing_ok=True)
        board.close()


def test_a_box_of_boards(
    tmp_path: Path, runtime: Runtime, centre: Centre, download: Path, chot: Callable[..., Any], monkeypatch: Any
) -> None:
    table = tmp_path / "doors.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["checkpoint", "ssid", "password"])
        writer.writerows([f"gate {number}", *WIFI] for number in range(BOARDS))
    status, out, err = chot("collector", "token", centre.directory, "--csv", table, "--hours", 2)
    assert status == 0 and f"{BOARDS} tokens" in out, err

    box = Box(tmp_path, runtime, centre)
    monkeypatch.setattr("builtins.print", lambda *words, **_: box.lines.append(" ".join(map(str, words))))
    hands = threading.Thread(target=box.run, daemon=True)
    hands.start()
    report = tmp_path / "report.json"
    words = ["batch", table, "--board", "esp32-devkitc", "--micropython", download, "--collector", centre.url]
    more = ["--ports", f"{box.ports}/ttyUSB*", "--jobs", AT_ONCE, "--idle", 3, "--json", report]
    status = cli.main([str(word) for word in (*words, *more)])
    hands.join(timeout=120)
    monkeypatch.undo()

    assert status == 5 and not hands.is_alive() and not box.broken, (box.broken, box.lines)
    found = json.loads(report.read_text())
    done = [row for row in found["rows"] if row["done"]]
    assert len(done) == BOARDS - 3 and len({row["device"] for row in done}) == BOARDS - 3
    assert sorted(box.served) == sorted(row["device"] for row in done)
    problems = {Path(failure["port"]).name: failure["problem"] for failure in found["failures"]}
    assert problems.keys() == {f"ttyUSB{number}" for number in (SMALL, SILENT, CUT)}
    assert "a flash of 2 MiB does not do" in problems[f"ttyUSB{SMALL}"]
    assert "scan module: no answer" in problems[f"ttyUSB{SILENT}"]
    assert "connection broke off" in problems[f"ttyUSB{CUT}"]
    # Each board serves the checkpoint of its row; a faulty one never reached the centre.
    boards = centre.boards()
    assert {device: board["checkpoint"] for device, board in boards.items()} == {
        row["device"]: row["checkpoint"] for row in done
    }
