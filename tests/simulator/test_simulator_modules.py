"""The firmware's drivers against the simulated modules, with real pictures before them: read, disturbed, lost, found again."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from host_tools.cards.people import payload, person
from host_tools.cards.pictures import draw
from host_tools.cards.reading import read
from host_tools.simulator import scenario
from host_tools.simulator.checkpoint import MODULES
from host_tools.simulator.line_module import LineModule
from host_tools.simulator.run import Run, run_scenario
from host_tools.simulator.scan_module import ModuleOptions, ScanModule
from host_tools.simulator.ssi_module import SsiModule
from tests.simulator.tiny import Rig

DRIVERS = Path(__file__).parents[2] / "firmware" / "drivers"
FILES = {f"drivers/{file.stem}": file.read_text(encoding="utf-8") for file in DRIVERS.glob("*.py")}
STARTING, FRAMED, LINES, SILENT, CHATTERING, PACKETS = range(6)
KIND_OF = {"gm65": "grow", "ssi": "ssi", "newland": "newland", "line": "line"}
MAIN = """
import asyncio, machine, time
from drivers.{driver} import make

class Settings:
    line_baud = 9600
    line_gap_ms = 60
    line_suffix = b"\\r"
    line_start = line_stop = b""

def on_payload(payload):
    print("code", bytes(payload))

def on_fail():
    print("fail", time.ticks_ms())

uart = machine.UART(1, baudrate=9600, tx=17, rx=16, rxbuf=4096)
reader = make(uart, on_payload, {on_fail}, Settings, {trigger}, 0)

async def watch():
    before = None
    while True:
        now = (reader.state, reader.restarts, reader.failed, reader.dropped)
        if now != before:
            print("state", time.ticks_ms(), *now)
            before = now
        await asyncio.sleep_ms(50)

async def hold():
    {work}

async def main():
    asyncio.create_task(watch())
    asyncio.create_task(hold())
    await reader.run(lambda: None)

asyncio.run(main())
"""
WAIT = "pass"
HOLD = """await asyncio.sleep_ms(8000)
    if await reader.stop():
        time.sleep_ms(400)
    await reader.go()
    print('held')"""
SAVE = """while not reader.unsaved():
        await asyncio.sleep_ms(100)
    reader.save()"""


class Stage:
    """A board with one driver, and a module of a kind before it."""

    def __init__(
        self, directory: Path, driver: str, *, on_fail: bool = False, work: str = WAIT, **options: Any
    ) -> None:
        trigger = "machine.Pin(23, machine.Pin.OUT, value=1)" if options.get("trigger") else "None"
        main = MAIN.format(driver=driver, on_fail="on_fail" if on_fail else "None", work=work, trigger=trigger)
        self.rig = Rig(directory, main, **FILES)  # type: ignore[arg-type]
        self.reads: list[bytes] = []
        options.setdefault("kind", KIND_OF.get(driver, "grow"))
        self.module: Any = MODULES[options["kind"]](
            self.rig.kernel,
            random.Random(5),
            ModuleOptions(**options),
            send=self.rig.line.device_sends,
            decode=lambda picture: read(Image.open(io.BytesIO(picture))),
            on_read=lambda code, at_us: self.reads.append(code),
        )
        self.rig.line.device = self.module
        if options.get("trigger"):
            self.rig.board.on_pin = lambda pin, *change: self.module.trigger_line(*change) if pin == 23 else None
        self.module.power_on()

    def run(self, ms: int) -> None:
        self.rig.run(ms)

    def show(self, number: int, ms: int = 1500, **how: Any) -> bytes:
        """Hold somebody's card before the module for a while; its payload."""
        text = payload("qrqg", person(number))
        encoded = io.BytesIO()
        draw(text, "paper", seed=number, **how).save(encoded, "PNG", compress_level=1)
        self.module.show(encoded.getvalue())
        self.run(ms)
        self.module.show(None)
        self.run(500)
        return text

    @property
    def codes(self) -> list[bytes]:
        return [eval(text) for text in re.findall(r"^code (b.*)$", self.rig.output, re.M)]  # noqa: S307 - of our own board

    @property
    def fails_ms(self) -> list[int]:
        return [int(at) for at in re.findall(r"^fail (\d+)", self.rig.output, re.M)]

    @property
    def states(self) -> list[tuple[int, ...]]:
        """(board ms, state, restarts, failed, dropped) whenever one of the last four changed."""
        return [tuple(map(int, line.split())) for line in re.findall(r"^state (.*)$", self.rig.output, re.M)]

    @property
    def state(self) -> int:
        return self.states[-1][1]

    @property
    def restarts(self) -> int:
        return self.states[-1][2]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """stage(driver, ...) -> Stage, ended with the test."""
    made: list[Stage] = []

    def make(driver: str, **options: Any) -> Stage:
        made.append(Stage(tmp_path / str(len(made)), driver, **options))
        return made[-1]

    yield make
    for each in made:
        each.rig.close()


