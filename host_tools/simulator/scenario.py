"""Scenario files: TOML into validated dataclasses; a mistake is one line that names the place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from host_tools.build.boards import load_board
from host_tools.build.cardlist import parse_card
from host_tools.cards.people import KINDS
from host_tools.cards.pictures import MEDIA
from host_tools.simulator.clock_chip import ClockChipOptions
from host_tools.simulator.far_end import CERTIFICATES, REPLIES
from host_tools.simulator.links import LinkOptions
from host_tools.simulator.modem import KINDS as MODEM_KINDS
from host_tools.simulator.modem import ModemOptions
from host_tools.simulator.runtime import BOARD_HEAP
from host_tools.simulator.scan_module import ModuleOptions
from host_tools.simulator.toml_tables import TABLES, make, wrong
from host_tools.simulator.wifi import AccessPoint
from host_tools.text import say

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Faults that last (`for_ms`, 0: to the end) and faults that happen once.
LASTING = (
    "wifi_down", "black_hole", "dns_down", "portal", "forged", "collector_down", "collector_restart", "module_cut_off",
    "wifi_dead", "mobile_dead", "mobile_denied", "ntp_down", "dns_poisoned", "first_collector_down",
    *(f"replies_{name}" for name in REPLIES), *(f"certificate_{name}" for name in CERTIFICATES),
)  # fmt: skip
MOMENTARY = (
    "power_cut", "power_cut_in_program", "kills", "module_reboot", "module_factory", "module_babble", "uart_bytes", "noise",
    "ctrl_c", "board_reset", "modem_brown_out",
)  # fmt: skip
# An address of the board itself, for which plain HTTP needs no word of config; the links lead it to the collector.
COLLECTOR_URL = "http://127.0.0.1:8080"
REGISTRATIONS = ("home", "roaming", "searching", "denied")
FLASH_MIB = (4, 16)
# Who goes through a doorway, what happens to it for a while (`for_ms`), and hands on its buttons.
BODY_KINDS = ("walk", "child", "wheelchair")
SPELL_KINDS = ("wedge", "block", "flicker", "tamper")
HAND_KINDS = ("help", "guard")
# The pin that tells a board of it; people are told by either of the two.
DOOR_PINS = {
    "wedge": "DOOR_CONTACT", "block": "DOOR_BEAM", "flicker": "DOOR_BEAM", "tamper": "TAMPER_PIN", "help": "BUTTON_HELP",
    "guard": "BUTTON_GUARD",
}  # fmt: skip
MODULE_KINDS = ("grow", "ssi", "newland", "line")

DEFAULT_CONFIG: dict[str, Any] = {
    "version": 1,
    "wifi": [{"ssid": "cho-dong-ba", "password": "gio-mua-dong-bac"}],
    "repeat_window_s": 60,
    "record_repeats": False,
    "journal_full": "refuse",
    "cards": ["qrqg", "cccd", "bhyt", "passes"],
    "heartbeat_s": 60,
    "health_s": 900,
}


@dataclass
class BoardPlan:
    """One virtual checkpoint; `config` is merged over the default config.json."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    module: ModuleOptions = field(default_factory=ModuleOptions)
    exit_module: ModuleOptions | None = None  # a second one, at the way out
    link: LinkOptions = field(default_factory=LinkOptions)
    collector_url: str = COLLECTOR_URL
    access_points: list[AccessPoint] = field(default_factory=list)  # none: the first network of config
    modem: ModemOptions | None = None
    mobile: LinkOptions = field(default_factory=lambda: LinkOptions(latency_ms=50, bandwidth_kbit_s=1000))
    clock_chip: ClockChipOptions | None = None
    hardware: str = "esp32-devkitc"
    power_on_ms: int = 0
    drift_ppm: int = 0
    flash_mib: int = 4
    journal_kib: int = 0  # 0: the journal that the partition map gives it
    # Cards on the lists in its flash, each as a line for `chot lists` ("cccd,046099012345"); none: no such list.
    deny: list[str] = field(default_factory=list)
    allow: list[str] = field(default_factory=list)


