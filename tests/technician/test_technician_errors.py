"""Each mishap on the technician's table, provoked: one line that says what is wrong, one that says what to do, no traceback."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from technicians_centre import Centre

from host_tools.cli import main as cli
from host_tools.cli.main import COMMANDS
from host_tools.device import micropython
from host_tools.device.flashing import Maker
from host_tools.errors import UserError
from host_tools.simulator.chips import ESP32_S3
from host_tools.simulator.usb_board import UsbBoard
from tests.micropython_bin import micropython_bin

Chot = Callable[..., tuple[int, str, str]]


def one_line_and_a_hint(said: tuple[int, str, str], status: int, *words: str) -> None:
    assert said[0] == status, said
    lines = said[2].splitlines()
    assert len(lines) == 2 and lines[0].startswith("chot: ") and lines[1].startswith("      "), said[2]
    assert all(word in said[2] for word in words), said[2]


def test_a_port_that_another_program_has(chot: Chot, table: Callable[..., UsbBoard]) -> None:
    board = table()
    held = os.open(board.url, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(held, fcntl.LOCK_EX)  # as pyserial takes a port for itself
    try:
        one_line_and_a_hint(chot("wipe", board.url), 5, "the port is busy", "close mpremote")
        one_line_and_a_hint(chot("config", "get", board.url), 5, "the port is busy")
        one_line_and_a_hint(chot("logs", board.url, "--seconds", "1"), 5, "the port is busy")
    finally:
        os.close(held)


def test_no_permission(table: Callable[..., UsbBoard]) -> None:
    """As somebody who is not in the group of the port."""
    board = table()
    os.chmod(board.url, 0o000)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.environ["LC_ALL"] = "C"
        sys.stderr = os.fdopen(write, "w", buffering=1)
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        os._exit(cli.main(["wipe", board.url]))
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    one_line_and_a_hint((status, "", text), 5, "no permission", "usermod -aG dialout")


def test_a_cable_without_data_wires(chot: Chot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port behind which nobody answers."""
    from host_tools.device import loader

    monkeypatch.setattr(loader, "_CONNECT_ATTEMPTS", 1)
    master, slave = os.openpty()
    try:
        one_line_and_a_hint(chot("wipe", os.ttyname(slave)), 5, "does not answer", "a charging cable without data wires")
    finally:
        os.close(master)
        os.close(slave)


def test_a_cable_that_is_pulled(chot: Chot, table: Callable[..., UsbBoard], download: Path) -> None:
    """While a board that has run before is flashed again: neither the old firmware nor half the new one may start."""
    board = table()
    command = ("flash", board.url, "--board", "esp32-devkitc", "--micropython", download)
    assert chot(*command)[0] == 0
    before = board.flash.counts.programmed_bytes

    def pull() -> None:
        while board.flash.counts.programmed_bytes < before + 20_000:
            time.sleep(0.005)
        board.unplug()

    hand = threading.Thread(target=pull)
    hand.start()
    said = chot(*command)
    hand.join()
    one_line_and_a_hint(said, 5, "the connection broke off", "look at cable and supply")
    assert board.flash.cells(0x1000, 4) == b"\xff" * 4


def test_a_board_of_another_kind(chot: Chot, table: Callable[..., UsbBoard], download: Path, tmp_path: Path) -> None:
    command = ("--board", "esp32-devkitc", "--micropython", download)
    one_line_and_a_hint(chot("flash", table(chip=ESP32_S3).url, *command), 5, "wrong chip", "the board is esp32s3")
    one_line_and_a_hint(chot("flash", table(flash_bytes=2 << 20).url, *command), 5, "a flash of 2 MiB does not do")
    (tmp_path / "s3.bin").write_bytes(micropython_bin("esp32s3"))
    said = chot("flash", "/dev/none", "--board", "esp32-devkitc", "--micropython", tmp_path / "s3.bin")
    one_line_and_a_hint(said, 3, "this MicroPython is for esp32s3", "download the one for esp32")


def test_settings_that_the_board_has_no_part_for(chot: Chot, download: Path, tmp_path: Path) -> None:
    (tmp_path / "two.json").write_text('{"version": 1, "exit_scanner": "gm65"}')
    command = ("flash", "/dev/none", "--board", "esp32-devkitc", "--micropython", download)
    one_line_and_a_hint(chot(*command, "--config", tmp_path / "two.json"), 3, "has no [scanner2]")
    (tmp_path / "doors.csv").write_text("checkpoint,token\nschool,tq5qq-yiqnn-pbfeu-xefcp-fzrrn-sgi2g-z3eve-6uyyj\n")
    (tmp_path / "lists.bin").write_bytes(b"no list")
    batch = ("batch", tmp_path / "doors.csv", *command[2:], "--collector", "http://127.0.0.1:9")
    one_line_and_a_hint(chot(*batch, "--lists", tmp_path / "lists.bin"), 3, "lists: ", "'chot lists'")


