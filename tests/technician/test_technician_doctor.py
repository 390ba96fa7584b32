"""The doctor's table, row by row: each part of a board good, and each provoked bad, over USB and at the collector."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from technicians_centre import DEVICE, WIFI, Centre, Chot

from host_tools.device.heard import from_collector
from host_tools.simulator.certificates import authority, server
from host_tools.simulator.chips import ESP32_S3
from host_tools.simulator.clock_chip import ClockChipOptions
from host_tools.simulator.modem import ModemOptions
from host_tools.simulator.scan_module import ModuleOptions
from host_tools.simulator.usb_board import UsbBoard
from tests.micropython_bin import micropython_bin

NAME = "centre.example"
NETWORKS = [{"ssid": WIFI[0], "password": WIFI[1]}]
OURS = authority()


@pytest.fixture
def examined(chot: Chot, tmp_path: Path) -> Callable[..., tuple[int, dict[str, tuple[str, str, str]]]]:
    """examined(board) -> (exit status, part -> (state, what was found, advice))."""

    def examine(board: UsbBoard) -> tuple[int, dict[str, tuple[str, str, str]]]:
        status, out, err = chot("doctor", board.url, "--json", tmp_path / "findings.json")
        assert status in (0, 5) and not err, out + err
        rows = json.loads((tmp_path / "findings.json").read_text())
        return status, {row["part"]: (row["state"], row["found"], row["advice"]) for row in rows}

    return examine


@pytest.fixture
def plug(chot: Chot, table: Callable[..., UsbBoard], tmp_path: Path) -> Callable[..., UsbBoard]:
    """plug(hardware, config, **settings) -> a board of that kind, flashed, not enrolled."""

    def make(hardware: str, config: dict[str, Any], **settings: Any) -> UsbBoard:
        board = table(hardware=hardware, **settings)
        image = micropython_bin("esp32s3" if board.chip is ESP32_S3 else "esp32", "v1.27.0")
        (tmp_path / "micropython.bin").write_bytes(image)
        (tmp_path / "config.json").write_text(json.dumps({"version": 1, "wifi": NETWORKS, "heartbeat_s": 5} | config))
        files = ("--micropython", tmp_path / "micropython.bin", "--config", tmp_path / "config.json")
        status, _, err = chot("flash", board.url, "--board", hardware, *files)
        assert status == 0, err
        return board

    return make


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Centre]:
    """A centre that speaks https alone."""
    made = Centre(tmp_path / "centre", server([NAME, "127.0.0.1"], OURS).server_context())
    yield made
    made.server.stop()


def test_https_from_enrolment_to_the_doctor(
    chot: Chot, plug: Callable[..., UsbBoard], examined: Callable[..., Any], secure: Centre, tmp_path: Path
) -> None:
    """Enrolled over https, it reports over https; then whatever is in between breaks, one after the other."""
    (tmp_path / "ca.pem").write_bytes(OURS.pem)
    board = plug("esp32-devkitc", {}, collector=("127.0.0.1", secure.port))
    where = ("--collector", secure.url, "--board-url", f"https://{NAME}", "--ca", tmp_path / "ca.pem")
    status, _, err = chot("enroll", board.url, *where, "--token", secure.token())
    assert status == 0, err
    secure.wait_for(DEVICE)

    status, found = examined(board)
    assert status == 0, found
    assert found["collector"][0] == "good"
    assert found["collector"][1].startswith(f"https://{NAME}, its certificate holds, ")
    assert found["supply"][0] == "absent" and found["supply"][2] == "chot doctor … --collector URL"

    board.do(lambda: setattr(board.host, "up", False))
    status, found = examined(board)
    assert status == 5 and found["collector"][0] == "bad" and ": TCP: " in found["collector"][1]
    assert found["collector"][2] == "is it running, is the firewall open?"

    board.do(lambda: setattr(board.host, "up", True))
    board.do(lambda: setattr(board.ways.wifi, "dns_works", False))
    status, found = examined(board)
    assert status == 5 and found["collector"][0] == "bad" and ": DNS: " in found["collector"][1]
    assert found["collector"][2] == "is the name right? does the network's DNS work?"

    board.do(lambda: setattr(board.ways.wifi, "dns_works", True))
    certificates = {
        "another authority": server([NAME], authority("Somebody else")),
        "another name": server(["other.example"], OURS),
        "expired": server([NAME], OURS, ("2020-01-01", "2020-12-31")),
    }
    for wrong, certificate in certificates.items():
        impostor = Centre(tmp_path / "centre", certificate.server_context())
        board._collector = ("127.0.0.1", impostor.port)
        status, found = examined(board)
        impostor.server.stop()
        assert status == 5 and found["collector"][0] == "bad" and ": TLS: " in found["collector"][1], wrong
        assert found["collector"][2] == "its certificate: authority (--ca), name, dates"
    assert not board.flash.violations and not board.board.faults


def test_modem_and_clock_chip(plug: Callable[..., UsbBoard], examined: Callable[..., Any]) -> None:
    """Good; then cut off, denied, its battery gone, the SIM out, one after the other."""
    board = plug(
        "esp32-devkitc-4g",
        {"cellular": {"apn": "internet"}, "clock_chip": "ds3231"},
        modem=ModemOptions(),
        clock_chip=ClockChipOptions(set=True),
    )
    chip, modem = board.ways.chip, board.ways.modem
    assert chip is not None and modem is not None
    _, found = examined(board)
    for part in ("USB", "heap", "journal", "scan module", "clock chip", "modem", "Wi-Fi"):
        assert found[part][0] == "good", (part, found[part])
    assert found["modem"][1] == "A7670M7_B07V01, home, -77 dBm"
    assert found["relay"][0] == "absent"

    board.do(lambda: setattr(board.module, "cut_off", True))
    board.do(lambda: setattr(board.ways.bus, "cut_off", True))
    board.do(lambda: modem.registration("denied"))
    status, found = examined(board)
    assert status == 5
    assert found["scan module"] == ("bad", "no answer", "check its supply and the wires TX and RX")
    assert found["clock chip"] == ("bad", "no answer", "check SDA and SCL")
    assert found["modem"][:2] == ("bad", "A7670M7_B07V01, the network refuses this SIM")

    board.do(lambda: setattr(board.ways.bus, "cut_off", False))
    board.do(lambda: setattr(modem.options, "sim", "missing"))
    chip.options.battery = False
    board.do(chip.power_cut)
    _, found = examined(board)
    assert found["clock chip"] == ("bad", "it has been without its battery", "put a new CR2032 in")
    assert found["modem"] == ("bad", "A7670M7_B07V01, SIM: none", "power off, put a SIM in, power on")

    line = board.board.uarts[2]
    board.do(lambda: setattr(line, "device", None))
    _, found = examined(board)
    assert found["modem"] == ("bad", "no answer", "check its 4 V supply (2 A) and its wires")


@pytest.mark.parametrize(
    ("options", "cellular", "state", "says"),
    [
        (ModemOptions(sim="pin"), {"pin": "1234"}, "good", "LE20B04SIM7600G22, home, -77 dBm"),
        (ModemOptions(sim="pin"), {"pin": "9999"}, "bad", "LE20B04SIM7600G22, SIM: wrong PIN"),
        (ModemOptions(registration="searching"), {}, "bad", "LE20B04SIM7600G22, no network"),
        (ModemOptions(registration="roaming", csq=5), {}, "look", "LE20B04SIM7600G22, roaming, -103 dBm"),
    ],
)
def test_modems(
    options: ModemOptions,
    cellular: dict[str, str],
    state: str,
    says: str,
    plug: Callable[..., UsbBoard],
    examined: Callable[..., Any],
) -> None:
    options.kind = "sim7600"
    config = {"cellular": {"modem": "sim7600", **cellular}, "wifi": []}
    _, found = examined(plug("esp32-devkitc-4g", config, modem=options))
    assert found["modem"][:2] == (state, says)
    assert found["Wi-Fi"][:2] == ("absent", "4G alone is used")
    assert found["clock chip"][:2] == ("bad", "no answer"), "this board has its pins and no chip on them"


def test_a_door_with_a_lock(plug: Callable[..., UsbBoard], examined: Callable[..., Any]) -> None:
    """What the person at the door sees and hears: three colours, a tone, the lock for a second. Its clock is a minute off."""
    board = plug("esp32-devkitc-door", {"lock": "fail-secure"}, clock_chip=ClockChipOptions(set=True, ahead_ms=61_000))
    pulled: list[tuple[int, int, int]] = []
    tones: list[tuple[int, int, int, int]] = []
    board.board.on_pin = lambda *what: pulled.append(what)
    board.board.on_pwm = lambda *what: tones.append(what)
    _, found = examined(board)
    for part in ("lamp", "buzzer", "relay"):
        assert found[part][0] == "look" and found[part][2], part
    for pin in (25, 26, 27, 23):
        lit = [at_us for number, level, at_us in pulled if number == pin and level]
        dark = [at_us for number, level, at_us in pulled if number == pin and not level and lit and at_us > lit[0]]
        assert lit and dark[0] - lit[0] >= (1_000_000 if pin == 23 else 500_000), pin
    assert any(pin == 32 and hz == 2700 and duty for pin, hz, duty, _ in tones)
    assert found["clock chip"][0] == "look" and "off by 6" in found["clock chip"][1]
    assert found["modem"][:2] == ("absent", "this board has none")


def test_two_readers_and_what_answers_there(
    chot: Chot, plug: Callable[..., UsbBoard], examined: Callable[..., Any]
) -> None:
    board = plug(
        "esp32-s3-devkitc-1",
        {"scanner": "auto", "exit_scanner": "auto"},
        chip=ESP32_S3,
        flash_bytes=16 << 20,
        module=ModuleOptions(kind="newland"),
        exit_module=ModuleOptions(kind="ssi", baud=115_200),
    )
    _, found = examined(board)
    assert found["scan module"][:2] == ("good", "Newland, firmware not told, 9600 baud")
    assert found["exit module"][:2] == ("good", "SSI, firmware PAABLS00-001-R00, 115200 baud")
    assert chot("config", "set", board.url, "scanner=line", "exit_scanner=newland")[0] == 0
    status, found = examined(board)
    assert found["scan module"][:2] == ("look", "it only prints codes, nothing answers")
    assert found["exit module"][0] == "bad" and status == 5
    board.do(lambda: setattr(board.modules[0], "cut_off", True))
    board.do(lambda: setattr(board.modules[1], "cut_off", True))
    assert chot("config", "set", board.url, "scanner=auto", "exit_scanner=ssi")[0] == 0
    _, found = examined(board)
    assert found["scan module"][:2] == found["exit module"][:2] == ("bad", "no answer")


BOARD: dict[str, Any] = {
    "device": DEVICE,
    "checkpoint": "market gate",
    "firmware": "0.1.0",
    "last_seen": 1_000_000,
    "power_ons_day": 1,
    "clock_known": True,
    "missing_sectors": 0,
    "clones": 0,
}
HEALTH: dict[str, int] = {
    "scan_module_state": 1,
    "exit_module_state": 1,
    "heap_free_bytes": 60_000,
    "journal_fill_percent": 3,
    "link": 2,
    "rssi_dbm": -80,
    "clock_drift_tenth_ppm": -18,
}


@pytest.mark.parametrize(
    ("board", "health", "part", "state"),
    [
        ({}, {}, "", "good"),
        ({"last_seen": None}, {}, "heard", "bad"),
        ({"last_seen": -10_000_000}, {}, "heard", "bad"),
        ({}, {"scan_module_state": 3}, "scan module", "bad"),
        ({}, {"exit_module_state": 3}, "exit module", "bad"),
        ({}, {"journal_fill_percent": 85}, "journal", "look"),
        ({}, {"journal_fill_percent": 96}, "journal", "bad"),
        ({}, {"rssi_dbm": -105}, "4G", "look"),
        ({}, {"link": 1}, "Wi-Fi", "look"),
        ({"power_ons_day": 4}, {}, "supply", "look"),
        ({"clock_known": False}, {}, "clock", "look"),
        ({}, {"clock_drift_tenth_ppm": 300}, "clock chip", "look"),
        ({"missing_sectors": 2}, {}, "data", "bad"),
    ],
)
def test_what_the_collector_has_heard(
    board: dict[str, Any], health: dict[str, int], part: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thing after the other is wrong, and only that is told."""
    monkeypatch.setenv("LC_ALL", "C")
    told = BOARD | board | {"health": HEALTH | health}
    findings = from_collector({"now": 1_010_000, "boards": [told]}, "market gate")
    assert {finding.part: finding.state for finding in findings if finding.state != "good"} == ({part: state} if part else {})
    assert all(finding.advice for finding in findings if finding.state == "bad")