@dataclass
class Show:
    """A card before a board's module: somebody's card of a kind, or any payload (`text`, `hex`, or `fill` bytes)."""

    board: str
    at_ms: int
    reader: int = 0  # 1: at the way out
    hold_ms: int = 900
    person: int = 0
    kind: str = ""
    text: str | None = None
    hex: str | None = None
    fill: int = 0
    medium: str = "paper"
    rotate_deg: float = 0.0
    dim: float = 1.0
    blur_px: float = 0.0
    perspective: float = 0.0
    torn: bool = False


@dataclass
class Crowd:
    """Many people, one after the other: `count` showings by `people` different persons from number `first` on."""

    board: str
    from_ms: int
    count: int
    reader: int = 0  # 1: at the way out
    every_ms: int = 1500
    hold_ms: int = 900
    people: int = 20
    first: int = 0
    kinds: list[str] = field(default_factory=lambda: ["qrqg", "cccd", "bhyt"])
    media: list[str] = field(default_factory=lambda: list(MEDIA))
    worn: bool = False  # some rotated, dim or blurred
    days: int = 1  # again every day, so many days


@dataclass
class Passage:
    """What happens in a board's doorway: people, the first of whom is in the beam at `at_ms`, or something else."""

    board: str
    at_ms: int
    kind: str = "walk"
    count: int = 1
    every_ms: int = 1500
    scanned: bool = False  # whether they had shown a card (a show or a crowd says so), or a guard has pressed his button
    for_ms: int = 0
    reader: int = 0  # the door is one, whichever way it is scanned from


@dataclass
class Fault:
    """Something that goes wrong, for one board or (no name) for all of them."""

    kind: str
    at_ms: int
    board: str = ""
    reader: int = 0  # whose module or line: 1 is the way out's
    for_ms: int = 0
    off_ms: int = 1500  # power cuts: how long the supply stays away
    program: int = 0  # power_cut_in_program: so many whole programs after at_ms come first
    share: float = 0.5  # how much of the operation has been done when the power goes
    count: int = 1  # kills: so many, at seeded moments up to `to_ms`
    to_ms: int = 0
    aimed: bool = False  # kills: every other one waits for the next flash operation and lands inside it
    inside: str = ""  # kills: each of them waits for the next "program" or "erase"
    ssid: str = ""  # wifi_down, wifi_dead: which access point; none: all
    hex: str = ""
    size: int = 0  # noise: so many random bytes
    days: int = 1  # again every day, so many days


@dataclass
class Expect:
    """What must hold at the end; a count that is None is not judged. Counts are sums over all boards."""

    shown: int | None = None
    read: int | None = None
    recorded: int | None = None
    not_card: int | None = None
    repeat: int | None = None
    refused: int | None = None  # the signal "please see staff"
    place_full: int | None = None
    fault: int | None = None
    full: int | None = None
    collected: int | None = None
    lost: int = 0
    power_cuts: int | None = None
    torn_programs: int | None = None
    min_recorded: int = 0
    min_forged: int = 0
    min_dropped: int = 0  # reads that the board says, in HEALTH at the collector, it dropped
    watchdog_resets: int = 0
    unanswered: int | None = 0  # codes that a ready board neither beeped for nor refused
    door_within: float | None = None  # passages, and those without a scan, at the collector: off by that share at most
    incidents: int | None = None
    verdict_latency_ms: int = 150
    ready_ms: int = 5000


@dataclass
class Soak:
    """A long run, judged by its ledger as it goes (ledger.py), and what must hold of it beyond any other run."""

    heap_drift: float = 0.01  # between the least live heap of the first day and that of the last
    boot_days: int = 7  # one boot at least lives through so many days, and its heap drifts as little
    wear: float = 1.1  # erases of the most erased sector of the journal, over their mean
    rounds: int = 10  # the wear is judged once the mean is so much
    warm_scans: int = 200  # the heap of a boot counts once it has recorded so many, and the centre has answered it


