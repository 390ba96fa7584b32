"""One board from bare to the door and back: flashed, enrolled, set, examined, rescued, wiped, by the real tools on its port."""

from __future__ import annotations

import _thread
import json
import os
import random
import select
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import serial
from technicians_centre import CONFIG, DEVICE, MAC, WIFI, Centre, flash

from host_tools.build.identity import decode_partition
from host_tools.build.partitions import MIB, PARTITION_MAPS, TABLE_BYTES, TABLE_OFFSET, decode_table, find
from host_tools.collector.store import Store
from host_tools.device.console import in_maintenance
from host_tools.device.dumping import unreleased_sectors
from host_tools.simulator.chips import ESP32_S3
from host_tools.simulator.usb_board import UsbBoard
from tests.micropython_bin import micropython_bin

Chot = Callable[..., tuple[int, str, str]]
MAP = PARTITION_MAPS[4 * MIB]
BAR_S = 60


def test_from_bare_to_in_service(
    chot: Chot, table: Callable[..., UsbBoard], centre: Centre, download: Path, tmp_path: Path
) -> None:
    board = table(collector=("127.0.0.1", centre.port))
    begun_s = time.monotonic()
    status, out, _ = chot("ports", board.url)
    assert status == 0 and out.split() == [board.url, "esp32", "24:a1:60:11:22:33", "4", "MiB", "bare"]
    flash(chot, board, download, "--json", tmp_path / "flash.json")
    assert json.loads((tmp_path / "flash.json").read_text())["mac"] == "24:a1:60:11:22:33"
    network = f'wifi=[{{"ssid":"{WIFI[0]}","password":"{WIFI[1]}"}}]'
    status, out, err = chot(
        "enroll", board.url, "--collector", centre.url, "--token", centre.token(), "--set", network
    )
    assert status == 0 and f"{DEVICE} serves 'market gate'" in out, err
    heard = centre.wait_for(DEVICE, config=2)
    seconds = time.monotonic() - begun_s
    assert heard["checkpoint"] == "market gate"
    assert seconds <= BAR_S
    identity = find(MAP, "identity")
    key = decode_partition(board.flash.cells(identity.offset, identity.size)).device_key
    with Store(centre.database) as store:
        assert store.device_key(bytes.fromhex(DEVICE)) == key
    status, out, _ = chot("ports", board.url)
    assert f"Chốt {DEVICE} → {centre.url}, micropython v1.24.1" in out
    assert not board.flash.violations and not board.board.faults
    printed = board.board.console()
    assert key.hex().encode() not in printed and key not in printed


def test_the_flash_is_what_the_project_wants(chot: Chot, table: Callable[..., UsbBoard], download: Path) -> None:
    board = table()
    rng = random.Random(1)
    board.do(lambda: board.path.write_bytes(rng.randbytes(1 << 20) + board.path.read_bytes()[1 << 20 :]))
    flash(chot, board, download)
    cells = board.flash.dump()
    assert tuple(decode_table(cells[TABLE_OFFSET : TABLE_OFFSET + TABLE_BYTES])) == MAP
    for label in ("nvs", "lists", "journal", "identity"):
        part = find(MAP, label)
        assert set(cells[part.offset : part.end]) == {0xFF}, label
    source = download.read_bytes()
    assert cells[0x10000 : 0x1000 + len(source)] == source[0xF000:]


def test_a_board_that_is_flashed_again_keeps_who_it_is(
    chot: Chot, working: UsbBoard, centre: Centre, download: Path, tmp_path: Path
) -> None:
    identity = find(MAP, "identity")
    before = decode_partition(working.flash.cells(identity.offset, identity.size))
    flash(chot, working, download, "--rescue", tmp_path / "saved.bin")
    assert decode_partition(working.flash.cells(identity.offset, identity.size)) == before
    status, out, _ = chot("config", "get", working.url, "heartbeat_s")
    assert status == 0 and out.strip() == "heartbeat_s = 5"


