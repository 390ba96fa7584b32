"""`chot lists` writes a private file that `chot build` puts into the image, and answers bad input with one line and a hint."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from host_tools.build.identity import Identity, to_json
from host_tools.build.partitions import MIB, PARTITION_MAPS, find
from host_tools.cli import main as cli
from host_tools.formats import lists
from host_tools.formats.records import pack_id


@pytest.fixture
def arguments(identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Options of a list that works."""
    monkeypatch.setenv("LC_ALL", "C")
    (tmp_path / "identity.json").write_text(json.dumps(to_json(identity)))
    (tmp_path / "identity.json").chmod(0o600)
    (tmp_path / "stolen.csv").write_text("cccd,046099012345\ncccd,046099012346\ncccd,046099012345\n")
    return {
        "--identity": str(tmp_path / "identity.json"),
        "--version": "7",
        "--deny": str(tmp_path / "stolen.csv"),
        "--output": str(tmp_path / "lists.bin"),
    }


def _run(command: str, arguments: dict[str, str]) -> int:
    return cli.main([command, *(word for pair in arguments.items() for word in pair)])


def test_what_is_written_and_said(
    arguments: dict[str, str], identity: Identity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "members.csv").write_text("bhyt,0123456789\n")
    more = {"--allow": str(tmp_path / "members.csv"), "--json": str(tmp_path / "out.json"), "--date": "2026-11-26"}
    assert _run("lists", {**arguments, **more}) == 0
    output = Path(arguments["--output"])
    file = lists.decode(output.read_bytes())
    assert (file.version, file.date.isoformat()) == (7, "2026-11-26")
    assert {kind: section.count for kind, section in file.sections.items()} == {lists.DENY: 2, lists.ALLOW: 1}
    assert file.deny_holds(lists.fingerprint(identity.list_key, 2, pack_id("046099012346")))
    assert file.allow_holds(lists.fingerprint(identity.list_key, 3, pack_id("0123456789")))
    for path in (output, tmp_path / "out.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    size = output.stat().st_size
    assert capsys.readouterr().out.splitlines() == [
        "denied: 2 cards; 1 repeated lines",
        "allowed: 1 cards; 0 repeated lines",
        f"{size} bytes, fits a flash of 4 MiB, 16 MiB",
        f"version 7, 2026-11-26: {output}",
    ]
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "version": 7,
        "date": "2026-11-26",
        "bytes": size,
        "lists": {"deny": {"cards": 2, "duplicates": 1}, "allow": {"cards": 1, "duplicates": 0}},
        "fits_mib": [4, 16],
    }


def test_vietnamese_user_gets_vietnamese(
    arguments: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    assert _run("lists", arguments) == 0
    assert capsys.readouterr().out.startswith("cấm: 2 thẻ; 1 dòng trùng\n")


@pytest.mark.parametrize(
    ("option", "value", "exit_code", "says"),
    [
        ("--identity", "missing.json", 3, "cannot read missing.json"),
        ("--deny", "missing.csv", 3, "cannot read missing.csv"),
        ("--output", "missing/lists.bin", 3, "cannot write missing/lists.bin"),
        ("--json", "missing/out.json", 3, "cannot write missing/out.json"),
        ("--version", "0", 2, "--version 0 is out of range"),
        ("--version", "1073741824", 2, "is out of range"),
        ("--version", "seven", 2, "--version"),
        ("--date", "26.11.2026", 2, "cannot read the date"),
    ],
)
def test_a_bad_option_is_one_line_and_a_hint(
    option: str, value: str, exit_code: int, says: str, arguments: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("lists", {**arguments, option: value}) == exit_code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("chot: ") and says in lines[0], lines
    assert option == "--json" or not Path(arguments["--output"]).exists()


def test_neither_list_is_a_usage_error(arguments: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    del arguments["--deny"]
    assert _run("lists", arguments) == 2
    assert "--allow FILE" in capsys.readouterr().err


def test_a_list_that_fits_no_flash(
    arguments: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stolen.csv").write_text("".join(f"cccd,{number:012}\n" for number in range(16_000)))
    assert _run("lists", arguments) == 0
    assert "fits a flash of 16 MiB\n" in capsys.readouterr().out
    small = {4 * MIB: PARTITION_MAPS[4 * MIB]}
    monkeypatch.setattr("host_tools.build.partitions.PARTITION_MAPS", small)
    Path(arguments["--output"]).unlink()
    assert _run("lists", arguments) == 3
    assert "the list takes 132160 bytes" in capsys.readouterr().err
    assert not Path(arguments["--output"]).exists(), "nothing is written that no board could take"


def _build(arguments: dict[str, str], firmware: Path, tmp_path: Path, **more: str) -> int:
    (tmp_path / "config.json").write_text('{"version": 3}')
    options = {
        "--board": "esp32-devkitc",
        "--config": str(tmp_path / "config.json"),
        "--identity": arguments["--identity"],
        "--output": str(tmp_path / "flash.bin"),
        "--firmware": str(firmware),
        "--lists": arguments["--output"],
    }
    return _run("build", {**options, **{"--" + name.replace("_", "-"): value for name, value in more.items()}})


@pytest.mark.parametrize("mebibytes", [4, 16])
def test_the_image_holds_the_list(
    mebibytes: int, arguments: dict[str, str], firmware: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("lists", arguments) == 0
    assert _build(arguments, firmware, tmp_path, flash_size=str(mebibytes)) == 0
    part = find(PARTITION_MAPS[mebibytes * MIB], "lists")
    image = (tmp_path / "flash.bin").read_bytes()
    assert image[part.offset : part.end] == lists.encode_partition(Path(arguments["--output"]).read_bytes(), part.size)
    assert f"lists      {part.offset:#8x} {part.size // 1024:>7}            8" in capsys.readouterr().out


def test_a_list_that_this_board_cannot_use(
    arguments: dict[str, str], identity: Identity, firmware: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("lists", arguments) == 0
    other = replace(identity, list_key=b"\x77" * 32)
    (tmp_path / "other.json").write_text(json.dumps(to_json(other)))
    (tmp_path / "other.json").chmod(0o600)
    output = Path(arguments["--output"])
    good = output.read_bytes()
    for content, options, says in (
        (good, {"identity": str(tmp_path / "other.json")}, "another list key"),
        (good[:-1], {}, "lists: cut short"),
        (b"cccd,046099012345\n", {}, "lists: not a list file"),
        (good, {"lists": str(tmp_path / "missing.bin")}, "missing.bin: No such file"),
        (lists.encode(identity.list_key, 1, lists.decode(good).date, deny=_many()), {}, "and room for 127040"),
    ):
        output.write_bytes(content)
        assert _build(arguments, firmware, tmp_path, **options) == 3
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 2 and says in errors[0], errors
        assert not (tmp_path / "flash.bin").exists()


def _many() -> list[bytes]:
    return [lists.fingerprint(b"\xa5" * 32, 2, number.to_bytes(4, "big")) for number in range(16_000)]
