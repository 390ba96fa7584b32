"""The technician's table: a centre that runs, virtual boards on USB ports, a MicroPython download, and `chot`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from technicians_centre import CONFIG, DEVICE, MAC, WIFI, Centre, Chot, flash

from host_tools.cli import main as cli
from host_tools.simulator.runtime import Runtime
from host_tools.simulator.scan_module import ModuleOptions
from host_tools.simulator.usb_board import UsbBoard
from tests.micropython_bin import micropython_bin

# Where the first working board and its centre are kept.
KEPT: list[Path] = []


@pytest.fixture
def centre(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Centre]:
    if "working" in request.fixturenames and KEPT:
        shutil.copytree(KEPT[0] / "centre", tmp_path / "centre")
    made = Centre(tmp_path / "centre")
    yield made
    made.server.stop()


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """The stand-ins, compiled once."""
    return Runtime(tmp_path_factory.mktemp("stand-ins"))


@pytest.fixture
def table(runtime: Runtime, tmp_path: Path) -> Iterator[Callable[..., UsbBoard]]:
    """table(**settings) -> a board that is plugged in; every board ends with the test."""
    made: list[UsbBoard] = []

    def plug(**settings: Any) -> UsbBoard:
        settings = {"mac": MAC, "wifi": WIFI, "module": ModuleOptions(), "speed": 20.0, **settings}
        made.append(UsbBoard(tmp_path / f"board{len(made)}", runtime, **settings))
        return made[-1].__enter__()

    yield plug
    for board in made:
        board.close()


@pytest.fixture
def working(
    chot: Chot,
    table: Callable[..., UsbBoard],
    centre: Centre,
    download: Path,
    config: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> UsbBoard:
    """A board in service at "market gate"; the first one is made by the commands, the others are its copies."""
    board = table(collector=("127.0.0.1", centre.port))
    if KEPT:
        kept = KEPT[0] / "flash.bin"
        board.do(lambda: (shutil.copyfile(kept, board.path), board._start()))
    else:
        flash(chot, board, download, "--config", config)
        status, _, err = chot("enroll", board.url, "--collector", centre.url, "--token", centre.token())
        assert status == 0, err
        kept = tmp_path_factory.mktemp("kept")
        board.do(lambda: shutil.copyfile(board.path, kept / "flash.bin"))
        shutil.copytree(centre.directory, kept / "centre")
        KEPT.append(kept)
    centre.wait_for(DEVICE)
    return board


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """A MicroPython for the ESP32."""
    path = tmp_path / "ESP32_GENERIC.bin"
    path.write_bytes(micropython_bin())
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    return path


@pytest.fixture
def chot(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """chot(*words) -> (exit status, standard output, standard error), in English."""
    monkeypatch.setenv("LC_ALL", "C")

    def run(*words: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main([str(word) for word in words])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run