def test_lists_go_onto_a_board_with_its_key(
    chot: Chot, table: Callable[..., UsbBoard], centre: Centre, download: Path, tmp_path: Path
) -> None:
    (tmp_path / "stolen.csv").write_text("cccd,046099012345\n")
    centre.token()
    made = ("lists", "--centre", centre.directory, "--version", 1, "--deny", tmp_path / "stolen.csv")
    assert chot(*made, "--output", tmp_path / "lists.bin")[0] == 0
    board = table(collector=("127.0.0.1", centre.port))
    command = ("flash", board.url, "--board", "esp32-devkitc", "--micropython", download)
    status, _, err = chot(*command, "--lists", tmp_path / "lists.bin")
    assert status == 3 and "for a board that is enrolled" in err
    assert set(board.flash.dump()) == {0xFF}
    flash(chot, board, download)
    enrolling = ("enroll", board.url, "--collector", centre.url, "--token", centre.token())
    status, _, err = chot(*enrolling, "--lists", tmp_path / "lists.bin")
    assert status == 0, err
    part = find(MAP, "lists")
    file = (tmp_path / "lists.bin").read_bytes()
    assert board.flash.cells(part.offset, 64) == file[:64]


def test_an_s3_with_16_mib(chot: Chot, table: Callable[..., UsbBoard], tmp_path: Path) -> None:
    (tmp_path / "s3.bin").write_bytes(micropython_bin("esp32s3"))
    board = table(chip=ESP32_S3, flash_bytes=16 * MIB)
    status, out, err = chot(
        "flash", board.url, "--board", "esp32-s3-devkitc-1", "--micropython", tmp_path / "s3.bin"
    )
    assert status == 0, err
    cells = board.flash.dump()
    assert tuple(decode_table(cells[TABLE_OFFSET : TABLE_OFFSET + TABLE_BYTES])) == PARTITION_MAPS[16 * MIB]
    assert cells[0] == 0xE9 and cells[3] >> 4 == 4, "the boot loader at 0, its header says 16 MiB"
    status, out, err = chot("ports", board.url)
    assert status == 0 and "esp32s3  24:a1:60:11:22:33  16 MiB  Chốt, not enrolled" in out, err


def test_another_enrolment_does_not_lose_what_the_old_key_sealed(
    chot: Chot, working: UsbBoard, centre: Centre, tmp_path: Path
) -> None:
    command = ("enroll", working.url, "--collector", centre.url, "--token", centre.token("school"))
    status, _, err = chot(*command)
    assert status == 5 and "records that no collector has confirmed" in err
    status, _, err = chot(*command, "--rescue", tmp_path / "saved.bin")
    assert status == 0, err
    assert centre.wait_for(DEVICE)["checkpoint"] == "school"
    status, out, err = chot("rescue", tmp_path / "saved.bin", "--keys", centre.directory)
    assert status == 0 and "BOOT" in out, err
    end = time.monotonic() + 60
    while centre.boards()[DEVICE]["clock_known"] is False and time.monotonic() < end:
        time.sleep(0.1)
    assert centre.boards()[DEVICE]["quarantined"] == 0, "nothing of the old key is sent under the new one"


def test_ctrl_c_in_the_middle_of_flashing(chot: Chot, table: Callable[..., UsbBoard], download: Path) -> None:
    """Half a firmware does not start, and the next try makes it whole."""
    board = table()

    def interrupt() -> None:
        while board.flash.counts.programmed_bytes < 20_000:
            time.sleep(0.002)
        _thread.interrupt_main()

    hand = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    try:
        hand.start()
        status, _, _ = chot("flash", board.url, "--board", "esp32-devkitc", "--micropython", download)
        hand.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == 130
    assert board.flash.cells(0x1000, 4) == b"\xff" * 4
    flash(chot, board, download)


def test_records_are_not_overwritten_unless_saved_or_given_up(
    chot: Chot, working: UsbBoard, centre: Centre, download: Path, tmp_path: Path
) -> None:
    flashing = ("flash", working.url, "--board", "esp32-devkitc", "--micropython", download)
    for command in (flashing, ("wipe", working.url)):
        status, _, err = chot(*command)
        assert status == 5 and "records that no collector has confirmed" in err and "--rescue FILE" in err
    assert unreleased_sectors(working.flash.cells(find(MAP, "journal").offset, find(MAP, "journal").size))
    saved = tmp_path / "saved.bin"
    status, _, err = chot("wipe", working.url, "--rescue", saved)
    assert status == 0, err
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    status, out, err = chot("rescue", saved, "--db", centre.database)
    assert status == 0 and f"board {DEVICE}" in out, err