@pytest.mark.parametrize(
    ("driver", "options", "state"),
    [
        ("gm65", {}, FRAMED),
        ("gm65", {"on_fail": True}, FRAMED),
        ("gm65", {"on_fail": True, "framed_output": False}, LINES),
        ("ssi", {}, PACKETS),
        ("ssi", {"baud": 115200}, PACKETS),
        ("newland", {}, LINES),
        ("newland", {"baud": 115200, "tail": False}, LINES),
        ("line", {}, LINES),
        ("auto", {"kind": "grow"}, FRAMED),
        ("auto", {"kind": "ssi"}, PACKETS),
        ("auto", {"kind": "newland"}, LINES),
    ],
)
def test_cards_are_read(stage: Callable[..., Stage], driver: str, options: dict[str, Any], state: int) -> None:
    board = stage(driver, **options)
    board.run(5000)
    assert board.state == state, board.rig.output
    shown = [board.show(number) for number in range(3)]
    assert board.codes == shown == board.reads
    assert board.states[-1][2:] == (0, 0, 0), board.rig.output
    again = board.show(2, 1500)
    assert board.codes in ([*shown, again], shown)


@pytest.mark.parametrize("driver", ["gm65", "ssi", "newland"])
def test_a_card_shown_while_the_module_is_held_is_read_afterwards(stage: Callable[..., Stage], driver: str) -> None:
    board = stage(driver, work=HOLD, on_fail=True)
    board.run(7950)
    shown = board.show(1, 3000)
    assert "held" in board.rig.output
    assert board.codes == [shown]
    assert board.show(2) == board.codes[-1]


# A card that cannot be read.


def test_a_card_that_cannot_be_read_is_told_within_3_s(stage: Callable[..., Stage]) -> None:
    board = stage("gm65", on_fail=True)
    board.run(5000)
    assert board.fails_ms == []
    before_ms = board.states[0][0]
    for number in range(3):
        board.show(number, 4000, torn=True)
    board.run(20000)
    assert len(board.fails_ms) == board.states[-1][3] == 3, "once for each card, and never without one"
    held_ms = [5000, 9500, 14000]
    delays = [at - before_ms - held for at, held in zip(board.fails_ms, held_ms, strict=True)]
    assert all(1500 < delay < 3000 for delay in delays), delays
    assert board.codes == [] and board.show(3) == board.codes[0]


def test_without_anybody_to_tell_the_module_reads_continuously(stage: Callable[..., Stage]) -> None:
    board = stage("gm65")
    board.run(5000)
    board.show(1, 4000, torn=True)
    assert board.states[-1][3] == 0 and board.module.registers[0] & 3 == 2


# A module that is lost, and found again.


def grow_settings(board: Stage) -> dict[int, int]:
    return {at: board.module.registers[at] for at in (0x00, 0x03, 0x05, 0x06, 0x0D, 0x13, 0x1A, 0x60)}


WANTED = {0x00: 0x17, 0x03: 0x02, 0x05: 10, 0x06: 20, 0x0D: 0x0C, 0x13: 0x9E, 0x1A: 0x40, 0x60: 0x90}


def test_a_module_keeps_its_settings_and_is_saved_once(stage: Callable[..., Stage]) -> None:
    board = stage("gm65", on_fail=True)
    board.run(5000)
    assert grow_settings(board) == WANTED
    assert board.module.saves == 1 and board.module.baud == 115200
    board.module.power_off()
    board.module.power_on()
    board.run(15000)
    assert grow_settings(board) == WANTED
    assert board.module.saves == 1, "what it has kept is not saved again"
    assert (board.state, board.restarts, board.module.baud) == (FRAMED, 1, 115200)


@pytest.mark.parametrize("options", [{"same_code_register": False}, {"save_works": False}, {"code_string": True}])
def test_what_a_module_does_not_take_is_not_saved_at_every_start(
    stage: Callable[..., Stage], options: dict[str, Any]
) -> None:
    board = stage("gm65", on_fail=True, **options)
    board.run(5000)
    for _ in range(2):
        board.module.reboot()
        board.run(15000)
    assert board.state == FRAMED
    assert board.module.saves == (3 if "save_works" in options else 1)
    assert board.module.codes_off == ("code_string" in options)


