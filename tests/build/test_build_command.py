"""`chot build` writes a private image, says what takes room, and answers bad input with one line and a hint."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import littlefs
import pytest

from host_tools.build.identity import Identity, decode_partition, to_json
from host_tools.build.partitions import MIB, PARTITION_MAPS, find
from host_tools.cli import main as cli
from host_tools.simulator.certificates import authority


@pytest.fixture
def arguments(firmware: Path, identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Options of a build that works."""
    monkeypatch.setattr(cli, "COMMANDS", ("build",))
    monkeypatch.setenv("LC_ALL", "C")
    (tmp_path / "identity.json").write_text(json.dumps(to_json(identity)))
    (tmp_path / "identity.json").chmod(0o600)
    (tmp_path / "config.json").write_text('{"version": 3}')
    return {
        "--board": "esp32-devkitc",
        "--config": str(tmp_path / "config.json"),
        "--identity": str(tmp_path / "identity.json"),
        "--output": str(tmp_path / "flash.bin"),
        "--firmware": str(firmware),
    }


def _run(arguments: dict[str, str]) -> int:
    return cli.main(["build", *(word for pair in arguments.items() for word in pair)])


@pytest.mark.parametrize("mebibytes", [4, 16])
def test_image_and_table(
    mebibytes: int, arguments: dict[str, str], identity: Identity, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Path(arguments["--output"])
    output.write_bytes(b"old")
    output.chmod(0o644)
    assert _run({**arguments, "--flash-size": str(mebibytes)}) == 0
    image = output.read_bytes()
    assert len(image) == mebibytes * MIB
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    part = find(PARTITION_MAPS[mebibytes * MIB], "identity")
    assert decode_partition(image[part.offset : part.end]) == identity
    shown = capsys.readouterr().out
    for part in PARTITION_MAPS[mebibytes * MIB]:
        assert f"{part.label:<10} {part.offset:#8x} {part.size // 1024:>7}" in shown
    assert ".mpy: 3 modules, " in shown
    assert identity.device_key.hex() not in shown
    assert not list(output.parent.glob("flash.bin.*")), "a file was left aside"


def test_vietnamese_user_gets_vietnamese(
    arguments: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    assert _run(arguments) == 0
    assert "phân vùng" in capsys.readouterr().out


def test_help_says_what_is_not_in_the_image(arguments: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["build", "--help"])
    assert stopped.value.code == 0
    assert "are not in it: they are written when the board is flashed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "exit_code", "says"),
    [
        ("--board", "esp33", 3, "no board 'esp33'"),
        ("--config", "missing.json", 3, "cannot read missing.json"),
        ("--identity", "missing.json", 3, "cannot read missing.json"),
        ("--output", "missing/flash.bin", 3, "cannot write missing/flash.bin"),
        ("--firmware", "missing", 3, "missing holds no main.py"),
        ("--flash-size", "8", 2, "--flash-size"),
        ("--flash-size", "four", 2, "--flash-size"),
        ("--nonsense", "1", 2, "--nonsense"),
    ],
)
def test_a_bad_option_is_one_line_and_a_hint(
    option: str, value: str, exit_code: int, says: str, arguments: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run({**arguments, option: value}) == exit_code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("chot: ") and says in lines[0], lines
    assert not Path(arguments["--output"]).exists()


@pytest.mark.parametrize(
    ("option", "content", "says"),
    [
        ("--config", "{", "is not JSON"),
        ("--config", "[]", "config: not a JSON object"),
        ("--config", "{}", "config: 'version'"),
        ("--config", b"\xff\xfe", "is not JSON"),
        ("--config", "[" * 100_000, "is not JSON"),
        ("--identity", "{", "identity: not JSON"),
        ("--identity", "{}", "identity: 'device_id' is missing"),
    ],
)
def test_a_bad_file_is_one_line_and_a_hint(
    option: str, content: str | bytes, says: str, arguments: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(arguments[option])
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert _run(arguments) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("chot: ") and says in lines[0], lines
    assert not Path(arguments["--output"]).exists()


def test_an_identity_that_others_may_read_is_refused(
    arguments: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(arguments["--identity"]).chmod(0o644)
    assert _run(arguments) == 3
    assert "chmod 600" in capsys.readouterr().err
    assert not Path(arguments["--output"]).exists()


def test_a_missing_option_is_a_usage_error(arguments: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    del arguments["--identity"]
    assert _run(arguments) == 2
    assert "--identity" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ('{"version": 3, "wifi": "x"}', "wifi: a list of at most 8"),
        ('{"version": 3, "repeat_window_s": -1}', "repeat_window_s: a whole number, 0 to 86400"),
        ('{"version": 3, "cards": {}}', "cards: a list of at most 8"),
        ('{"version": 3, "colour": 1}', "colour: not a setting"),
    ],
)
def test_a_config_that_the_board_would_refuse_is_refused_here(
    config: str, line: str, arguments: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(arguments["--config"]).write_text(config)
    firmware = Path(__file__).parents[2] / "firmware"
    assert _run({**arguments, "--firmware": str(firmware)}) == 3
    assert f"config: {line}" in capsys.readouterr().err
    assert not Path(arguments["--output"]).exists()


def test_only_a_regular_file_is_replaced(
    arguments: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target.bin"
    target.write_bytes(b"kept")
    link = tmp_path / "link.bin"
    link.symlink_to(target)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path):
        assert _run({**arguments, "--output": str(path)}) == 3
        assert "not a regular file" in capsys.readouterr().err
    assert target.read_bytes() == b"kept" and link.is_symlink() and pipe.is_fifo()


REAL = Path(__file__).parents[2] / "firmware"
# Every setting that docs/operator.md names, at a value that is not its default.
EVERY_SETTING = {
    "version": 7,
    "wifi": [{"ssid": "cho-dong-ba", "password": "gio-mua-dong-bac"}],
    "repeat_window_s": 30,
    "record_repeats": True,
    "journal_full": "overwrite",
    "cards": ["qrqg", "passes"],
    "other_codes": "refuse",
    "hours": ["1-5 07:30-17:00", "6 08:00-12:00"],
    "utc_offset_min": 0,
    "heartbeat_s": 30,
    "health_s": 60,
}


def test_every_documented_setting_can_be_built(arguments: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(arguments["--config"]).write_text(json.dumps(EVERY_SETTING))
    assert _run({**arguments, "--firmware": str(REAL)}) == 0
    Path(arguments["--config"]).write_text(json.dumps({**EVERY_SETTING, "hours": ["8-17"]}))
    assert _run({**arguments, "--firmware": str(REAL)}) == 3
    assert "hours[0]: like 07:30-17:00" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"exit_scanner": "gm65"}, "has no [scanner2]"),
        ({"lists": ["deny"]}, "lists has 'deny', but there is none"),
        ({"lists": ["allow"]}, "lists has 'allow', but there is none"),
    ],
)
def test_what_the_board_does_not_have_is_refused(
    setting: dict[str, object], said: str, arguments: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(arguments["--config"]).write_text(json.dumps({"version": 1, **setting}))
    assert _run({**arguments, "--firmware": str(REAL)}) == 3
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


# How the board is to reach its collector.


def _at(url: str, arguments: dict[str, str], identity: Identity, config: str = '{"version": 3}') -> None:
    Path(arguments["--identity"]).write_text(json.dumps({**to_json(identity), "collector_url": url}))
    Path(arguments["--config"]).write_text(config)


def _in_image(arguments: dict[str, str], name: str) -> bytes:
    """A file of the image's file system."""
    image = Path(arguments["--output"]).read_bytes()
    part = find(PARTITION_MAPS[4 * MIB], "vfs")
    filesystem = littlefs.LittleFS(block_size=4096, block_count=part.size // 4096, mount=False)
    filesystem.context.buffer[:] = image[part.offset : part.end]
    filesystem.mount()
    with filesystem.open(name, "rb") as file:
        return bytes(file.read())


def test_plain_http_to_another_host_takes_a_word_of_config(
    arguments: dict[str, str], identity: Identity, capsys: pytest.CaptureFixture[str]
) -> None:
    for url in ("http://centre.example:8080", "http://192.168.1.10"):
        _at(url, arguments, identity)
        assert _run(arguments) == 3
        assert "plain http" in capsys.readouterr().err
        _at(url, arguments, identity, '{"version": 3, "plain_http": true}')
        assert _run(arguments) == 0
    _at("http://127.0.0.1:8080", arguments, identity)
    assert _run(arguments) == 0


def test_https_takes_an_authority_into_the_identity_or_a_bundle_into_the_file_system(
    arguments: dict[str, str], identity: Identity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _at("https://centre.example", arguments, identity)
    assert _run(arguments) == 3
    assert "authority" in capsys.readouterr().err
    one, several = authority(), [authority(f"authority {n}") for n in range(12)]
    part = find(PARTITION_MAPS[4 * MIB], "identity")
    for name, data in (("ca.pem", one.pem), ("ca.der", one.der)):
        (tmp_path / name).write_bytes(data)
        assert _run({**arguments, "--ca": str(tmp_path / name)}) == 0
        image = Path(arguments["--output"]).read_bytes()
        assert decode_partition(image[part.offset : part.end]).collector_ca == one.der
    (tmp_path / "bundle.pem").write_bytes(b"".join(each.pem for each in several))
    assert _run({**arguments, "--ca": str(tmp_path / "bundle.pem")}) == 0
    image = Path(arguments["--output"]).read_bytes()
    assert decode_partition(image[part.offset : part.end]).collector_ca == b""
    assert _in_image(arguments, "ca.der") == b"".join(each.der for each in several)


def test_what_is_no_authority_is_one_line(
    arguments: dict[str, str], identity: Identity, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _at("https://centre.example", arguments, identity)
    old = authority(valid=("2020-01-01", "2021-01-01"))
    for name, data in (("none.pem", b"hello"), ("cut.der", old.der[:-3]), ("expired.pem", old.pem), ("empty.pem", b"")):
        (tmp_path / name).write_bytes(data)
        assert _run({**arguments, "--ca": str(tmp_path / name)}) == 3
        error = capsys.readouterr().err
        assert name in error and "Traceback" not in error
    assert _run({**arguments, "--ca": str(tmp_path / "missing.pem")}) == 3
