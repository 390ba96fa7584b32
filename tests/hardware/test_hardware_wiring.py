"""The wiring follows the board file and is electrically sound: nets, levels, grounds, and the lock's own chain."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from host_tools.build.boards import Board, board_names, load_board
from host_tools.hardware.catalogue import switches
from host_tools.hardware.power import budget
from host_tools.hardware.wiring import wiring

DOORS = [name for name in board_names() if "relay" in load_board(name).parts]
SERIES = ("R1k", "R10k", "R330", "R150", "R100", "D5")  # what parts two nets instead of joining them
TERMINALS = ("X1", "X2", "X3", "X4")


class Circuit:
    """The nets of a WireViz document: terminals of one name are one net, a component has two ends."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.parent: dict[str, str] = {}
        self.parts = document["connectors"]
        self.points: set[str] = set()
        self.across: list[tuple[str, str, str]] = []  # component, and the points at its two ends
        for index, row in enumerate(document["connections"]):
            ends = [end for end in row if end != "--" and not (isinstance(end, dict) and next(iter(end)) in document["cables"])]
            points = [self.point(end, f"{index}.{at}") for at, end in enumerate(ends)]
            self.points.update(points)
            for at in range(len(points) - 1):
                left, right = points[at], points[at + 1]
                self.join(f"{left}>" if self.series(left) else left, f"<{right}" if self.series(right) else right)
            for point in points:
                if self.series(point):
                    self.across.append((point.split("#")[0], f"<{point}", f"{point}>"))

    @staticmethod
    def point(end: Any, serial: str) -> str:
        if isinstance(end, str):
            name = end.removesuffix(".")
            return name if name in TERMINALS else f"{name}#{serial}"
        ((name, pin),) = end.items()
        return f"{name}:{pin}"

    @staticmethod
    def series(point: str) -> bool:
        return point.split("#")[0] in SERIES

    def net(self, point: str) -> str:
        while self.parent.get(point, point) != point:
            point = self.parent[point]
        return point

    def join(self, one: str, other: str) -> None:
        self.parent[self.net(one)] = self.net(other)

    def same(self, one: str, other: str) -> bool:
        return self.net(one) == self.net(other)

    def through(self, component: str, one: str, other: str) -> bool:
        """True if such a component lies between the two points."""
        return any(
            name == component and {self.net(a), self.net(b)} == {self.net(one), self.net(other)} for name, a, b in self.across
        )


def circuit(name: str) -> tuple[Board, Circuit]:
    """A board and its nets."""
    board = load_board(name)
    return board, Circuit(wiring(board))


@pytest.mark.parametrize("name", board_names())
def test_every_pin_of_the_board_file_is_wired_once(name: str) -> None:
    board = load_board(name)
    document = wiring(board)
    wired: dict[str, int] = defaultdict(int)
    for row in document["connections"]:
        for end in row:
            if isinstance(end, dict) and "A1" in end:
                wired[end["A1"]] += 1
    wanted = {
        f"IO{pin}"
        for section, part in board.parts.items()
        for member, pin in part.items()
        if section not in ("modem", "battery") and member != "uart"
    }
    assert {pin for pin in wired if pin.startswith("IO")} == wanted
    doubled = {f"IO{pin}" for pin in board.pinout.resistors}
    assert {pin for pin, count in wired.items() if pin.startswith("IO") and count > 1} == doubled
    assert dict(zip(document["connectors"]["A1"]["pins"], document["connectors"]["A1"]["pinlabels"], strict=True)) == {
        ("VBUS" if "lilygo" in name else "5V"): "+5 V",
        "GND": "GND",
        "3V3": "+3V3",
        **{
            f"IO{pin}": f"{section}.{member}"
            for section, part in board.parts.items()
            for member, pin in part.items()
            if f"IO{pin}" in wanted and member != "uart"
        },
    }


@pytest.mark.parametrize("name", board_names())
def test_no_supply_touches_a_pin_or_another_supply(name: str) -> None:
    board, nets = circuit(name)
    assert len({nets.net(terminal) for terminal in TERMINALS}) == 4
    pins = [f"A1:{pin}" for pin in nets.parts["A1"]["pins"] if pin.startswith("IO")]
    assert len({nets.net(pin) for pin in pins}) == len(pins)
    for pin in pins:
        assert nets.net(pin) not in {nets.net(terminal) for terminal in TERMINALS}
    power = "VBUS" if "lilygo" in name else "5V"
    assert nets.same(f"A1:{power}", "X1") and nets.same("A1:GND", "X2")


@pytest.mark.parametrize("name", board_names())
def test_the_scan_module_has_its_supply_and_a_resistor_before_the_input(name: str) -> None:
    board, nets = circuit(name)
    for section, part in (("scanner", "B1"), ("scanner2", "B2")):
        if section in board.parts:
            assert nets.same(f"{part}:VCC", "X1") and nets.same(f"{part}:GND", "X2")
            assert nets.same(f"{part}:RXD", f"A1:IO{board.parts[section]['tx']}")
            assert nets.through("R1k", f"{part}:TXD", f"A1:IO{board.parts[section]['rx']}")