def test_a_factory_reset_in_service(stage: Callable[..., Stage]) -> None:
    board = stage("gm65", on_fail=True)
    board.run(5000)
    assert board.module.baud == 115200
    board.module.factory_reset()
    board.run(12000)
    assert grow_settings(board) == WANTED
    assert (board.state, board.restarts, board.module.baud, board.module.saves) == (FRAMED, 1, 115200, 2)
    shown = board.show(1)
    assert board.codes == [shown]


@pytest.mark.parametrize("register", [0x00, 0x03, 0x05, 0x60])
def test_a_setting_that_is_lost_in_service_is_set_again(stage: Callable[..., Stage], register: int) -> None:
    """Somebody shows a configuration code that slipped through."""
    board = stage("gm65", on_fail=True)
    board.run(5000)
    board.module.registers[register] = 0x01
    board.run(12000)
    assert grow_settings(board) == WANTED and board.restarts == 1


@pytest.mark.parametrize("driver", ["gm65", "ssi", "newland"])
def test_a_module_that_is_cut_off_is_noticed_and_found_again(stage: Callable[..., Stage], driver: str) -> None:
    board = stage(driver)
    board.run(5000)
    board.module.cut_off = True
    board.run(30000)
    assert board.state == SILENT and board.restarts == 1
    board.module.cut_off = False
    board.run(4000)
    shown = board.show(1)
    assert board.codes == [shown]


@pytest.mark.parametrize("driver", ["gm65", "ssi", "newland"])
def test_a_module_that_restarts_reads_again(stage: Callable[..., Stage], driver: str) -> None:
    board = stage(driver)
    board.run(5000)
    board.module.factory_reset()
    board.run(14000)
    shown = board.show(1)
    # A Newland module cannot be asked for its settings: until the next start it has no delay for the same code.
    assert set(board.codes) == {shown} and (driver == "newland" or len(board.codes) == 1)


@pytest.mark.parametrize(
    ("driver", "pattern"),
    [
        ("gm65", b"\x55"),
        ("gm65", b"\x04\x00\x02no"),
        ("ssi", b"\x04"),
        ("newland", b"\x00"),
        ("line", b"001093029317\r"),
    ],
)
def test_a_module_that_babbles_is_noticed(stage: Callable[..., Stage], driver: str, pattern: bytes) -> None:
    board = stage(driver)
    board.run(5000)
    board.module.babble(pattern)
    board.run(20000)
    states = [row[1] for row in board.states]
    assert CHATTERING in states, board.rig.output[-2000:]
    at_ms = next(row[0] for row in board.states if row[1] == CHATTERING) - board.states[0][0]
    assert at_ms < 5000 + 15000
    assert board.restarts >= 1 and board.states[-1][4] > 0
    before = len(board.codes)
    board.run(3000)
    if driver == "gm65":
        assert board.state == FRAMED, "deep sleep and awake again is a restart"
    else:
        assert len(board.codes) == before, "what it says is no code any more"
        board.module.reboot()
    board.run(12000)
    shown = board.show(1)
    assert board.codes[-1] == shown and board.state in (FRAMED, LINES, PACKETS)


# Packets that are spoilt, or whose acknowledgement is.


@pytest.mark.parametrize("spoil", [1, 2])
def test_a_packet_that_is_spoilt_is_sent_again(stage: Callable[..., Stage], spoil: int) -> None:
    board = stage("ssi")
    board.run(5000)
    board.module.spoil = spoil
    shown = board.show(1, 2000)
    assert board.codes == [shown]
    assert (board.module.acknowledged, board.module.given_up) == (1, 0)


def test_an_acknowledgement_that_is_lost_makes_no_second_code(stage: Callable[..., Stage]) -> None:
    board = stage("ssi")
    board.run(5000)
    board.module.deaf_to = 2
    shown = board.show(1, 2500)
    assert board.codes == [shown]
    assert board.module.acknowledged == 1
    second = board.show(2)
    assert board.codes == [shown, second]


def test_long_codes_and_short_ones(stage: Callable[..., Stage]) -> None:
    """Of every length round the change from the short to the long packet."""
    board = stage("ssi")
    board.run(5000)
    codes = [bytes(65 + (i * 7 + size) % 26 for i in range(size)) for size in (1, 2, 249, 250, 251, 1000, 2953)]
    for code in codes:
        board.module._output(code)
        board.run(4500)
    assert board.codes == codes


