"""What goes wrong at the centre's desk and at its door: each time one line and a hint, and nothing left behind."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from running_centre import START_MS, Centre
from sealing_board import COLLECTOR, Board
from test_collector_rescue import whole

from host_tools.cli.main import main
from host_tools.collector import vault
from host_tools.collector.page import PAGE
from host_tools.collector.server import CollectorServer
from host_tools.collector.store import Store
from host_tools.errors import UserError

PASSPHRASE = "mười hai con giáp"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "SCRYPT_N", 1 << 10)


@pytest.fixture
def passphrase(tmp_path: Path) -> str:
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE + "\n", "utf-8")
    return str(file)


@pytest.fixture
def directory(tmp_path: Path, passphrase: str, capsys: pytest.CaptureFixture[str]) -> Path:
    directory = tmp_path / "centre"
    assert main(["collector", "init", str(directory), "--passphrase-file", passphrase]) == 0
    capsys.readouterr()
    return directory


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that fails: one line and one hint, and no number of the system's."""
    assert main(words) in (2, 3, 4)
    out, err = capsys.readouterr()
    assert re.fullmatch(r"chot: [^\n]+\n      [^\n]+\n", err) and "Errno" not in err, err
    assert out == ""
    return err


def collector_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("collector")}


@pytest.mark.parametrize("port", ["99999", "-1", "65536"])
def test_a_port_that_is_none_is_one_line(directory: Path, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "host_tools.cli.main", "collector", "run", str(directory), f"--port={port}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, env=dict(os.environ))
    assert done.returncode == 2 and "0 to 65535" in done.stderr and "Traceback" not in done.stderr


def test_a_taken_port_is_one_line_without_numbers(
    directory: Path, centre: Centre, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(["collector", "run", str(directory), "--port", str(centre.port)], capsys)
    assert "Address already in use" in said


@pytest.mark.parametrize("trouble", ["port", "writer", "state"])
def test_a_start_that_fails_ends_its_threads(tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no such luck")

    before = collector_threads()
    if trouble != "port":
        monkeypatch.setattr(f"host_tools.collector.server.{'Doorman' if trouble == 'writer' else 'StateView'}", fail)
    port = 99_999 if trouble == "port" else 0
    server = CollectorServer(tmp_path / "c.db", [COLLECTOR], clock_ms=lambda: START_MS, port=port)
    with pytest.raises(UserError if trouble == "port" else RuntimeError):
        server.start()
    assert collector_threads() <= before


@pytest.mark.parametrize(
    "start",
    [
        b"POST /v1/journal HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nabc",
        b"POST /v1/journal HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nabc",
        b"POST /v1/journal HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_bodies_that_break_off_are_counted_and_do_not_fill_the_log(
    centre: Centre, start: bytes, reset: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    times = 5
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", centre.port)) as connection:
            connection.sendall(start)
            time.sleep(0.03)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if start.startswith(b"POST") and b"zz" not in start:
        deadline = time.monotonic() + 5
        while centre.server.broken_off < times and time.monotonic() < deadline:
            time.sleep(0.02)
        assert centre.server.broken_off == times
    assert centre.get("/v1/state")[0] == 200
    entries = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert len(entries) <= 1 and not any(entry.exc_info for entry in caplog.records)


@pytest.mark.parametrize("name", ["", "   ", "\t", "market\ngate", "\u200b"])
def test_a_checkpoint_needs_a_name(directory: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    board = Board()
    with Store(directory / "collector.db") as store:
        store.register_device(board.device_id, board.device_key, "market", START_MS)
    identity = {"device_id": Board(2).device_id.hex(), "device_key": Board(2).device_key.hex(), "list_key": "a5" * 32}
    identity["collector_public"] = (directory / "collector.pub").read_text().strip()
    identity["collector_url"] = "http://127.0.0.1:8080"
    file = directory / "identity.json"
    file.write_text(json.dumps(identity))
    file.chmod(0o600)
    refused(["collector", "assign", str(directory), board.device_id.hex(), name], capsys)
    refused(["collector", "add-device", str(directory), "--identity", str(file), "--checkpoint", name], capsys)
    with Store(directory / "collector.db") as store:
        assert store.devices() == [board.device_id]
        assert [told.checkpoint for told in store.assignments(board.device_id)] == ["market"]


def foreign_database(file: Path, version: int) -> None:
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE bookmarks (url)")
        db.execute(f"PRAGMA user_version={version}")
    db.close()


@pytest.mark.parametrize("content", ["empty", "text", "foreign", "foreign of version 1", "nothing in it"])
def test_what_is_no_database_is_not_made_one(
    directory: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = directory / "collector.db"
    file.unlink()
    if content in ("empty", "text"):
        file.write_bytes(b"" if content == "empty" else b"shopping: rice, fish sauce\n" * 300)
    elif content == "nothing in it":
        foreign_database(file, 0)
        with sqlite3.connect(file) as db:
            db.execute("DROP TABLE bookmarks")
        db.close()
    else:
        foreign_database(file, int(content.endswith("1")))
    before = file.read_bytes()
    image = directory / "flash.bin"
    image.write_bytes(whole(Board()))
    refused(["trace", "046099012345", "--db", str(file)], capsys)
    assert str(file) in refused(["rescue", str(image), "--db", str(file)], capsys)
    refused(["collector", "status", str(directory)], capsys)
    refused(["collector", "assign", str(directory), "00" * 8, "market"], capsys)
    assert file.read_bytes() == before
    if content in ("text", "foreign", "foreign of version 1"):
        refused(["collector", "run", str(directory), "--port", "0"], capsys)
        assert file.read_bytes() == before


def test_status_makes_no_database(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "collector.db").unlink()
    refused(["collector", "status", str(directory)], capsys)
    assert not (directory / "collector.db").exists()


def test_what_a_power_cut_left_of_a_new_database_is_finished(tmp_path: Path) -> None:
    (tmp_path / "c.db").touch()
    Store(tmp_path / "c.db").close()
    with Store(tmp_path / "c.db", make=False) as store:
        assert store.devices() == []


def test_damaged_pages_are_one_line_and_the_way_back(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, board = directory / "collector.db", Board()
    with Store(file) as store:
        store.register_device(board.device_id, board.device_key, "market", START_MS)
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        roots = [row[0] for row in store.db.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 0")]
        page_bytes = store.db.execute("PRAGMA page_size").fetchone()[0]
    with file.open("r+b") as pages:
        for root in roots:
            pages.seek((root - 1) * page_bytes)
            pages.write(b"\xa5" * page_bytes)
    image = directory / "flash.bin"
    image.write_bytes(whole(Board()))
    for words in (
        ["trace", "046099012345", "--db", str(file)],
        ["collector", "status", str(directory)],
        ["collector", "assign", str(directory), board.device_id.hex(), "hospital"],
        ["rescue", str(image), "--db", str(file)],
    ):
        said = refused(words, capsys)
        assert "damaged" in said and "chot rescue" in said


def test_a_deeply_nested_recovery_copy_is_one_line(
    directory: Path, passphrase: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = directory / "nested.json"
    copy.write_text("[" * 200_000)
    again = directory.parent / "again"
    restore = ["collector", "restore", str(again), "--recovery", str(copy), "--passphrase-file", passphrase]
    assert "not a recovery file" in refused(restore, capsys)


@pytest.mark.parametrize("action", ["init", "restore", "rescue"])
def test_without_a_terminal_the_passphrase_comes_from_a_file(directory: Path, action: str) -> None:
    copy, image = directory / "recovery.json", directory / "flash.bin"
    image.write_bytes(whole(Board()))
    words = {
        "init": ["collector", "init", str(directory.parent / "again")],
        "restore": ["collector", "restore", str(directory.parent / "again"), "--recovery", str(copy)],
        "rescue": ["rescue", str(image), "--keys", str(copy)],
    }[action]
    done = subprocess.run(
        [sys.executable, "-m", "host_tools.cli.main", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        start_new_session=True,
    )
    assert done.returncode == 3 and "Warning" not in done.stderr and done.stdout == ""
    assert len(done.stderr.splitlines()) == 2 and "--passphrase-file" in done.stderr
    assert not (directory.parent / "again").exists()


def test_places_that_cannot_be_written_are_one_line(
    directory: Path, passphrase: str, capsys: pytest.CaptureFixture[str]
) -> None:
    key = ["--passphrase-file", passphrase]
    file = directory / "collector.pub"
    copy = str(directory / "recovery.json")
    again = str(directory.parent / "again")
    for words in (
        ["collector", "init", str(file / "x"), *key],
        ["collector", "init", str(directory / ("x" * 300)), *key],
        ["collector", "init", again, "--recovery", str(directory / "none" / "x"), *key],
        ["collector", "restore", str(file / "x"), "--recovery", copy, *key],
        ["collector", "restore", str(directory / ("x" * 300)), "--recovery", copy, *key],
        ["trace", "046099012345", "--db", str(directory / "collector.db"), "--json", str(directory)],
    ):
        refused(words, capsys)


def test_every_mistake_has_a_hint(directory: Path, passphrase: str, capsys: pytest.CaptureFixture[str]) -> None:
    copy, db = str(directory / "recovery.json"), str(directory / "collector.db")
    again = str(directory.parent / "again")
    Path(again + ".txt").write_text("another passphrase")
    Path(again + ".bin").write_bytes(b"\xff\xfe")
    for words in (
        ["collector", "restore", again, "--recovery", str(directory), "--passphrase-file", passphrase],
        ["collector", "restore", again, "--recovery", copy, "--passphrase-file", str(directory)],
        ["collector", "restore", again, "--recovery", copy, "--passphrase-file", again + ".txt"],
        ["collector", "restore", again, "--recovery", copy, "--passphrase-file", again + ".bin"],
        ["collector", "assign", str(directory), "gate", "market"],
        ["collector", "run", str(directory), "--host", "." * 300, "--port", "0"],
        ["trace", "046099012345", "--db", again],
        ["trace", "046099012345", "--db", db, "--stay", "0"],
        ["trace", "046099012345", "--db", db, "--scheme", "256"],
        ["trace", "\udcff", "--db", db],
        ["rescue", copy, "--db", again],
    ):
        refused(words, capsys)


def test_the_page_counts_in_english() -> None:
    english = PAGE[PAGE.index("  en: {") : PAGE.index("const KINDS")]
    for one, more in (("sector waiting", "sectors waiting"), ("hole", "holes"), ("sector missing", "sectors missing")):
        assert f'["{one}", "{more}"]' in english
    assert "counted(h.sectors_unreleased, w.waiting)" in PAGE
