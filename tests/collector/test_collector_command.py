"""`chot collector`: keys made once, brought back from their copy, boards added and moved, the server run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from sealing_board import Board

from host_tools.cli.main import main
from host_tools.collector import vault
from host_tools.collector.store import Store
from host_tools.formats.keys import collector_public

PASSPHRASE = "mười hai con giáp"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    # The real cost is for guessers; one test pays it.
    monkeypatch.setattr(vault, "SCRYPT_N", 1 << 10)


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n", "utf-8")
    return str(file)


@pytest.fixture
def directory(tmp_path: Path, passphrase: str) -> Path:
    directory = tmp_path / "centre"
    assert main(["collector", "init", str(directory), "--passphrase-file", passphrase]) == 0
    return directory


def identity(directory: Path, board: Board, **changes: object) -> str:
    public = (directory / "collector.pub").read_text().strip()
    members = {"device_id": board.device_id.hex(), "device_key": board.device_key.hex(), "collector_public": public}
    file = directory.parent / "identity.json"
    members |= {"collector_url": "http://127.0.0.1:8080", "list_key": "a5" * 32}
    file.write_text(json.dumps({**members, **changes}))
    file.chmod(0o600)
    return str(file)


def test_init_makes_keys_for_their_owner_alone(
    directory: Path, passphrase: str, capsys: pytest.CaptureFixture[str]
) -> None:
    private = vault.private_keys(directory)[0]
    public = (directory / "collector.pub").read_text().strip()
    assert collector_public(private).hex() == public
    for name in ("collector.key", "collector.db.key", "recovery.json", "collector.db"):
        assert (directory / name).stat().st_mode & 0o777 == 0o600
    again = str(directory.parent / "again")
    assert main(["collector", "init", again, "--passphrase-file", passphrase]) == 0
    said = capsys.readouterr().out
    assert Path(again, "collector.pub").read_text().strip() in said and "loses every record" in said
    for file in directory.iterdir():
        if file.name != "collector.key":
            assert private.hex() not in file.read_text("latin-1")
    assert vault.private_keys(Path(again))[0].hex() not in said


def test_nothing_is_overwritten(directory: Path, passphrase: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.read_bytes() for file in directory.glob("*.[jk]*")}
    assert main(["collector", "init", str(directory), "--passphrase-file", passphrase]) == 3
    (directory / "collector.key").rename(directory / "moved")
    assert main(["collector", "init", str(directory), "--passphrase-file", passphrase]) == 3
    (directory / "moved").rename(directory / "collector.key")
    restore = ["collector", "restore", str(directory), "--recovery", str(directory / "recovery.json")]
    assert main([*restore, "--passphrase-file", passphrase]) == 3
    assert {file: file.read_bytes() for file in before} == before
    assert "not overwritten" in capsys.readouterr().err


def test_keys_come_back_from_the_recovery_copy(directory: Path, tmp_path: Path, passphrase: str) -> None:
    again = tmp_path / "again"
    restore = ["collector", "restore", str(again), "--recovery", str(directory / "recovery.json")]
    assert main([*restore, "--passphrase-file", passphrase]) == 0
    for name in ("collector.key", "collector.db.key", "collector.pub"):
        assert (again / name).read_bytes() == (directory / name).read_bytes()
    assert (again / "collector.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("trouble", ["passphrase", "byte", "json", "none"])
def test_a_bad_recovery_is_one_line(
    directory: Path, tmp_path: Path, passphrase: str, trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = directory / "recovery.json"
    if trouble == "passphrase":
        Path(passphrase).write_text("another passphrase")
    elif trouble == "byte":
        outside = json.loads(copy.read_text())
        outside["sealed"] = ("0" if outside["sealed"][0] != "0" else "1") + outside["sealed"][1:]
        copy.write_text(json.dumps(outside))
    elif trouble == "json":
        copy.write_text("[1]")
    else:
        copy.unlink()
    again = tmp_path / "again"
    restore = ["collector", "restore", str(again), "--recovery", str(copy), "--passphrase-file", passphrase]
    assert main(restore) == 3
    assert capsys.readouterr().err.startswith("chot: ")
    assert not again.exists()


def test_a_short_passphrase_makes_nothing(tmp_path: Path, passphrase: str) -> None:
    Path(passphrase).write_text("short\n")
    assert main(["collector", "init", str(tmp_path / "c"), "--passphrase-file", passphrase]) == 3
    assert not (tmp_path / "c").exists()


def test_the_passphrase_is_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([PASSPHRASE, "a slip of the hand", PASSPHRASE, PASSPHRASE])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert main(["collector", "init", str(tmp_path / "c")]) == 3
    assert main(["collector", "init", str(tmp_path / "c")]) == 0


def test_the_recovery_copy_costs_a_guesser_time_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert vault.SCRYPT_N * vault.SCRYPT_R * 128 >= 128 << 20
    secrets = vault.Secrets((bytes(range(32)),), bytes(32))
    assert vault.open_recovery(vault.seal_recovery(secrets, PASSPHRASE), PASSPHRASE) == secrets
    assert bytes(range(32)).hex() not in repr(secrets)


def test_boards_are_added_and_moved(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = Board()
    add = ["collector", "add-device", str(directory), "--identity", identity(directory, board)]
    assert main([*add, "--checkpoint", "market"]) == 0
    assert main([*add, "--checkpoint", "market"]) == 0
    assert main([*add, "--checkpoint", "hospital"]) == 3
    assert main(["collector", "assign", str(directory), board.device_id.hex(), "hospital"]) == 0
    assert main(["collector", "assign", str(directory), "00ff", "hospital"]) == 3
    assert main(["collector", "assign", str(directory), "gate", "hospital"]) == 3
    assert main(["collector", "status", str(directory)]) == 0
    out, err = capsys.readouterr()
    assert f"{board.device_id.hex()}  hospital  –  never seen  0 quarantined" in out
    assert board.device_key.hex() not in out + err
    with Store(directory / "collector.db") as store:
        assert [told.checkpoint for told in store.assignments(board.device_id)] == ["market", "hospital"]
        assert store.device_key(board.device_id) == board.device_key


@pytest.mark.parametrize(
    "changes",
    [
        {"device_id": "00"},
        {"device_key": "zz"},
        {"device_key": 5},
        {"collector_public": "77" * 32},
        {"collector_url": "https://centre/x"},
    ],
)
def test_a_wrong_identity_is_one_line(
    directory: Path, changes: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    file = identity(directory, Board(), **changes)
    assert main(["collector", "add-device", str(directory), "--identity", file, "--checkpoint", "x"]) == 3
    assert capsys.readouterr().err.startswith("chot: ")


def test_an_identity_that_others_may_read_is_refused(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = identity(directory, Board())
    Path(file).chmod(0o644)
    assert main(["collector", "add-device", str(directory), "--identity", file, "--checkpoint", "x"]) == 3
    assert "chmod 600" in capsys.readouterr().err


def test_another_key_for_a_known_board_is_refused(directory: Path) -> None:
    add = ["collector", "add-device", str(directory), "--checkpoint", "x", "--identity"]
    assert main([*add, identity(directory, Board())]) == 0
    assert main([*add, identity(directory, Board(), device_key="11" * 32)]) == 3


@pytest.mark.parametrize("action", [["run"], ["status"], ["assign"]])
def test_without_keys_the_hint_says_init(tmp_path: Path, action: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    rest = ["00" * 8, "x"] if action == ["assign"] else []
    assert main(["collector", *action, str(tmp_path / "none"), *rest]) == 4
    assert "init" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_lost_wrapping_key_is_told_and_not_replaced(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add = ["collector", "add-device", str(directory), "--checkpoint", "x", "--identity"]
    assert main([*add, identity(directory, Board(1))]) == 0
    (directory / "collector.db.key").unlink()
    assert main([*add, identity(directory, Board(2))]) == 4
    assert not (directory / "collector.db.key").exists()
    assert main(["collector", "run", str(directory), "--port", "0"]) == 4


def test_run_serves_until_it_is_told_to_stop(directory: Path) -> None:
    command = [sys.executable, "-m", "host_tools.cli.main", "collector", "run", str(directory), "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C"})
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("page: http://127.0.0.1:")
    with urllib.request.urlopen(line.split()[1], timeout=10) as answer:
        assert "Chốt" in answer.read().decode()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stdout.close()


def test_run_gives_its_caller_the_signals_back(directory: Path) -> None:
    """Who calls it in a program of his own can still be interrupted afterwards."""
    mine = signal.signal(signal.SIGTERM, lambda *_: None)
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}

    def stop_it() -> None:
        while signal.getsignal(signal.SIGTERM) is before[signal.SIGTERM]:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    hand = threading.Thread(target=stop_it, daemon=True)
    hand.start()
    try:
        assert main(["collector", "run", str(directory), "--port", "0"]) == 0
        assert {name: signal.getsignal(name) for name in before} == before
    finally:
        signal.signal(signal.SIGTERM, mine)


def test_a_file_that_appears_in_between_is_not_overwritten(tmp_path: Path) -> None:
    vault.write_new(tmp_path / "key", b"first")
    with pytest.raises(FileExistsError):
        vault.write_new(tmp_path / "key", b"second")
    assert (tmp_path / "key").read_bytes() == b"first"
