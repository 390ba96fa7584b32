"""The metered figures: what a card, a key, a boot and the firmware itself cost on the 32-bit runtime."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from host_tools.bench import meter
from host_tools.bench.meter import MeterError, Recording
from host_tools.bench.names import rename, shortened
from host_tools.build.boards import board_source, load_board
from host_tools.build.bundle import BOARD_MODULE, ENTRY, compile_bundle, firmware_sources
from host_tools.build.partitions import find, partition_map
from host_tools.build.shorten import shorten
from host_tools.cards import people
from host_tools.simulator.flash import PAGE_PROGRAM_US, SECTOR_BYTES
from host_tools.text import say

ROOT = Path(__file__).resolve().parents[2]
BOARD = "esp32-devkitc"
FLASH_SIZE = 4 << 20

# One metered instruction on an ESP32 at 240 MHz. Origin: the same code on MicroPython 1.24 for ESP32 takes 0.41 to 0.50
# Xtensa instructions a metered one, at about two cycles an instruction from flash.
INSTRUCTION_NS = 5

CARD_FLASH_BYTES = 28
SCAN_INSTRUCTIONS = 600_000
X25519_INSTRUCTIONS = 75_000_000
# Of everything that a config of this build can ask for at once (WHOLE); heap of that and all that a door can have (PARTS).
MPY_BYTES = 34 * 1024
HEAP_BYTES = 64 * 1024
# Beside what default settings load; `auto` has found two modules of different kinds.
WHOLE = ("drivers.auto", "drivers.line", "drivers.newland", "scanner.hours", "scanner.lists")
PARTS = ("drivers.ws2812", "drivers.voice", "drivers.door", "scanner.loudness")  # where board.py, or quiet hours, ask for them

YEAR_MS = 365 * 24 * 3600 * 1000
# The published sample of the national card, 74 bytes; nobody's.
SAMPLE_CARD = b"001093029317|NGUYEN VAN A|1987-01-18|0|162979388586171100|<1<00<0123232422"
CCCD_CARD_BYTES = 143
BHYT_CARD_BYTES = 256
STAND_INS = ("Pin", "PWM", "Partition", "AES", "asyncio.Event")
MORE_CARDS = 8
# Words of the stand-in flash beside the number of bytes of each program.
READ, BEEP = "read", "beep"
_SECTORS = 4
# Few: without collection the heap only grows, and with it the search for room, as it would not on a board.
_RECOVER_SECTORS = (2, 6)


@dataclass
class Figure:
    """One row of the table: `value` in `unit`, met when it is at most `bar` (None: for information only)."""

    key: str
    title: str
    value: float
    unit: str
    bar: float | None = None
    note: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """True or False against the bar, None where there is none."""
        return None if self.bar is None else self.value <= self.bar


def model_ms(instructions: float, programmed_bytes: int = 0) -> float:
    """Milliseconds on the board: instructions by the model, and each started page at the data sheet's typical time."""
    pages = -(-programmed_bytes // 256)
    return instructions * INSTRUCTION_NS / 1e6 + pages * PAGE_PROGRAM_US["typical"] / 1e3


class Firmware:
    """A firmware tree compiled as its image has it: `mpy` is path -> bytes of what is loaded there."""

    def __init__(self, directory: Path = ROOT / "firmware") -> None:
        bundle = compile_bundle(directory, BOARD)
        self.mpy = {path: content for path, content in bundle.items() if path.endswith(".mpy")}
        self._sources = firmware_sources(directory)
        self._sources[BOARD_MODULE] = board_source(load_board(BOARD)).encode()
        self._names = shortened(self._sources, shorten(self._sources, ENTRY))

    def once(self) -> tuple[str, ...]:
        """Modules that the app imports at boot and lets go of."""
        return tuple(re.findall(r'_let_go\("(\w+)"', self._sources["app.py"].decode()))

    def modules(self, more: tuple[str, ...] = ()) -> list[str]:
        """The modules that a board with default settings loads, and `more`: import names, each after those that it imports."""
        paths = {_module(path): path for path in self._sources if path.removesuffix(".py") + ".mpy" in self.mpy}
        order: list[str] = []

        def visit(name: str, seen: tuple[str, ...]) -> None:
            if name in order or name in seen or name not in paths:
                return
            for other in _imports(self._sources[paths[name]]):
                visit(other, (*seen, name))
            order.append(name)

        for name in (*self.once(), "app", *_chosen(self._sources["config.py"]), *more):
            visit(name, ())
        return order

    def loaded(self, more: tuple[str, ...] = ()) -> dict[str, int]:
        """Sizes in bytes of the .mpy files of those modules, by path."""
        names = self.modules(more)
        return {path: len(content) for path, content in self.mpy.items() if _module(path[:-3] + "py") in names}

    def run(self, program: str, files: Mapping[str, bytes] | None = None, **values: Any) -> Recording:
        """Meter a program, given as text, on these files and `files`; `values` are its first variables."""
        stand_ins = rename(meter.guest("standins"), self._names).encode()
        text = rename(meter.program(program, values), self._names)
        return meter.run(text, {**self.mpy, "standins.py": stand_ins, **(files or {})})


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imports(source: bytes) -> list[str]:
    """Names that a module may import: modules, and members that may be modules of a package."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _chosen(config: bytes) -> list[str]:
    """The modules that the defaults of the firmware's settings name: the scan module's driver, the card schemes."""
    for node in ast.parse(config).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_SCHEMA":
            schema = ast.literal_eval(node.value)
            return [f"drivers.{schema['scanner'][0]}", *(f"scanner.cards.{name}" for name in schema["cards"][0])]
    raise MeterError("firmware/config.py has no _SCHEMA")


def sizes(firmware: Firmware) -> list[Figure]:
    """Size of the .mpy files that default settings load, and of those that any settings can load at once."""
    found = []
    for key, title, more, bar in (
        ("mpy_bytes", say(".mpy được nạp với cấu hình mặc định", ".mpy files that default settings load"), (), None),
        ("whole_mpy_bytes", say(".mpy được nạp khi bật mọi thứ", ".mpy files, everything asked for"), WHOLE, MPY_BYTES),
        ("parts_mpy_bytes", say("như trên, cửa có đủ bộ phận", "the same, and every part of a door"), WHOLE + PARTS, None),
    ):
        each = firmware.loaded(more)
        found.append(Figure(key, title, sum(each.values()), "bytes", bar, detail={"files": each}))
    return found


def heap(firmware: Firmware) -> list[Figure]:
    """Heap when everything is loaded, and of each module in the order of loading."""
    default = len(firmware.modules())
    names = firmware.modules(WHOLE + PARTS)
    lines = [meter.guest("heap")]
    for index, name in enumerate(names, 1):
        lines.append(f"level()\nmark('load')\n__import__({name!r})\nmark('loaded')\n")
        if name in firmware.once():
            lines.append(f"del sys.modules[{name!r}]\n")
        lines.append(f"gc.collect()\nheap[{index}] = gc.mem_alloc()\n")
    recording = firmware.run("".join(lines) + "report(heap)\n", COUNT=len(names))
    levels = recording.reports[0]
    each = {name: levels[index] - levels[index - 1] for index, name in enumerate(names, 1)}
    instructions = recording.between("load", "loaded")
    return [
        Figure(
            "heap_bytes",
            say("heap sau khi nạp mặc định (32 bit)", "heap when the defaults are loaded (32-bit)"),
            levels[default] - levels[0],
            "bytes",
        ),
        Figure(
            "whole_heap_bytes",
            say("heap sau khi nạp mọi thứ (32 bit)", "heap, everything and every part loaded (32-bit)"),
            levels[-1] - levels[0],
            "bytes",
            HEAP_BYTES,
            detail={"modules": each},
        ),
        Figure(
            "load_instructions",
            say("nạp mọi mô-đun", "loading every module"),
            sum(instructions),
            "instr",
            note=f"{model_ms(sum(instructions)):.0f} ms",
        ),
    ]


def x25519(firmware: Firmware) -> list[Figure]:
    """One X25519 with a result that is checked against another implementation."""
    scalar, point = bytes(range(32)), bytes(range(7, 39))
    recording = firmware.run(meter.guest("x25519"), SCALAR=scalar, POINT=point)
    wanted = X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))
    if recording.reports != [wanted.hex()]:
        raise MeterError(f"X25519 gave {recording.reports}, wanted {wanted.hex()}")
    slices = recording.between("slice", "end")
    total = sum(slices)
    note = say("lát dài nhất ", "longest slice ") + f"{model_ms(max(slices)):.1f} ms; {model_ms(total):.0f} ms"
    return [Figure("x25519_instructions", "X25519", total, "instr", X25519_INSTRUCTIONS, note, {"slices": len(slices)})]


def recovery(firmware: Firmware) -> list[Figure]:
    """Recovery of a blank journal of the 4 MiB map, carried on from two smaller ones (it is a loop over sectors)."""
    small, large = _RECOVER_SECTORS
    recording = firmware.run(meter.guest("recover"), SMALL=small, LARGE=large)
    read = recording.one("read", "read end")
    low = recording.one("small", "small end") - recording.reports[0] * read
    high = recording.one("large", "large end") - recording.reports[1] * read
    sectors = find(partition_map(FLASH_SIZE), "journal").size // SECTOR_BYTES
    total = low + (high - low) * (sectors - small) // (large - small)
    title = say(f"khôi phục nhật ký {sectors} cung trống", f"recovery of {sectors} blank sectors")
    return [Figure("recover_instructions", title, total, "instr", note=f"{model_ms(total):.0f} ms")]


def _sized(make: Callable[[people.Person], bytes], size: int) -> bytes:
    """Somebody's card whose payload has exactly that size."""
    for seed in range(2000):
        if len(payload := make(people.person(seed))) == size:
            return payload
    raise MeterError(f"nobody's card has {size} bytes")


def scan(firmware: Firmware) -> list[Figure]:
    """Flash of an 18-digit card just under a year of uptime, and the instructions from its first byte to the buzzer."""
    cccd = _sized(people.cccd, CCCD_CARD_BYTES)
    bhyt = _sized(lambda who: people.bhyt(who, trailing_nul=True), BHYT_CARD_BYTES)
    recording = firmware.run(
        meter.guest("scan"),
        SECTORS=_SECTORS,
        UPTIME_MS=YEAR_MS - 1,
        QRQG=SAMPLE_CARD,
        CCCD=cccd,
        BHYT=bhyt,
        CARD_BYTES=CARD_FLASH_BYTES,
        MORE=MORE_CARDS,
    )
    if True not in recording.reports:
        raise MeterError("the sector was not full where it was to be opened")
    scans = {report["label"]: report for report in recording.reports if isinstance(report, dict)}
    for label, report in scans.items():
        order = report["operations"]
        # The frame, read back, and only then the beep; a header before it when the card opens a sector.
        until = order[: order.index(BEEP)] if BEEP in order else []
        whole = len(until) % 2 == 0 and until and set(until[1::2]) == {READ} and all(type(n) is int for n in until[::2])
        if report["scans"] != 1 or not whole or order[-1] != BEEP:
            raise MeterError(f"no record read back before the beep of '{label}': {report}")
    number = int(SAMPLE_CARD.split(b"|")[4])
    record = bytes([18]) + number.to_bytes(8, "big")
    if record.hex() not in scans["qrqg"]["record"]:
        raise MeterError(f"the card's number is not in flash: {scans['qrqg']}")
    return _scan_rows(recording, scans)


def _scan_rows(recording: Recording, scans: dict[str, Any]) -> list[Figure]:
    calls = ("readblocks", "writeblocks", "encrypt", "freq", "event")
    own = {name: recording.one(name, f"end {name}") for name in calls}
    own["duty_u16"] = recording.one("duty_u16", "buzzer")

    def programmed(label: str) -> int:
        return sum(item for item in scans[label]["operations"] if type(item) is int)

    def path(label: str) -> int:
        writes = scans[label]["operations"].index(BEEP) // 2
        frames = 2 if label == "first" else 1  # sealed: the BOOT record and the card's
        share = writes * (own["readblocks"] + own["writeblocks"]) + frames * own["encrypt"]
        return recording.one(f"feed {label}", "buzzer") - share - own["freq"] - own["duty_u16"] - own["event"]

    def row(key: str, what: str, labels: list[str], bar: int | None = None) -> Figure:
        each = {label: path(label) for label in labels}
        worst = max(each, key=lambda label: each[label])
        time_ms = model_ms(each[worst], programmed(worst))
        title = say("byte đầu tới còi: ", "first byte to buzzer: ") + what
        detail = {"each": each, "flash_bytes": programmed(worst), "model_ms": time_ms}
        note = f"{time_ms:.2f} ms"
        if len(each) > 1:
            note += say(f", tệ nhất trong {len(each)} thẻ", f", worst of {len(each)} cards")
        return Figure(key, title, each[worst], "instr", bar, note, detail)

    cards = ["qrqg", *(f"more {number}" for number in range(MORE_CARDS))]
    erases = sum(report["operations"].count("erase") for report in scans.values())
    path_row = row("scan_instructions", f"QRQG, {len(SAMPLE_CARD)} bytes", cards, SCAN_INSTRUCTIONS)
    path_row.detail["stand_ins_taken_off"] = own
    return [
        Figure(
            "card_flash_bytes",
            say("flash cho thẻ 18 chữ số, máy bật gần một năm", "flash of an 18-digit card, uptime just under a year"),
            max(programmed(label) for label in cards),
            "bytes",
            CARD_FLASH_BYTES,
            say("đã đọc lại trước tiếng bíp", "read back before the beep"),
            {"operations": scans["qrqg"]["operations"]},
        ),
        Figure("erases_before_beep", say("lần xoá giữa thẻ và bíp", "erases between card and beep"), erases, "", 0),
        path_row,
        row("scan_pieces", say("như trên, từng 16 byte", "the same, 16 bytes at a time"), ["qrqg pieces"]),
        row("scan_cccd", f"CCCD, {CCCD_CARD_BYTES} bytes", ["cccd"]),
        row("scan_bhyt", f"BHYT, {BHYT_CARD_BYTES} bytes", ["bhyt"]),
        row("scan_first", say("thẻ đầu tiên sau khi bật", "first card after power on"), ["first"]),
        row("scan_opens", say("thẻ mở cung mới", "a card that opens a sector"), ["opens a sector"]),
    ]


def as_json(figures: list[Figure]) -> str:
    """What build/bench.json holds."""
    rows = [{**vars(figure), "met": figure.met} for figure in figures]
    report = {"stand_ins": STAND_INS, "instruction_ns": INSTRUCTION_NS, "figures": rows}
    return json.dumps(report, ensure_ascii=False, indent=1) + "\n"