def test_a_dead_board_gives_its_journal_up(chot: Chot, working: UsbBoard, centre: Centre, tmp_path: Path) -> None:
    """Its application is gone; the loader still reads."""

    def kill() -> None:
        with working.path.open("r+b") as file:
            file.seek(0x10000)
            file.write(bytes(64))
        working._start()

    working.do(kill)
    status, out, err = chot("rescue", working.url, "--db", centre.database, "--json", tmp_path / "rescued.json")
    assert status == 0, err
    report = json.loads((tmp_path / "rescued.json").read_text())
    assert report["device"] == DEVICE and sum(epoch["records"].get("BOOT", 0) for epoch in report["epochs"]) >= 1
    status, out, err = chot("pull", working.url, "--output", tmp_path / "dump.bin")
    assert status == 0 and "1 sectors no collector has confirmed" in out, err
    status, _, err = chot("rescue", tmp_path / "dump.bin", "--keys", centre.directory)
    assert status == 0, err


def test_nothing_is_left_after_a_wipe(chot: Chot, table: Callable[..., UsbBoard]) -> None:
    """A thousand secrets all over the flash: none is found in what esptool reads back."""
    board = table(flash_bytes=MIB)
    rng = random.Random(2)
    secrets = [rng.randbytes(32) for _ in range(1000)]

    def hide() -> None:
        image = bytearray(board.path.read_bytes())
        for number, secret in enumerate(secrets):
            image[number * 1000 : number * 1000 + 32] = secret
        board.path.write_bytes(image)

    board.do(hide)
    dump = board.flash.dump()
    assert all(secret in dump for secret in secrets)
    status, out, err = chot("wipe", board.url)
    assert status == 0 and "read back blank" in out, err
    from host_tools.device.loader import in_loader

    with in_loader(board.url) as loader:
        back = loader.read(0, loader.flash_bytes)
    assert len(back) == MIB and not any(secret in back for secret in secrets)


def test_settings_over_usb(chot: Chot, working: UsbBoard, centre: Centre, tmp_path: Path) -> None:
    status, out, _ = chot("config", "get", working.url)
    assert status == 0 and WIFI[0] in out and WIFI[1] not in out and "********" in out
    status, out, _ = chot("config", "get", working.url, "wifi", "--passwords")
    assert status == 0 and WIFI[1] in out
    status, out, err = chot("config", "set", working.url, "repeat_window_s=90", "journal_full=overwrite")
    assert status == 0 and "repeat_window_s = 90" in out and "version = 2" in out, err
    status, _, err = chot("config", "set", working.url, "repeat_window_s=-1")
    assert status == 3 and "repeat_window_s: a whole number, 0 to 86400" in err
    status, _, err = chot("config", "get", working.url, "colour")
    assert status == 2 and "the default holds" in err
    centre.wait_for(DEVICE, config=2)  # the board works on, with the new settings
    (tmp_path / "good.json").write_text(json.dumps(CONFIG))
    assert chot("config", "validate", tmp_path / "good.json")[0] == 0
    (tmp_path / "bad.json").write_text('{"version": 1, "colour": 3}')
    status, _, err = chot("config", "validate", tmp_path / "bad.json")
    assert status == 3 and "colour: not a setting" in err


def test_the_doctor_finds_nothing_wrong_with_a_good_board(chot: Chot, working: UsbBoard, centre: Centre) -> None:
    status, out, err = chot("doctor", working.url)
    assert status == 0, out + err
    for part in ("heap", "journal", "scan module", "Wi-Fi", "collector"):
        assert f"{part:<12} good" in out
    for part in ("lamp", "buzzer"):
        assert f"{part:<12} look" in out
    for board in (DEVICE, "market gate"):
        status, out, err = chot("doctor", board, "--collector", centre.url)
        assert status == 0 and f"{'heard':<12} good" in out, out + err
    status, _, err = chot("doctor", "no such gate", "--collector", centre.url)
    assert status == 3 and "does not know 'no such gate'" in err


def test_the_doctor_names_what_is_broken(
    chot: Chot, table: Callable[..., UsbBoard], centre: Centre, download: Path, tmp_path: Path
) -> None:
    board = table(module=None, wifi=("another", "network here"))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    flash(chot, board, download, "--config", tmp_path / "config.json")
    status, out, _ = chot("doctor", board.url, "--json", tmp_path / "findings.json")
    assert status == 5
    found = {one["part"]: one for one in json.loads((tmp_path / "findings.json").read_text())}
    assert {part for part, one in found.items() if one["state"] == "bad"} == {"scan module", "Wi-Fi", "collector"}
    assert found["scan module"]["advice"] == "check its supply and the wires TX and RX"
    assert "none lets it in: cho-dong-ba" in out
    assert "not enrolled" in found["collector"]["found"]