def test_a_flash_that_does_not_take(chot: Chot, table: Callable[..., UsbBoard], download: Path) -> None:
    board = table()
    board.flash.fails_silently = lambda operation: operation.address <= 0x12000 < operation.address + operation.size
    said = chot("flash", board.url, "--board", "esp32-devkitc", "--micropython", download)
    one_line_and_a_hint(said, 5, "does not hold what was written", "the board is defective")


def test_a_board_without_chot(chot: Chot, table: Callable[..., UsbBoard], centre: Centre) -> None:
    board = table()
    token = centre.token()
    said = chot("enroll", board.url, "--collector", centre.url, "--token", token)
    one_line_and_a_hint(said, 5, "Chốt is not on it", "'chot flash' comes first")
    one_line_and_a_hint(chot("pull", board.url, "--output", "/tmp/never.bin"), 5, "there is no journal")
    status, out, _ = chot("ports", board.url, "/dev/none")
    assert status == 5 and "bare" in out and "there is no such port" in out


def test_an_address_that_the_firmware_would_refuse(
    chot: Chot, table: Callable[..., UsbBoard], centre: Centre, download: Path, tmp_path: Path
) -> None:
    """Plain HTTP beyond this machine, and https without an authority: told before a token is spent."""
    board = table()
    assert chot("flash", board.url, "--board", "esp32-devkitc", "--micropython", download)[0] == 0
    command = ("enroll", board.url, "--collector", centre.url, "--token", centre.token())
    said = chot(*command, "--board-url", "http://192.168.1.10:8080")
    one_line_and_a_hint(said, 3, "plain http", "plain_http")
    one_line_and_a_hint(chot(*command, "--board-url", "https://centre.example"), 3, "certificate of an authority")
    (tmp_path / "ca.pem").write_text("no certificate")
    one_line_and_a_hint(chot(*command, "--ca", tmp_path / "ca.pem"), 3, "no certificate in it")
    assert centre.boards() == {}
    status, _, err = chot(*command, "--board-url", "http://192.168.1.10:8080", "--set", "plain_http=true")
    assert status == 0, err


def test_no_console_answers(chot: Chot, table: Callable[..., UsbBoard], monkeypatch: pytest.MonkeyPatch) -> None:
    from host_tools.device import console

    monkeypatch.setattr(console, "_PROMPT_S", 1.0)
    one_line_and_a_hint(chot("config", "get", table().url), 5, "no answer at the board's console", "'chot flash'")


DOWNLOADS = {
    "not an image for an ESP32": b"\x7fELF" + bytes(100),
    "for another chip (id 5)": micropython_bin()[:12] + b"\x05\0" + micropython_bin()[14:],
    "no partition table in it": micropython_bin()[:0x7000] + b"\xff" * 0x1000 + micropython_bin()[0x8000:],
    "not whole": micropython_bin()[:-5000],
    "not MicroPython": micropython_bin(project="arduino-lib-builder"),
    "of no version that can be read": micropython_bin(version="g1234567"),
}


@pytest.mark.parametrize("says", DOWNLOADS)
def test_a_download_that_is_none(says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    with pytest.raises(UserError) as refused:
        micropython.parse(DOWNLOADS[says], "some.bin")
    assert says in refused.value.message and "micropython.org" in refused.value.hint


def test_every_cut_and_many_flips_of_a_download_are_noticed() -> None:
    good = micropython_bin(app_kib=4)
    for size in range(0, len(good), 997):
        with pytest.raises(UserError):
            micropython.parse(good[:size], "some.bin")
    app = 0xF000
    for at in range(app, len(good), 211):
        with pytest.raises(UserError):
            micropython.parse(good[:at] + bytes((good[at] ^ 4,)) + good[at + 1 :], "some.bin")


def test_how_old_micropython_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")

    def made(version: str, board: str = "esp32-devkitc") -> Maker:
        return Maker(micropython.parse(micropython_bin(version=version), "some.bin"), board)

    made("v1.24.0")
    made("v1.30.0-preview.12.gabcdef")
    for version, board, needed in (("v1.23.0", "esp32-devkitc", "1.24"), ("v1.26.1", "lilygo-t-a7670", "1.27")):
        with pytest.raises(UserError, match="is too old") as refused:
            made(version, board)
        assert needed in refused.value.hint
    made("v1.27.0", "lilygo-t-a7670")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("language", ["C", "vi_VN.UTF-8"])
def test_every_command_has_help_with_an_example(
    command: str, language: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", language)
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"{'Ví dụ' if language.startswith('vi') else 'Example'}: chot {command}" in out
    if command not in ("build", "cards", "sim", "trace", "collector", "config"):
        assert "--json" in out


def test_a_vietnamese_technician_reads_vietnamese(
    table: Callable[..., UsbBoard], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    assert cli.main(["ports", table().url]) == 0
    assert "trống" in capsys.readouterr().out
    assert cli.main(["wipe", "/dev/none"]) == 5
    assert "không có cổng ấy" in capsys.readouterr().err
