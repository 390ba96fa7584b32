"""Collectors that run for one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_centre import Centre
from sealing_board import COLLECTOR


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests read in messages is English, whoever runs them."""
    monkeypatch.setenv("LC_ALL", "C")


@pytest.fixture
def make_centre(tmp_path: Path) -> Iterator[Callable[..., Centre]]:
    made: list[Centre] = []

    def make(private_keys: list[bytes] | None = None) -> Centre:
        centre = Centre(tmp_path, private_keys or [COLLECTOR])
        centre.start()
        made.append(centre)
        return centre

    yield make
    for centre in made:
        centre.server.stop()


@pytest.fixture
def centre(make_centre: Callable[..., Centre]) -> Centre:
    return make_centre()