def test_logs_and_shell(chot: Chot, working: UsbBoard, tmp_path: Path) -> None:
    status, out, err = chot("shell", working.url, "--run", "import os\nprint('made.json' in os.listdir())")
    assert status == 0 and out.strip() == "True", err
    # It goes back to work; what it says at its console when its power fails once more:
    threading.Timer(0.5, working.do, (working._start,)).start()
    status, out, err = chot("logs", working.url, "--seconds", "4", "--json", tmp_path / "lines.json")
    assert status == 0 and "0.1.0 micropython" in out, err
    assert json.loads((tmp_path / "lines.json").read_text())["lines"]
    status, _, err = chot("shell", working.url, "--run", "1/0")
    assert status == 5 and "ZeroDivisionError: divide by zero" in err


def test_a_shell_by_hand(working: UsbBoard, centre: Centre) -> None:
    """`chot shell` on a terminal: mpremote's prompt, left by Ctrl-]; then the board works again."""
    hand, terminal = os.openpty()
    command = [str(Path(sys.executable).with_name("chot")), "shell", working.url]
    shell = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    seen = b""

    def until(mark: bytes) -> None:
        nonlocal seen
        end = time.monotonic() + 60
        while mark not in seen and time.monotonic() < end:
            if select.select([hand], [], [], 0.2)[0]:
                seen += os.read(hand, 4096)
        assert mark in seen, seen
        seen = b""

    until(b"exit this shell")  # the terminal may be raw by then, or not yet
    time.sleep(0.5)  # now mpremote sets the terminal to raw
    os.write(hand, b"\r")
    until(b">>> ")
    os.write(hand, b"6*7\r")
    until(b"\r\n42\r\n")
    before = centre.boards()[DEVICE]["last_seen"]
    os.write(hand, b"\x1d")
    assert shell.wait(timeout=20) == 0
    os.close(hand)
    end = time.monotonic() + 60
    while centre.boards()[DEVICE]["last_seen"] <= before and time.monotonic() < end:
        time.sleep(0.1)
    assert centre.boards()[DEVICE]["last_seen"] > before


def test_ctrl_c_leaves_the_board_usable(working: UsbBoard, centre: Centre) -> None:
    """Whatever command it hits: the context that holds the board sends it back to work."""
    before = centre.boards()[DEVICE]["last_seen"]
    with pytest.raises(KeyboardInterrupt), in_maintenance(working.url) as console:
        threading.Timer(0.3, working.do, (lambda: None,)).start()
        console._transport.exec_raw_no_follow("import time\ntime.sleep(1000)")
        raise KeyboardInterrupt
    end = time.monotonic() + 60
    while centre.boards()[DEVICE]["last_seen"] <= before + 500 and time.monotonic() < end:
        time.sleep(0.1)
    assert centre.boards()[DEVICE]["last_seen"] > before + 500


def test_replacing_a_board_keeps_the_checkpoints_history(
    chot: Chot, working: UsbBoard, centre: Centre, table: Callable[..., UsbBoard], download: Path, config: Path
) -> None:
    new = table(mac=MAC[:5] + b"\x44", collector=("127.0.0.1", centre.port))
    flash(chot, new, download, "--config", config)
    assert chot("enroll", new.url, "--collector", centre.url, "--token", centre.token("spare"))[0] == 0
    other = "000024a160112244"
    status, out, err = chot("replace", DEVICE, other, "--db", centre.database)
    assert status == 0 and "'market gate'" in out, err
    boards = centre.boards()
    assert boards[other]["checkpoint"] == boards[DEVICE]["checkpoint"] == "market gate"
    assert (DEVICE, "replaced", f"{other} market gate") in centre.reports()
    for old, wrong in ((DEVICE, DEVICE), ("00" * 8, other), ("x", other)):
        status, _, err = chot("replace", old, wrong, "--db", centre.database)
        assert status in (2, 3) and len(err.splitlines()) == 2


def test_a_serial_port_is_needed(chot: Chot) -> None:
    with pytest.raises(serial.SerialException):
        serial.Serial("/dev/no-such-port")
    status, _, err = chot("pull", "/dev/no-such-port", "--output", "/tmp/never")
    assert status == 5 and "there is no such port" in err
