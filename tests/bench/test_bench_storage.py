"""The journal beside littlefs on one simulated flash: the bars of the issue, and that littlefs really writes."""

from __future__ import annotations

from host_tools.bench import storage


def test_the_bars_are_those_of_the_issue() -> None:
    assert (storage.FEWER_ERASES, storage.FEWER_BYTES) == (140, 75)
    assert (storage.APPEND_P99_MS, storage.PROGRAMMED_PER_FRAME_BYTE) == (3.0, 1.03)
    assert storage.SCANS >= 2000


def test_every_bar_is_met() -> None:
    found = {figure.key: figure for figure in storage.storage()}
    missed = {key: (figure.value, figure.bar) for key, figure in found.items() if figure.met is False}
    assert not missed
    assert found["storage_littlefs"].value > found["storage_littlefs_20"].value > found["storage_journal"].value > 20
