"""One door of the world: board, scan module, link, the people before it, and the world's own log of it all."""

from __future__ import annotations

import functools
import random
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from host_tools.build.boards import load_board
from host_tools.build.partitions import TABLE_BYTES, TABLE_OFFSET, decode_table, find
from host_tools.simulator.board import _ops
from host_tools.simulator.board_process import OFF, VirtualBoard
from host_tools.simulator.crowd import Album, Showing
from host_tools.simulator.doorway import Doorway
from host_tools.simulator.flash import Flash
from host_tools.simulator.kernel import FOREVER_US, Event, Kernel
from host_tools.simulator.line_module import LineModule
from host_tools.simulator.links import Link
from host_tools.simulator.runtime import Runtime
from host_tools.simulator.scan_module import ModuleOptions, ScanModule
from host_tools.simulator.scenario import BoardPlan
from host_tools.simulator.signals import DOOR_SIGNALS, Signal, SignalDecoder
from host_tools.simulator.ssi_module import SsiModule
from host_tools.simulator.uart import UartLine
from host_tools.simulator.voice_module import VoiceModule
from host_tools.simulator.ways import Ways
from host_tools.simulator.wifi import AccessPoint

MODULES: dict[str, type[ScanModule] | type[SsiModule] | type[LineModule]] = {
    "grow": ScanModule,
    "ssi": SsiModule,
    "newland": LineModule,
    "line": LineModule,
}
# The ports of the scan modules in a board's description: the way in, the way out.
PORTS = ("SCANNER", "SCANNER2")
# The pins as which the virtual board tells the first pixel of a strip.
STRIP = (64, 65, 66)
# A signal later than this after a code's last byte is about something else (modules pause a second between codes).
ANSWER_US = 900_000


@dataclass
class Read:
    """A code that the module has sent. `showing` is what was before it; `signal` what the board answered."""

    at_us: int
    boot: int
    payload: bytes
    showing: Showing | None
    ready: bool  # the board's lamp had said that it takes cards
    reader: int = 0
    signal: Signal | None = None


@dataclass
class Beep:
    """A signal with what was before the module then, as the script knows it."""

    signal: Signal
    read: Read | None


@dataclass
class Down:
    """The end of a boot."""

    at_us: int
    boot: int
    reason: str
    torn: bool = False


@dataclass
class Keys:
    """A board's secrets, as `--keep` leaves them."""

    device_id: bytes
    device_key: bytes
    collector_private: bytes
    list_key: bytes


@dataclass
class Log:
    """What the world has seen at one door, in order."""

    shown: list[Showing] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    beeps: list[Beep] = field(default_factory=list)
    downs: list[Down] = field(default_factory=list)
    ready_us: list[int] = field(default_factory=list)


class Reader:
    """One scan module on its line, and what is before it."""

    def __init__(self, line: UartLine, module: ScanModule | SsiModule | LineModule) -> None:
        self.line = line
        self.module = module
        line.device = module
        self.showing: Showing | None = None
        self.hiding: Event | None = None


