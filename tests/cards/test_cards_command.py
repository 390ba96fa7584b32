"""`chot cards` writes pictures that read as its manifest says, the same ones for the same seed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from host_tools.cards.deck import CONDITIONS, Showing, deck
from host_tools.cards.people import KINDS, person
from host_tools.cards.pictures import MEDIA
from host_tools.cards.reading import read
from host_tools.cli import main as cli


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "COMMANDS", ("cards",))
    monkeypatch.setenv("LC_ALL", "C")


def test_pictures_and_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cards", str(tmp_path / "deck"), "--count", "22", "--seed", "3"]) == 0
    assert "22 pictures and manifest.json" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "deck" / "manifest.json").read_text(encoding="utf-8"))
    assert len(manifest) == 22 == len(list((tmp_path / "deck").glob("*.png")))
    assert {entry["kind"] for entry in manifest} == set(KINDS)
    assert {entry["medium"] for entry in manifest} == set(MEDIA)
    torn = [entry for entry in manifest if entry["scheme"] is None]
    assert torn and all(entry["conditions"] == {"torn": True} and "id" not in entry for entry in torn)
    for entry in manifest:
        data = read(tmp_path / "deck" / entry["file"])
        if entry["scheme"] is None:
            assert data is None
            continue
        assert data is not None
        if entry["scheme"] in (1, 2, 3):
            assert entry["id"].encode() in data.split(b"|")
        elif "digest" in entry:
            assert hashlib.sha256(data).hexdigest()[:32] == entry["digest"]
        elif entry["scheme"] == 0:
            assert data.decode() == entry["id"]
        else:
            assert entry["id"] == "" and entry["verdict"] == 4


def test_same_seed_same_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert cli.main(["cards", str(tmp_path / name), "--count", "3", "--seed", "9"]) == 0
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 4
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_deck_meets_every_kind_in_every_medium_and_condition() -> None:
    showings = deck(len(KINDS) * len(CONDITIONS) * len(MEDIA))
    assert {(s.kind, s.medium) for s in showings} == {(kind, medium) for kind in KINDS for medium in MEDIA}
    conditions = {(s.kind, json.dumps(s.conditions)) for s in showings}
    assert conditions == {(kind, json.dumps(condition)) for kind in KINDS for condition in CONDITIONS}
    assert len({s.who.id_number for s in showings}) == len(showings)


def test_one_medium_only(tmp_path: Path) -> None:
    assert cli.main(["cards", str(tmp_path), "--count", "4", "--medium", "phone"]) == 0
    assert len(list(tmp_path.glob("*-phone-*.png"))) == 4


def test_a_picture_that_does_not_read_as_it_must_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = [Showing(0, "qrqg", person(1), "paper", {"blur_px": 12}), Showing(1, "qrqg", person(2), "paper", {})]
    monkeypatch.setattr("host_tools.cards.deck.deck", lambda *_: blind)
    assert cli.main(["cards", str(tmp_path), "--count", "2"]) == 1
    out = capsys.readouterr().out
    assert "reads wrong: 000-paper-qrqg.png" in out and "001" not in out and "zxing-cpp reads 1" in out


def test_the_set_is_told_by_its_digest_and_may_have_pictures_beyond_reading(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    well = [Showing(index, "qrqg", person(index), "paper", {}) for index in range(4)]
    for blind, exit_code in ((1, 0), (2, 1)):
        held = well[blind:] + [Showing(8 + n, "qrqg", person(8), "phone", {"blur_px": 12}) for n in range(blind)]
        monkeypatch.setattr("host_tools.cards.picture_set.picture_set", lambda held=held: [*well, *held][-5:])
        assert cli.main(["cards", str(tmp_path / str(blind)), "--set"]) == exit_code
        out = capsys.readouterr().out
        assert f"zxing-cpp reads {5 - blind}" in out and "reads wrong" not in out
        manifest = (tmp_path / str(blind) / "manifest.json").read_bytes()
        assert f"SHA-256 of manifest.json: {hashlib.sha256(manifest).hexdigest()}" in out


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (["--count", "0"], 3),
        (["--count", "1001"], 3),
        (["--count", "many"], 2),
        (["--medium", "stone"], 2),
    ],
)
def test_bad_options_are_one_line_and_a_hint(
    words: list[str], exit_code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["cards", str(tmp_path / "deck"), *words]) == exit_code
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert not (tmp_path / "deck").exists()


def test_a_directory_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["cards", str(tmp_path / "file" / "deck"), "--count", "1"]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 2
