"""Fixtures of the simulator's tests: boards that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """rig(main, **settings) -> Rig; every board is stopped at the end of the test."""
    made: list[Rig] = []

    def make(main: str, **settings: object) -> Rig:
        made.append(Rig(tmp_path / str(len(made)), main, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()
