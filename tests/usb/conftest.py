"""Virtual boards on a USB port, which end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_tools import MAC

from host_tools.simulator.runtime import Runtime
from host_tools.simulator.usb_board import UsbBoard


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """The stand-ins, compiled once."""
    return Runtime(tmp_path_factory.mktemp("stand-ins"))


@pytest.fixture
def usb(runtime: Runtime, tmp_path: Path) -> Iterator[Callable[..., UsbBoard]]:
    """usb(**settings) -> a board whose port is open to the tools; every board ends with the test."""
    made: list[UsbBoard] = []

    def make(**settings: Any) -> UsbBoard:
        settings.setdefault("mac", MAC)
        made.append(UsbBoard(tmp_path / f"board{len(made)}", runtime, **settings))
        return made[-1].__enter__()

    yield make
    for board in made:
        board.close()
