"""The wiring of a board as a WireViz file: every part, cable and terminal, made from the board's description."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from host_tools.build.boards import Board
from host_tools.hardware.catalogue import Part, catalogue, controller, switches
from host_tools.hardware.power import budget

# Terminals and single components are drawn wherever a wire ends on them; a name ending in "." makes a new one each time.
_SIMPLE = {
    "X1": "X1 +5 V",
    "X2": "X2 GND",
    "X3": "X3 +3V3",
    "X4": "X4 +12 V",
    "R1k": "1 kΩ",
    "R10k": "10 kΩ",
    "R330": "330 Ω",
    "R150": "150 Ω",
    "R100": "100 Ω",
    "D5": "1N4007 (→|)",
}
_POWER_PIN = {"lilygo-t-a7670": "VBUS", "lilygo-t-sim7600": "VBUS"}
_SWITCH_PARTS = {"contact": "S1", "beam": "S2", "help": "S3", "guard": "S4", "tamper": "S5"}
_INSIDE = 0.2  # metres of wire inside the box
_OUTSIDE = 5
# ULN2003A, DIP-16: the pin of an input and of its output.
_ULN = {"red": (1, 16), "green": (2, 15), "blue": (3, 14), "buzzer": (4, 13), "relay": (5, 12)}


class _Harness:
    """A WireViz document being put together."""

    def __init__(self) -> None:
        self.connectors: dict[str, dict[str, Any]] = {}
        self.cables: dict[str, dict[str, Any]] = {}
        self.sets: list[list[Any]] = []

    def part(self, name: str, part: Part | tuple[str, str], pins: list[Any], labels: list[str], notes: str = "") -> None:
        vi, en = (part.vi, part.en) if isinstance(part, Part) else part
        given: dict[str, Any] = {"type": vi, "subtype": en, "pins": pins, "pinlabels": labels}
        if notes:
            given["notes"] = notes
        self.connectors[name] = given

    def cable(self, kind: str, wires: Sequence[tuple[str, Sequence[Any]]], metres: float = _INSIDE, mm2: float = 0.25) -> None:
        """`wires`: colour and what the wire connects: [near, far] or [near, far, component, component…]."""
        name = f"W{len(self.cables) + 1}"
        self.cables[name] = {
            "wirecount": len(wires),
            "colors": [colour for colour, _ in wires],
            "gauge": f"{mm2} mm2",
            "length": metres,
            "type": kind,
        }
        for index, (_, path) in enumerate(wires, 1):
            near, far = path[:2]
            row = [self._end(near), {name: index}, self._end(far)]
            for more in path[2:]:
                row += ["--", self._end(more)]
            self.sets.append(row)

    @staticmethod
    def _end(end: Any) -> Any:
        """X1 makes a new terminal; a pair is part and pin."""
        return f"{end}." if isinstance(end, str) else {end[0]: end[1]}

    def document(self) -> dict[str, Any]:
        used = {end.removesuffix(".") for row in self.sets for end in row if isinstance(end, str) and end != "--"}
        for name in _SIMPLE:
            if name in used:
                self.connectors[name] = {"style": "simple", "type": _SIMPLE[name]}
        return {"connectors": self.connectors, "cables": self.cables, "connections": self.sets}


_IN_BOX = "trong hộp · inside"
_OUT_OF_BOX = "ra ngoài · outside"


def _io(board: Board, part: str, member: str) -> list[Any]:
    return ["A1", f"IO{board.parts[part][member]}"]


def _board(harness: _Harness, board: Board) -> None:
    """The controller with every pin that is wired here."""
    pins: list[str] = [_POWER_PIN.get(board.name, "5V"), "GND", "3V3"]
    labels = ["+5 V", "GND", "+3V3"]
    for section, part in board.parts.items():
        if section in ("modem", "battery"):
            continue
        for member, pin in part.items():
            if member != "uart":
                pins.append(f"IO{pin}")
                labels.append(f"{section}.{member}")
    notes = "IO… = số chân in trên bo · the number printed beside the pin"
    if "modem" in board.parts:
        notes += "\nLắp SIM và ăng-ten LTE trước khi cấp điện · SIM and LTE antenna first, then power"
        notes += "\nKhe SD để trống · leave the SD slot empty"
    harness.part("A1", controller(board), pins, labels, notes)


def _supply(harness: _Harness, board: Board) -> None:
    """From the supply to the terminals and the controller."""
    chosen = budget(board)
    volts, amps = chosen.supply_v, f"{chosen.supply_a:g}"
    supply = (f"Nguồn {volts} V {amps} A", f"{volts} V {amps} A power supply")
    harness.part("G1", supply, ["+", "-"], [f"+{volts} V", "0 V"], "0 V không nối đất · 0 V stays off earth")
    harness.part("F1", (f"Cầu chì {chosen.main_fuse_a:g} A chậm", "slow fuse"), [1, 2], ["vào · in", "ra · out"])
    main = f"X{4 if chosen.twelve else 1}"
    harness.cable(_IN_BOX, [("RD", [["G1", "+"], ["F1", 1]])], mm2=0.75)
    # A 5 V supply may not stand farther away than the drop in its cable allows.
    metres = _OUTSIDE if chosen.twelve else min(_OUTSIDE, math.floor(2 * chosen.cable_m) / 2)
    harness.cable(_OUT_OF_BOX, [("RD", [["F1", 2], main]), ("BK", [["G1", "-"], "X2"])], metres=metres, mm2=0.75)
    if chosen.buck:
        harness.part("U1", chosen.buck, ["IN+", "IN-", "OUT+", "OUT-"], ["+12 V", "0 V", "+5,1 V", "0 V"])
        harness.cable(_IN_BOX, [("RD", ["X4", ["U1", "IN+"]]), ("BK", ["X2", ["U1", "IN-"]])], mm2=0.75)
        harness.cable(_IN_BOX, [("RD", [["U1", "OUT+"], "X1"]), ("BK", [["U1", "OUT-"], "X2"])], mm2=0.75)
    capacitor = (f"Tụ {chosen.capacitor_uf} µF ≥ 10 V low ESR", "capacitor, beside the board")
    harness.part("C1", capacitor, ["+", "-"], ["+", "vạch · stripe"])
    harness.cable(_IN_BOX, [("RD", ["X1", ["C1", "+"]]), ("BK", ["X2", ["C1", "-"]])], metres=0.05)
    power = _POWER_PIN.get(board.name, "5V")
    harness.cable(_IN_BOX, [("RD", ["X1", ["A1", power]]), ("BK", ["X2", ["A1", "GND"]])], mm2=0.5)
    harness.cable(_IN_BOX, [("OG", [["A1", "3V3"], "X3"])])  # clock, pull-ups, or a scan module of 3.3 V


def _scanner(harness: _Harness, board: Board, section: str, name: str) -> None:
    part = catalogue()["scanner"]
    side = {"scanner": "", "scanner2": " · lối ra · way out"}[section]
    notes = (
        "GM65-S, GM861: VCC vào X3 (3,3 V), không phải X1 · VCC to X3, not X1\n"
        "Đo TXD khi nghỉ: quá 3,6 V thì thêm 2 kΩ từ IO xuống GND · TXD above 3.6 V at rest: add 2 kΩ from IO to GND"
    )
    harness.part(name, (part.vi + side, part.en), ["VCC", "GND", "TXD", "RXD"], ["+5 V", "GND", "→", "←"], notes)
    first = section == "scanner"
    harness.cable(
        _IN_BOX if first else _OUT_OF_BOX,
        [
            ("RD", [[name, "VCC"], "X1"]),
            ("BK", [[name, "GND"], "X2"]),
            ("YE", [[name, "TXD"], "R1k", _io(board, section, "rx")]),
            ("GN", [[name, "RXD"], _io(board, section, "tx")]),
        ],
        metres=_INSIDE if first else 2,
    )


def _switches(harness: _Harness, board: Board) -> None:
    notes = {
        "contact": "Đóng khi cửa đóng · closed while the door is shut",
        "beam": "Đóng khi còn ánh sáng · closed while the light arrives",
        "help": "Hở; nhấn thì đóng · open; closed when pressed",
        "guard": "Hở; nhấn thì đóng · open; closed when pressed",
        "tamper": "Đóng khi hộp đóng · closed while the box is shut",
    }
    for key, pin in switches(board).items():
        name = _SWITCH_PARTS[key]
        inside = key == "tamper"
        rows: list[tuple[str, list[Any]]] = []
        pins: list[Any] = [1, 2]
        labels = ["tiếp điểm · contact", "tiếp điểm · contact"]
        if key == "beam":
            pins, labels = [1, 2, "+", "-"], [*labels, "+12 V", "0 V"]
        rows.append(("WH", [[name, 1], "R1k", ["A1", f"IO{pin}"]]))
        rows.append(("BK", [[name, 2], "X2"]))
        if key == "beam":
            rows += [("RD", [[name, "+"], "X4"]), ("BU", [[name, "-"], "X2"])]
        harness.part(name, catalogue()[key], pins, labels, notes[key])
        harness.cable(_IN_BOX if inside else _OUT_OF_BOX, rows, metres=_INSIDE if inside else _OUTSIDE)
        if pin in board.pinout.resistors:
            harness.cable(_IN_BOX, [("OG", ["X3", "R10k", ["A1", f"IO{pin}"]])], metres=0.05)


def _clock(harness: _Harness, board: Board) -> None:
    notes = "CR2032: tháo điện trở sạc trên mạch (cạnh điốt) · take the charging resistor off the module"
    harness.part("A3", catalogue()["ds3231"], ["VCC", "GND", "SDA", "SCL"], ["+3V3", "GND", "SDA", "SCL"], notes)
    harness.cable(
        _IN_BOX,
        [
            ("OG", [["A3", "VCC"], "X3"]),
            ("BK", [["A3", "GND"], "X2"]),
            ("BU", [["A3", "SDA"], _io(board, "i2c", "sda")]),
            ("VT", [["A3", "SCL"], _io(board, "i2c", "scl")]),
        ],
    )


def _voice(harness: _Harness, board: Board) -> None:
    pins = ["VCC", "GND", "RX", "TX", "BUSY", "SPK1", "SPK2"]
    harness.part("A4", catalogue()["voice"], pins, ["+5 V", "GND", "←", "→", "→", "loa · speaker", "loa · speaker"])
    rows: list[tuple[str, list[Any]]] = [
        ("RD", ["X1", ["A4", "VCC"]]),
        ("BK", ["X2", ["A4", "GND"]]),
        ("GN", [_io(board, "voice", "tx"), "R1k", ["A4", "RX"]]),
    ]
    rows += [("YE", [_io(board, "voice", "rx"), ["A4", "TX"]])] if "rx" in board.parts["voice"] else []
    rows += [("WH", [_io(board, "voice", "busy"), ["A4", "BUSY"]])] if "busy" in board.parts["voice"] else []
    harness.cable(_IN_BOX, rows)
    harness.part("LS1", ("Loa 8 Ω 2 W", "8 Ω 2 W speaker"), [1, 2], ["", ""])
    harness.cable(_IN_BOX, [("BN", [["A4", "SPK1"], ["LS1", 1]]), ("GY", [["A4", "SPK2"], ["LS1", 2]])])


def _outputs(harness: _Harness, board: Board) -> None:
    """Lamp, buzzer and relay by way of the driver; it holds all of them off while the chip restarts."""
    lamp = board.parts["lamp"]
    driven = [(key, "lamp", key) for key in ("red", "green", "blue") if key in lamp] + [("buzzer", "buzzer", "pin")]
    driven += [("relay", "relay", "pin")] if "relay" in board.parts else []
    inputs = [_ULN[key][0] for key, _, _ in driven]
    outputs = [_ULN[key][1] for key, _, _ in driven]
    labels = [f"IN{pin}" for pin in inputs] + ["GND", "COM +5 V"] + [f"OUT{17 - pin}" for pin in outputs]
    notes = "Chân vào có trở kéo xuống: tắt khi máy khởi động · inputs are pulled down: all off through a reset"
    harness.part("A2", catalogue()["uln2003"], [*inputs, 8, 9, *outputs], labels, notes)
    colours = {"red": "RD", "green": "GN", "blue": "BU", "buzzer": "YE", "relay": "OG"}
    harness.cable(_IN_BOX, [(colours[key], [_io(board, part, member), ["A2", _ULN[key][0]]]) for key, part, member in driven])
    harness.cable(_IN_BOX, [("BK", ["X2", ["A2", 8]]), ("RD", ["X1", ["A2", 9]])])
    names = {"red": "Đỏ · red", "green": "Xanh lá · green", "blue": "Xanh dương · blue"}
    for number, key in enumerate((key for key in ("red", "green", "blue") if key in lamp), 1):
        resistor = "R150" if key == "red" else "R100"
        harness.part(f"H{number}", (f"LED 10 mm {names[key]}", "long leg is +"), ["-", "+"], ["ngắn · short", "dài · long"])
        minus, plus = [f"H{number}", "-"], [f"H{number}", "+"]
        harness.cable(_IN_BOX, [(colours[key], [["A2", _ULN[key][1]], resistor, minus]), ("RD", ["X1", plus])])
    harness.part("H4", catalogue()["buzzer"], ["-", "+"], ["", ""])
    harness.cable(_IN_BOX, [("YE", [["A2", _ULN["buzzer"][1]], ["H4", "-"]]), ("RD", ["X1", ["H4", "+"]])])
    if "ws2812" in lamp:
        harness.part("H1", catalogue()["ws2812"], ["DIN", "+5V", "GND"], ["←", "+", "GND"])
        harness.cable(
            _IN_BOX,
            [
                ("GN", [_io(board, "lamp", "ws2812"), "R330", ["H1", "DIN"]]),
                ("RD", ["X1", "D5", ["H1", "+5V"]]),
                ("BK", ["X2", ["H1", "GND"]]),
            ],
        )


def _lock(harness: _Harness, board: Board) -> None:
    """The lock's own supply: fuse, fire alarm contact, emergency release, relay. No firmware is in this chain."""
    chosen = budget(board)
    notes = (
        "Đặt phía trong cửa, cùng G1, F1, F2 · on the inner side of the door, with G1, F1, F2\n"
        "Khoá từ: chân NC · magnetic lock: contact NC\nChốt điện: chân NO · electric strike: contact NO"
    )
    pins = ["A1", "A2", "COM", "NC", "NO"]
    labels = ["cuộn − · coil −", "cuộn + · coil +", "← khoá · lock supply", "→ khoá · to lock", "(chốt · strike)"]
    harness.part("K1", catalogue()["relay"], pins, labels, notes)
    harness.part("F2", (f"Cầu chì khoá {chosen.lock_fuse_a:g} A chậm", "lock fuse, slow"), [1, 2], ["vào · in", "ra · out"])
    fire = "BÁO CHÁY CẮT ĐIỆN KHOÁ TẠI ĐÂY, không qua phần mềm\nTHE FIRE ALARM CUTS THE LOCK HERE, no firmware involved"
    harness.part("S6", catalogue()["fire"], [1, 2], ["NC", "COM"], fire)
    harness.part("S7", catalogue()["release"], [1, 2], ["NC", "COM"])
    harness.part("Y1", catalogue()["lock"], ["+", "-"], ["+12 V", "0 V"], "D1 ngay tại khoá · D1 right at the lock")
    harness.part("D1", catalogue()["diode"], ["K", "A"], ["vạch · stripe", ""])
    harness.cable(_IN_BOX, [("RD", ["X4", ["F2", 1]])], mm2=0.75)
    harness.cable(_OUT_OF_BOX, [("RD", [["F2", 2], ["S6", 1]])], metres=20, mm2=0.75)
    harness.cable(_OUT_OF_BOX, [("RD", [["S6", 2], ["S7", 1]])], metres=20, mm2=0.75)
    harness.cable(_OUT_OF_BOX, [("RD", [["S7", 2], ["K1", "COM"]])], metres=20, mm2=0.75)
    coil = ["A2", _ULN["relay"][1]]
    harness.cable(_OUT_OF_BOX, [("OG", [coil, ["K1", "A1"]]), ("RD", ["X1", ["K1", "A2"]])], metres=_OUTSIDE)
    harness.cable(_OUT_OF_BOX, [("RD", [["K1", "NC"], ["Y1", "+"]]), ("BK", ["X2", ["Y1", "-"]])], metres=_OUTSIDE, mm2=0.75)
    harness.cable(_OUT_OF_BOX, [("RD", [["Y1", "+"], ["D1", "K"]]), ("BK", [["Y1", "-"], ["D1", "A"]])], metres=0.05)


def wiring(board: Board) -> dict[str, Any]:
    """The WireViz document of a board."""
    harness = _Harness()
    _board(harness, board)
    _scanner(harness, board, "scanner", "B1")
    if "scanner2" in board.parts:
        _scanner(harness, board, "scanner2", "B2")
    _switches(harness, board)
    if "i2c" in board.parts:
        _clock(harness, board)
    _supply(harness, board)
    if "voice" in board.parts:
        _voice(harness, board)
    _outputs(harness, board)
    if "relay" in board.parts:
        _lock(harness, board)
    return harness.document()


def wiring_text(board: Board) -> str:
    """The WireViz file of a board, as YAML: one part, cable or wire a line."""

    def flow(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)

    document = wiring(board)
    lines = [f"# Wiring of {board.name}, for WireViz; made by `make hardware` from hardware/boards/{board.name}.toml."]
    for section in ("connectors", "cables"):
        lines.append(f"{section}:")
        for name, given in document[section].items():
            lines.append(f"  {name}:")
            lines += [f"    {key}: {flow(value)}" for key, value in given.items()]
    lines.append("connections:")
    lines += [f"  - {flow(row)}" for row in document["connections"]]
    return "\n".join(lines) + "\n"