@dataclass
class Scenario:
    """One run of the world."""

    name: str
    boards: list[BoardPlan]
    duration_s: int
    seed: int = 1
    start: str = "2026-03-02T00:00:00Z"
    settle_s: int = 120
    flash_timing: str = "typical"
    heap: str = BOARD_HEAP
    second_collector: bool = False  # another one behind the same name, on the same data
    day_s: int = 86_400  # what `days` of crowds and faults counts in
    shows: list[Show] = field(default_factory=list)
    crowds: list[Crowd] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    expect: Expect = field(default_factory=Expect)
    soak: Soak | None = None

    def shorten(self, days: int) -> None:
        """Let the run be only its first `days` days; of scans it is then to record the share of these days."""
        expect, whole_s = self.expect, self.duration_s
        self.duration_s = min(whole_s, days * self.day_s)
        expect.min_recorded = expect.min_recorded * self.duration_s // whole_s
        if self.soak is not None and self.duration_s < whole_s:
            self.soak.boot_days = 0
        for crowd in self.crowds:
            crowd.days = max(0, min(crowd.days, days - crowd.from_ms // (self.day_s * 1000)))
        for fault in self.faults:
            fault.days = max(0, min(fault.days, days - fault.at_ms // (self.day_s * 1000)))

    @property
    def start_ms(self) -> int:
        """UTC of the beginning, ms since 1970."""
        moment = datetime.fromisoformat(self.start.replace("Z", "+00:00"))
        return int(moment.astimezone(timezone.utc).timestamp() * 1000)




def load(path: Path) -> Scenario:
    """The scenario in a file; UserError says what is wrong and where."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or say("không phải văn bản UTF-8", "not UTF-8 text")
        raise wrong(str(path), reason) from None
    return parse(text, str(path))


def parse(text: str, where: str = "scenario") -> Scenario:
    """The scenario in a TOML text."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise wrong(where, str(error)) from None
    except RecursionError:
        raise wrong(where, say("lồng quá sâu", "nested too deep")) from None
    raw = {TABLES.get(key, key): value for key, value in raw.items()}
    scenario: Scenario = make(Scenario, raw, where)
    _check(scenario, where)
    return scenario


def _check(scenario: Scenario, where: str) -> None:
    """What types cannot say."""
    names = [plan.name for plan in scenario.boards]
    if not names or len(set(names)) != len(names):
        said = say("cần ít nhất một board, tên khác nhau", "it takes at least one board, each of its own name")
        raise wrong(where, said)
    for plan in scenario.boards:
        _check_board(plan, f"{where}: board {plan.name}")
    if scenario.flash_timing not in ("typical", "worst"):
        raise wrong(where, say("flash_timing là typical hoặc worst", "flash_timing is typical or worst"))
    try:
        scenario.start_ms  # noqa: B018 - evaluated for its error
    except ValueError:
        said = say(f"start không phải thời điểm: {scenario.start}", f"start is no moment: {scenario.start}")
        raise wrong(where, said) from None
    parts: dict[str, Sequence[Show | Crowd | Passage | Fault]] = {
        "show": scenario.shows,
        "crowd": scenario.crowds,
        "passage": scenario.passages,
        "fault": scenario.faults,
    }
    for label, items in parts.items():
        for index, item in enumerate(items, 1):
            if item.board not in names and not (label == "fault" and item.board == ""):
                said = say(f"không có board '{item.board}'", f"no board '{item.board}'")
                raise wrong(f"{where}: {label} {index}", said)
            if item.reader and not all(plan.exit_module for plan in scenario.boards if item.board in ("", plan.name)):
                said = say("board không có exit_module", "the board has no exit_module")
                raise wrong(f"{where}: {label} {index}", said)
    for index, show in enumerate(scenario.shows, 1):
        ways = [bool(show.kind), show.text is not None, show.hex is not None, show.fill > 0]
        if sum(ways) != 1:
            said = say("cần đúng một trong kind, text, hex, fill", "it takes exactly one of kind, text, hex, fill")
            raise wrong(f"{where}: show {index}", said)
        _check_names(f"{where}: show {index}", [show.kind] if show.kind else [], [show.medium])
        _check_hex(f"{where}: show {index}", show.hex or "")
    for index, crowd in enumerate(scenario.crowds, 1):
        _check_names(f"{where}: crowd {index}", crowd.kinds, crowd.media)
        if not (crowd.people and crowd.kinds and crowd.media):
            said = say("people, kinds hoặc media trống", "people, kinds or media is empty")
            raise wrong(f"{where}: crowd {index}", said)
    for index, passage in enumerate(scenario.passages, 1):
        here = f"{where}: passage {index}"
        _check_names(here, [passage.kind], [], kinds=BODY_KINDS + SPELL_KINDS + HAND_KINDS)
        if passage.kind in SPELL_KINDS and not passage.for_ms:
            raise wrong(here, say("thiếu for_ms", "for_ms is missing"))
        hardware = next(plan.hardware for plan in scenario.boards if plan.name == passage.board)
        pins = (DOOR_PINS[passage.kind],) if passage.kind in DOOR_PINS else ("DOOR_CONTACT", "DOOR_BEAM")
        if not set(pins) & set(load_board(hardware).constants):
            what = " / ".join(pins)
            raise wrong(here, say(f"{hardware} không có {what}", f"{hardware} has no {what}"))
    for index, fault in enumerate(scenario.faults, 1):
        if fault.kind not in LASTING + MOMENTARY:
            raise wrong(f"{where}: fault {index}", say(f"không có kind '{fault.kind}'", f"no kind '{fault.kind}'"))
        _check_hex(f"{where}: fault {index}", fault.hex)
        if fault.inside not in ("", "program", "erase"):
            said = say("inside là program hoặc erase", "inside is program or erase")
            raise wrong(f"{where}: fault {index}", said)


def _check_board(plan: BoardPlan, where: str) -> None:
    constants = load_board(plan.hardware).constants
    for module, options in (("module", plan.module), ("exit_module", plan.exit_module)):
        if options is not None:
            _check_names(f"{where}: {module}", [options.kind], [], kinds=MODULE_KINDS)
    if plan.exit_module is not None and "SCANNER2_UART" not in constants:
        raise wrong(where, say(f"{plan.hardware} không có [scanner2]", f"{plan.hardware} has no [scanner2]"))
    if plan.modem is not None:
        _check_names(f"{where}: modem", [plan.modem.kind], [], kinds=tuple(MODEM_KINDS))
        _check_names(f"{where}: modem", [plan.modem.registration], [], kinds=REGISTRATIONS)
        if "MODEM_UART" not in constants:
            raise wrong(where, say(f"{plan.hardware} không có [modem]", f"{plan.hardware} has no [modem]"))
    if plan.clock_chip is not None and "I2C_SCL" not in constants:
        raise wrong(where, say(f"{plan.hardware} không có [i2c]", f"{plan.hardware} has no [i2c]"))
    if plan.flash_mib not in FLASH_MIB:
        said = " / ".join(map(str, FLASH_MIB))
        raise wrong(where, say(f"flash_mib là {said}", f"flash_mib is {said}"))
    for name, lines in (("deny", plan.deny), ("allow", plan.allow)):
        for number, line in enumerate(lines, 1):
            try:
                parse_card(line)
            except ValueError as error:
                raise wrong(f"{where}: {name} {number}", str(error)) from None


def _check_names(where: str, names: list[str], media: list[str], *, kinds: Sequence[str] = KINDS) -> None:
    for name, known in [(name, tuple(kinds)) for name in names] + [(medium, tuple(MEDIA)) for medium in media]:
        if name not in known:
            raise wrong(where, say(f"không có '{name}': {', '.join(known)}", f"no '{name}': {', '.join(known)}"))


def _check_hex(where: str, text: str) -> None:
    try:
        bytes.fromhex(text)
    except ValueError:
        raise wrong(where, say("hex sai", "hex is not hex")) from None
