"""What the bench tests share: the firmware as its image has it, compiled once."""

from __future__ import annotations

import pytest

from host_tools.bench.figures import Firmware


@pytest.fixture(scope="session")
def firmware() -> Firmware:
    """The repository's firmware."""
    return Firmware()