@pytest.mark.parametrize("name", board_names())
def test_switches_close_to_ground_through_a_resistor(name: str) -> None:
    board, nets = circuit(name)
    parts = {"contact": "S1", "beam": "S2", "help": "S3", "guard": "S4", "tamper": "S5"}
    for key, pin in switches(board).items():
        assert nets.through("R1k", f"{parts[key]}:1", f"A1:IO{pin}") and nets.same(f"{parts[key]}:2", "X2")
        assert nets.through("R10k", "X3", f"A1:IO{pin}") == (pin in board.pinout.resistors)
    if "beam" in switches(board):
        assert nets.same("S2:+", "X4") and nets.same("S2:-", "X2")


@pytest.mark.parametrize("name", board_names())
def test_the_driver_drives_what_the_board_file_says(name: str) -> None:
    """ULN2003A: the output of input n is pin 17 - n, ground 8, free-wheeling diodes 9."""
    board, nets = circuit(name)
    assert nets.same("A2:8", "X2") and nets.same("A2:9", "X1")
    lamp = board.parts["lamp"]
    loads = {lamp[key]: (f"H{at}:-", "R150" if key == "red" else "R100") for at, key in enumerate(lamp, 1) if key != "ws2812"}
    loads[board.parts["buzzer"]["pin"]] = ("H4:-", "")
    if "relay" in board.parts:
        loads[board.parts["relay"]["pin"]] = ("K1:A1", "")
    for pin, (load, resistor) in loads.items():
        given = next(number for number in range(1, 8) if nets.same(f"A2:{number}", f"A1:IO{pin}"))
        output = f"A2:{17 - given}"
        assert nets.through(resistor, output, load) if resistor else nets.same(output, load)
    if "ws2812" in lamp:
        assert nets.through("R330", f"A1:IO{lamp['ws2812']}", "H1:DIN") and nets.through("D5", "X1", "H1:+5V")


@pytest.mark.parametrize("name", DOORS)
def test_the_fire_alarm_cuts_the_lock_in_hardware(name: str) -> None:
    """Supply, fuse, fire alarm contact, emergency release, relay, lock: one after the other, and no other way to the lock."""
    _, nets = circuit(name)
    chain = [("X4", "F2:1"), ("F2:2", "S6:1"), ("S6:2", "S7:1"), ("S7:2", "K1:COM"), ("K1:NC", "Y1:+"), ("Y1:-", "X2")]
    for one, other in chain:
        assert nets.same(one, other)
    contacts = [("F2:1", "F2:2"), ("S6:1", "S6:2"), ("S7:1", "S7:2"), ("K1:COM", "K1:NC")]
    assert all(not nets.same(one, other) for one, other in contacts)
    fed = {point for point in nets.points if nets.same(point, "Y1:+")}
    assert fed == {"K1:NC", "Y1:+", "D1:K"}
    assert "FIRE ALARM CUTS THE LOCK" in nets.parts["S6"]["notes"]
    assert nets.same("D1:K", "Y1:+") and nets.same("D1:A", "Y1:-")


@pytest.mark.parametrize("name", board_names())
def test_supply_and_fuses_are_those_of_the_budget(name: str) -> None:
    board, nets = circuit(name)
    chosen = budget(board)
    assert f"{chosen.supply_v} V {chosen.supply_a:g} A" in nets.parts["G1"]["type"]
    assert f"{chosen.main_fuse_a:g} A" in nets.parts["F1"]["type"] and f"{chosen.capacitor_uf} µF" in nets.parts["C1"]["type"]
    main = "X4" if chosen.twelve else "X1"
    assert nets.same("G1:+", "F1:1") and nets.same("F1:2", main) and nets.same("G1:-", "X2")
    assert nets.same("C1:+", "X1") and nets.same("C1:-", "X2")
    if not chosen.twelve:
        supply = next(row for row in wiring(board)["connections"] if row[0] == {"F1": 2})
        ((cable, _),) = supply[1].items()
        assert wiring(board)["cables"][cable]["length"] <= chosen.cable_m


def test_the_voice_talks_both_ways() -> None:
    board, nets = circuit("esp32-devkitc-door")
    voice = board.parts["voice"]
    assert nets.through("R1k", f"A1:IO{voice['tx']}", "A4:RX") and nets.same(f"A1:IO{voice['rx']}", "A4:TX")
    assert nets.same(f"A1:IO{voice['busy']}", "A4:BUSY") and nets.same("A4:VCC", "X1")


@pytest.mark.parametrize("name", [name for name in board_names() if "i2c" in load_board(name).parts])
def test_the_clock_runs_at_the_chips_voltage(name: str) -> None:
    board, nets = circuit(name)
    assert nets.same("A3:VCC", "X3") and nets.same("A1:3V3", "X3") and nets.same("A3:GND", "X2")
    assert nets.same("A3:SDA", f"A1:IO{board.parts['i2c']['sda']}")
    assert nets.same("A3:SCL", f"A1:IO{board.parts['i2c']['scl']}")
