"""The command shows a missed bar and ends well; only what cannot be measured makes it fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from host_tools.bench import __main__ as bench
from host_tools.bench.figures import Figure
from host_tools.bench.table import table
from host_tools.errors import EXIT_ENVIRONMENT, EXIT_OK

UNDER = Figure("a", "under", 28, "bytes", 28)
OVER = Figure("b", "over", 24_577, "bytes", 24_576, "by one")
PLAIN = Figure("c", "plain", 1234, "instr", detail={"each": {"x": 1}})


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_GB.UTF-8")


def line_of(text: str, title: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(title))


@pytest.mark.usefixtures("english")
def test_each_figure_beside_its_bar() -> None:
    text = table([UNDER, OVER, PLAIN])
    assert line_of(text, "under").split() == ["under", "28", "bytes", "<=", "28", "met"]
    assert line_of(text, "over").split() == ["over", "24,577", "bytes", "<=", "24,576", "MISSED", "by", "one"]
    assert line_of(text, "plain").split() == ["plain", "1,234", "instr"]
    assert "Partition" in text and "AES" in text, "stand-ins are named"


def test_in_vietnamese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    text = table([UNDER, OVER])
    assert "đạt" in line_of(text, "under") and "KHÔNG ĐẠT" in line_of(text, "over")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The bench with figures of our own; returns where its report goes."""
    parts = {"scan": [UNDER], "x25519": [OVER], "sizes": [PLAIN], "heap": [], "recovery": []}
    for name, found in parts.items():
        monkeypatch.setattr(bench.figures, name, lambda firmware, found=found: found)
    monkeypatch.setattr(bench.runs, "demo", lambda metered: [])
    monkeypatch.setattr(bench.runs, "wear", list)
    monkeypatch.setattr(bench.storage, "storage", list)
    monkeypatch.setattr(bench.uplink, "uplink", list)
    for name in ("append", "full"):
        monkeypatch.setattr(bench.journal, name, lambda firmware: [])
    monkeypatch.setattr(bench.lists, "lookups", lambda firmware: [])
    monkeypatch.setattr(bench.lists, "with_lists", lambda metered: [])
    monkeypatch.setattr(bench.busy, "busy", lambda metered: [])
    monkeypatch.setattr(bench, "REPORT", tmp_path / "build" / "bench.json")
    return tmp_path / "build" / "bench.json"


@pytest.mark.usefixtures("english")
def test_a_missed_bar_is_shown_and_is_no_failure(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main() == EXIT_OK
    assert "MISSED" in line_of(capsys.readouterr().out, "over")
    rows = {row["key"]: row for row in json.loads(measured.read_text(encoding="utf-8"))["figures"]}
    assert [rows[key]["met"] for key in "abc"] == [True, False, None]
    assert rows["c"]["detail"] == {"each": {"x": 1}}


@pytest.mark.usefixtures("english")
def test_a_failed_measurement_fails_and_hides_nothing(
    measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(firmware: object) -> list[Figure]:
        raise ValueError("the meter ran dry")

    monkeypatch.setattr(bench.figures, "heap", fail)
    assert bench.main() == EXIT_ENVIRONMENT
    captured = capsys.readouterr()
    assert "could not measure heap: ValueError: the meter ran dry" in captured.err
    assert "MISSED" in line_of(captured.out, "over")
    assert len(json.loads(measured.read_text(encoding="utf-8"))["figures"]) == 3