def test_a_code_that_comes_in_the_moment_of_asking_is_not_lost(stage: Callable[..., Stage]) -> None:
    """After ten seconds of silence the driver asks: a code whose bytes come in just that moment counts all the same."""
    board = stage("gm65")
    board.run(6000)
    sent = []
    for step in range(160):
        sent.append(b"code %04d" % step)
        board.module._output(sent[-1])
        # The driver asks 10.003 s after the last byte.
        board.rig.kernel.run(board.module._last_output_us + 9_999_000 + 25 * step)
    board.run(1000)
    assert board.codes == sent


def test_a_module_on_a_trigger_line_reads_again_after_each_code(stage: Callable[..., Stage]) -> None:
    board = stage("line", kind="line", trigger=True)
    board.run(4000)
    shown = [board.show(number, 2500) for number in (1, 2, 3)]
    board.run(40_000)  # nobody comes: it is triggered all the same, before its time is over
    shown.append(board.show(4, 2500))
    assert board.codes == shown
    assert board.module.starts >= 10


# Finding out what is connected.


def test_another_module_is_found_and_remembered(stage: Callable[..., Stage]) -> None:
    board = stage("auto", kind="ssi", work=SAVE + "\n    await asyncio.sleep_ms(10000)\n    " + SAVE)
    board.run(5000)
    first = board.show(1)
    new = LineModule(
        board.rig.kernel,
        random.Random(6),
        ModuleOptions(kind="newland"),
        send=board.rig.line.device_sends,
        decode=board.module._decode,
        on_read=lambda code, at_us: None,
    )
    board.module.power_off()
    board.rig.line.device = board.module = new
    new.power_on()
    board.run(40000)
    second = board.show(2)
    assert board.codes == [first, second]
    assert board.state == LINES and board.restarts == 1
    writes = board.rig.flash.counts.programs
    board.rig.board.power_cut()
    board.rig.kernel.run(board.rig.kernel.now_us + 1_000_000)
    board.rig.board.power_on()
    board.run(1500)
    assert board.state == LINES, "found at once, where it was last time"
    assert board.rig.flash.counts.programs == writes, "and not written down again"


def test_the_simulated_modules_are_of_three_kinds() -> None:
    assert {type_.__name__ for type_ in MODULES.values()} == {
        ScanModule.__name__,
        SsiModule.__name__,
        LineModule.__name__,
    }


# Whole runs: from the picture to the record at the collector.

DOOR = """
name = "modules"
duration_s = {seconds}
[[board]]
name = "gate"
config = {{ scanner = "{driver}", repeat_window_s = 30, health_s = 10 }}
module = {{ kind = "{kind}" }}
[[crowd]]
board = "gate"
from_ms = 6000
count = 6
every_ms = 3500
hold_ms = 2500
people = 6
media = ["paper"]
"""


@pytest.mark.parametrize(("driver", "kind"), [("ssi", "ssi"), ("line", "line"), ("auto", "ssi"), ("auto", "newland")])
def test_every_module_serves_a_door(driver: str, kind: str) -> None:
    outcome = run_scenario(scenario.parse(DOOR.format(driver=driver, kind=kind, seconds=30)))
    assert outcome.broken == []
    assert outcome.doors[0].signals == {"recorded": 6} and outcome.doors[0].collected == 6


def test_a_torn_card_is_turned_and_a_lost_module_is_reported() -> None:
    more = """
[[show]]
board = "gate"
at_ms = 28000
hold_ms = 4000
person = 9
kind = "qrqg"
torn = true
[[fault]]
kind = "module_factory"
at_ms = 36000
[[show]]
board = "gate"
at_ms = 50000
person = 10
kind = "qrqg"
"""
    plan = scenario.parse(DOOR.format(driver="gm65", kind="grow", seconds=65) + more)
    with Run(plan) as run:
        outcome = run.play()
        beeps = run.world.checkpoints["gate"].log.beeps
    assert outcome.broken == []
    assert outcome.doors[0].signals == {"recorded": 7, "try_again": 1}
    at_ms = next(beep.signal.at_us for beep in beeps if beep.signal.name == "try_again") // 1000
    assert 28000 < at_ms < 31000
    health = outcome.doors[0].figures["health"]
    assert (health[14], health[17], health[18]) == (FRAMED, 1, 1)