class Checkpoint:
    """A door. `make_link` is the world's: it makes links to the collector (ways.py); `clock_ms` is UTC."""

    def __init__(
        self,
        plan: BoardPlan,
        kernel: Kernel,
        runtime: Runtime,
        directory: Path,
        image: bytes,
        keys: Keys,
        album: Album,
        make_link: Callable[..., Link],
        *,
        clock_ms: Callable[[], int],
        access_points: list[AccessPoint],
        seed: str,
        timing: str,
    ) -> None:
        self.plan = plan
        self.keys = keys
        self._kernel = kernel
        self._album = album
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        path = directory / "flash.bin"
        path.write_bytes(image)
        path.chmod(0o600)
        self.partitions = decode_table(image[TABLE_OFFSET : TABLE_OFFSET + TABLE_BYTES])
        journal = find(self.partitions, "journal")
        self.journal = (journal.offset, journal.size)
        self.flash = Flash(path, random.Random(f"{seed} flash"), timing=timing, journal=self.journal)
        self.board = VirtualBoard(
            plan.name,
            kernel,
            runtime,
            self.flash,
            random.Random(f"{seed} board"),
            directory / "console.log",
            mac=keys.device_id[2:],
            drift_ppm=plan.drift_ppm,
        )
        board = self.board
        pins = load_board(plan.hardware).constants
        make = functools.partial(make_link, board.notify)
        self.ways = Ways(board, kernel, plan, pins, access_points, make, clock_ms, seed)
        self.link = self.ways.wifi
        self.readers: list[Reader] = []
        for number, options in enumerate((plan.module, plan.exit_module)):
            if options is not None:
                self.readers.append(self._reader(number, options, pins, seed))
        self.log = Log()
        self.voice = self._voice(pins, seed) if "VOICE_UART" in pins else None
        quiet = functools.partial(board.set_input, wake=False)  # the firmware looks, nothing wakes it
        self.doorway = Doorway(kernel, random.Random(f"{seed} doorway"), pins, quiet)
        lamp = STRIP if "LAMP_WS2812" in pins else (pins["LAMP_RED"], pins["LAMP_GREEN"], pins["LAMP_BLUE"])
        self.signals = SignalDecoder(self._signalled, lamp, pins["BUZZER_PIN"])
        board.on_pin = self._pin
        board.on_pwm = self.signals.pwm
        board.on_boot = self._booted
        board.on_down = self._down
        self.on_since_us = 0
        self._cuts = 0

    def _reader(self, number: int, options: ModuleOptions, pins: dict[str, int], seed: str) -> Reader:
        """The scan module of a port that the board's description has."""
        port = PORTS[number]
        uart = pins[f"{port}_UART"]
        suffix = str(number + 1) if number else ""
        line = UartLine(
            self._kernel,
            random.Random(f"{seed} line{suffix}"),
            tx_pin=pins[f"{port}_TX"],
            rx_pin=pins[f"{port}_RX"],
            on_bytes=lambda count: self.board.notify(_ops.EVENT_UART, uart, count),
        )
        self.board.uarts[uart] = line
        module = MODULES[options.kind](
            self._kernel,
            random.Random(f"{seed} module{suffix}"),
            options,
            send=line.device_sends,
            decode=self._album.decode,
            on_read=functools.partial(self._read, number),
        )
        return Reader(line, module)

    def _voice(self, pins: dict[str, int], seed: str) -> VoiceModule:
        """The voice on the port that the board's description has."""
        uart = pins["VOICE_UART"]
        line = UartLine(
            self._kernel,
            random.Random(f"{seed} voice"),
            tx_pin=pins["VOICE_TX"],
            rx_pin=pins["VOICE_RX"],
            on_bytes=lambda count: self.board.notify(_ops.EVENT_UART, uart, count),
        )
        self.board.uarts[uart] = line
        line.device = voice = VoiceModule(self._kernel)
        return voice

    @property
    def module(self) -> ScanModule | SsiModule | LineModule:
        """The scan module of the way in."""
        return self.readers[0].module

    @property
    def line(self) -> UartLine:
        """Its line."""
        return self.readers[0].line

    @property
    def now_us(self) -> int:
        """Virtual time."""
        return self._kernel.now_us

    # Power.

    def power_on(self) -> None:
        """Board and module get their supply."""
        if self.board.state == OFF:
            self.on_since_us = self._kernel.now_us
            self.ways.supply(True)
            self.board.power_on()
            for reader in self.readers:
                reader.module.power_on()
            if self.voice is not None:
                self.voice.power_on()

    def power_cut(self, off_us: int) -> None:
        """The supply of board and module goes, and comes back after `off_us`."""
        if self.board.state == OFF:
            return
        self._cuts += 1
        torn = self.board.power_cut()
        self.log.downs[-1].torn = torn
        for reader in self.readers:
            reader.module.power_off()
        self.ways.supply(False)
        if self.voice is not None:
            self.voice.power_off()
        self._kernel.after(off_us, self.power_on)

    def _pin(self, pin: int, level: int, at_us: int) -> None:
        self.signals.pin(pin, level, at_us)
        self.ways.pin(pin, level, at_us)
        self.doorway.pin(pin, level, at_us)

    def _booted(self, cause: int) -> None:
        self.signals.boot = self.board.boots

    def _down(self, reason: str) -> None:
        if self.signals.ready_us is not None:
            self.log.ready_us.append(self.signals.ready_us - self.on_since_us)
        self.on_since_us = self._kernel.now_us
        self.log.downs.append(Down(self._kernel.now_us, self.board.boots, reason))
        self.signals.dark()

    # People.

    def show(self, showing: Showing) -> None:
        """Somebody holds a card before a module."""
        self.log.shown.append(showing)
        reader = self.readers[showing.reader]
        reader.showing = showing
        if reader.hiding is not None:
            reader.hiding.cancel()
        reader.module.show(self._album.picture(showing))
        # A card taken away is noticed by nobody: the module only stops trying.
        hides_us = self._kernel.now_us + showing.hold_ms * 1000
        reader.hiding = self._kernel.at(hides_us, functools.partial(_hide, reader), unnoticed_us=FOREVER_US)

    def _read(self, number: int, payload: bytes, last_byte_us: int) -> None:
        ready = self.signals.ready_us is not None
        showing = self.readers[number].showing
        self.log.reads.append(Read(last_byte_us, self.board.boots, payload, showing, ready, number))

    def _signalled(self, signal: Signal) -> None:
        """A signal answers the oldest unanswered code whose bytes had all arrived, and not too long ago."""
        if signal.name in DOOR_SIGNALS:
            self.log.beeps.append(Beep(signal, None))
            return
        answered = None
        for read in reversed(self.log.reads):
            if read.boot != signal.boot or read.signal is not None or signal.at_us - read.at_us > ANSWER_US:
                break
            if read.at_us <= signal.at_us:
                answered = read
        if answered is not None:
            answered.signal = signal
        self.log.beeps.append(Beep(signal, answered))

    # At the end.

    def beep_lines(self) -> list[dict[str, Any]]:
        """The world's log of signals, one JSON object each."""
        lines = []
        for beep in self.log.beeps:
            shown = beep.read.showing if beep.read is not None else None
            lines.append(
                {
                    "time_ms": beep.signal.at_us // 1000,
                    "board": self.plan.name,
                    "boot": beep.signal.boot,
                    "signal": beep.signal.name,
                    "lamp": beep.signal.lamp,
                    "shown": shown.label if shown else None,
                    "scheme": shown.scheme if shown else None,
                    "card": shown.card if shown else None,
                }
            )
        return lines

    def journal_image(self) -> bytes:
        """The journal partition as its cells are now."""
        offset, size = self.journal
        return self.flash.dump()[offset : offset + size]

    def keep(self, directory: Path) -> None:
        """Copy what the run leaves behind for whoever looks at it later."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("flash.bin", "console.log"):
            shutil.copy(self.directory / name, directory / name)
            (directory / name).chmod(0o600)

    def figures(self) -> dict[str, Any]:
        """Counters of the hardware, for the report."""
        return {
            "boots": self.board.boots,
            "power_cuts": self._cuts,
            "flash": {
                **asdict(self.flash.counts),
                "max_erases_of_a_sector": max(self.flash.counts.erases_by_sector.values(), default=0),
            },
            "uart_dropped_bytes": sum(reader.line.dropped_bytes for reader in self.readers),
            "uart_overflows": sum(reader.line.overflows for reader in self.readers),
            **self.ways.figures(),
            "heap_high_water_bytes": self.board.heap_high_water_bytes,
            "module_saves": sum(reader.module.saves for reader in self.readers),
        }


def _hide(reader: Reader) -> None:
    reader.showing = reader.hiding = None
    reader.module.show(None)
