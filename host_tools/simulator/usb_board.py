"""A virtual board on the technician's table: bare or flashed, its USB port in the loader or in MicroPython, in real time."""

from __future__ import annotations

import dataclasses
import queue
import random
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from host_tools.build.boards import load_board
from host_tools.build.identity import decode_partition
from host_tools.build.partitions import TABLE_BYTES, TABLE_OFFSET, decode_table, find
from host_tools.errors import UserError
from host_tools.simulator.board import _ops
from host_tools.simulator.checkpoint import MODULES, PORTS
from host_tools.simulator.chips import ESP32, Chip
from host_tools.simulator.clock_chip import ClockChipOptions
from host_tools.simulator.console_board import ConsoleBoard
from host_tools.simulator.far_end import COLLECTOR_IP, Host, Hosts, Peer
from host_tools.simulator.flash import Flash
from host_tools.simulator.kernel import Kernel
from host_tools.simulator.line_module import LineModule
from host_tools.simulator.links import Carrier, Link, LinkOptions
from host_tools.simulator.modem import ModemOptions
from host_tools.simulator.rom_loader import SYNC_FRAME, RomLoader
from host_tools.simulator.runtime import Runtime
from host_tools.simulator.scan_module import ModuleOptions, ScanModule
from host_tools.simulator.scenario import BoardPlan
from host_tools.simulator.ssi_module import SsiModule
from host_tools.simulator.through import Through
from host_tools.simulator.uart import UartLine
from host_tools.simulator.usb_port import PtyPort, Rfc2217Port, UsbPort
from host_tools.simulator.ways import Ways
from host_tools.simulator.wifi import AccessPoint

_APP_OFFSET = 0x10000
_IMAGE_MAGIC, _DESCRIPTOR_MAGIC = 0xE9, 0xABCD5432
_DESCRIPTOR_OFFSET = 0x20
# How long the board looks at its port before the world goes on; and the least real time between two boot messages.
_LOOK_S = 0.004
_BOOT_LOOP_S = 0.5
_BOOTED_FLASH = b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
_WAITS = b"rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))\r\nwaiting for download\r\n"


class UsbBoard:
    """A board of `chip` with a bare flash of `flash_bytes` in `directory`; use as a context. Its pins are those of
    `hardware`; on them are a scan module or none, a second one, a 4G modem, a clock chip (its seconds are the PC's). Its
    Wi-Fi is `wifi` (ssid, password), behind which `collector` (host, port) answers for any address. `speed` is virtual
    seconds a real one. With `lines` the port is rfc2217:// with DTR and RTS, else a pty: there a sync frame enters the
    loader, and closing the port leaves it."""

    def __init__(
        self,
        directory: Path,
        runtime: Runtime,
        *,
        mac: bytes,
        chip: Chip = ESP32,
        flash_bytes: int = 4 << 20,
        wifi: tuple[str, str] = ("", ""),
        collector: tuple[str, int] = ("127.0.0.1", 8080),
        hardware: str = "esp32-devkitc",
        module: ModuleOptions | None = None,
        exit_module: ModuleOptions | None = None,
        modem: ModemOptions | None = None,
        clock_chip: ClockChipOptions | None = None,
        speed: float = 10.0,
        lines: bool = False,
        seed: int = 1,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "flash.bin"
        self.path.write_bytes(b"\xff" * flash_bytes)
        self.path.chmod(0o600)
        self._kernel = Kernel()
        self.flash = Flash(self.path, random.Random(f"{seed} flash"))
        self.board = ConsoleBoard(
            "usb", self._kernel, runtime, self.flash, random.Random(seed), directory / "console.log", mac=mac
        )
        self.mac = mac
        self.chip = chip
        self._collector = collector
        self._seed = seed
        self._pins = load_board(hardware).constants
        self.modules = [
            self._add_module(port, options)
            for port, options in zip(PORTS, (module, exit_module), strict=True)
            if f"{port}_UART" in self._pins
        ]
        if clock_chip is not None:
            # It counts the PC's seconds, not the hurried ones of the board.
            clock_chip = dataclasses.replace(clock_chip, drift_ppm=clock_chip.drift_ppm + (1 / speed - 1) * 1e6)
        self.host = Host(collector)
        self._through: list[Through] = []
        self.ways = Ways(
            self.board,
            self._kernel,
            BoardPlan("usb", modem=modem, clock_chip=clock_chip),
            self._pins,
            [AccessPoint(*wifi)],
            self._make_link,
            _clock_ms,
            str(seed),
        )
        self.board.on_pin = self.ways.pin
        self.board.on_down = self._down
        self.loader = RomLoader(chip, mac, self.flash, self._reset)
        self.in_loader = False
        self._speed = speed
        self._epoch_s = time.monotonic()
        self._told = 0
        self._recent = b""
        self._boot_loop_s = 0.0
        self._held = False
        self._port: UsbPort = Rfc2217Port(self._lines) if lines else PtyPort()
        self.has_lines = lines
        self._opened = False
        self.resets = 0
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = False
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="usb-board", daemon=True)

    def __enter__(self) -> UsbBoard:
        self.ways.supply(True)
        self._start()
        self._thread.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The port, as a tool is given it."""
        return self._port.url

    def do(self, action: Callable[[], Any]) -> Any:
        """Have something done in the board's own thread; its result."""
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._jobs.put(lambda: done.put(action()))
        return done.get(timeout=60)

    def unplug(self) -> None:
        """Pull the cable. The board loses its supply with it."""
        self.do(self._pull)

    def _pull(self) -> None:
        self._port.unplug()
        self.board.power_cut()
        self.ways.supply(False)

    def close(self) -> None:
        """The end of the board."""
        self._stopping = True
        self._thread.join()
        self._port.unplug()
        self.board.close()
        self._down("closed")
        self.flash.close()
        if self.failure is not None:
            raise self.failure

    @property
    def module(self) -> ScanModule | SsiModule | LineModule | None:
        """The scan module of the way in."""
        return self.modules[0]

    def _add_module(self, port: str, options: ModuleOptions | None) -> ScanModule | SsiModule | LineModule | None:
        """The scan module on a port of the board's description; None: the wires hang in the air."""
        board, uart = self.board, self._pins[f"{port}_UART"]
        line = UartLine(
            self._kernel,
            random.Random(f"{self._seed} {port} line"),
            tx_pin=self._pins[f"{port}_TX"],
            rx_pin=self._pins[f"{port}_RX"],
            on_bytes=lambda count: board.notify(_ops.EVENT_UART, uart, count),
        )
        board.uarts[uart] = line
        if options is None:
            return None
        module = MODULES[options.kind](
            self._kernel,
            random.Random(f"{self._seed} {port} module"),
            options,
            send=line.device_sends,
            decode=lambda picture: picture,
            on_read=lambda payload, last_byte_us: None,
        )
        line.device = module
        module.power_on()
        return module

    # Its thread.

    def _run(self) -> None:
        try:
            while not self._stopping:
                with suppress(queue.Empty):
                    while True:
                        self._jobs.get_nowait()()
                data = self._port.read(_LOOK_S)
                if data is None:
                    self._closed()
                    time.sleep(_LOOK_S)
                elif data:
                    self._opened = True
                    self._received(data)
                self._pass_time()
        except BaseException as error:  # told by close(): a thread must not die unheard
            self.failure = error

    def _closed(self) -> None:
        """No tool has the port open. A pty has no lines, so this is what a reset line would have said."""
        if self._opened and self.in_loader and not self.has_lines:
            self._start()
        self._opened = False

    def _received(self, data: bytes) -> None:
        if self.in_loader:
            self._port.write(self.loader.feed(data))
            return
        self._recent = (self._recent + data)[-2 * len(SYNC_FRAME) :]
        if not self.has_lines and SYNC_FRAME in self._recent:
            self._enter_loader()
            self._port.write(self.loader.feed(SYNC_FRAME))
        else:
            self.board.type(data)

    def _pass_time(self) -> None:
        self._kernel.run(int((time.monotonic() - self._epoch_s) * self._speed * 1e6))
        if self.in_loader:
            return
        printed = self.board.console()[self._told :]
        if printed:
            self._told += len(printed)
            # The ESP32 port's console ends its lines so.
            self._port.write(printed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        if self._boot_loop_s and time.monotonic() >= self._boot_loop_s:
            self._start()

    # Reset and boot.

    def _lines(self, dtr: bool, rts: bool) -> None:
        """The transistor pair of every devkit: RTS alone holds the chip in reset, DTR alone pulls GPIO0 low, both together
        neither; but EN rises slowly, so a short "both" on the way from one to the other is still a reset."""
        held = rts and (not dtr or self._held)
        if self._held and not held:
            self.resets += 1
            if dtr:
                self._enter_loader()
                self._port.write(_WAITS)
            else:
                self._start()
        elif held and not self._held:
            self.board.power_cut()
            self._boot_loop_s = 0.0
        self._held = held

    def _enter_loader(self) -> None:
        self.board.power_cut()
        self._boot_loop_s = 0.0
        self.loader = RomLoader(self.chip, self.mac, self.flash, self._reset)
        self.in_loader = True
        self._recent = b""

    def _reset(self) -> None:
        """A command of the loader restarts the chip."""
        self._start()

    def _start(self) -> None:
        """The ROM looks for something to start; without it the chip restarts for ever, and says so."""
        self.board.power_cut()
        self.in_loader = False
        self._recent = b""
        self._boot_loop_s = 0.0
        wrong = self._not_bootable()
        if wrong:
            self._port.write(_BOOTED_FLASH + wrong.encode() + b"\r\n")
            self._boot_loop_s = time.monotonic() + _BOOT_LOOP_S
            return
        self._find_collector()
        self.board.power_on()

    def _not_bootable(self) -> str:
        """What the boot loader has against this flash; "" when MicroPython starts."""
        header = self.flash.cells(self.chip.boot_offset, 16)
        if header[0] != _IMAGE_MAGIC:
            return f"invalid header: {struct.unpack_from('<I', header)[0]:#010x}"
        if struct.unpack_from("<H", header, 12)[0] != self.chip.chip_id:
            return "This chip is not the one the boot loader was built for"
        try:
            partitions = decode_table(self.flash.cells(TABLE_OFFSET, TABLE_BYTES))
            app = find(partitions, "factory")
        except UserError:
            return "E (29) flash_parts: partition table is not valid"
        app_header = self.flash.cells(app.offset, _DESCRIPTOR_OFFSET + 4)
        if app_header[0] != _IMAGE_MAGIC or struct.unpack_from("<I", app_header, _DESCRIPTOR_OFFSET)[0] != _DESCRIPTOR_MAGIC:
            return "E (88) boot: No bootable app partitions in the partition table"
        if max(part.end for part in partitions) > self.flash.size:
            return "E (60) flash_parts: a partition exceeds flash chip size"
        return ""

    def _find_collector(self) -> None:
        """The way to the collector, whatever port the board's identity names; its TLS, where it has one, is its own."""
        self.host.port, self.host.serve = self._collector[1], None
        with suppress(UserError):
            partitions = decode_table(self.flash.cells(TABLE_OFFSET, TABLE_BYTES))
            place = find(partitions, "identity")
            url = urlsplit(decode_partition(self.flash.cells(place.offset, place.size)).collector_url)
            self.host.port = url.port or (443 if url.scheme == "https" else 80)
            if url.scheme == "https":
                self.host.serve = self._served

    def _served(self, peer: Peer) -> Through:
        self._through.append(Through(peer, self._collector))
        return self._through[-1]

    def _down(self, reason: str) -> None:
        """Nobody is left at this end of the connections."""
        while self._through:
            self._through.pop().close()

    def _make_link(self, name: str, carrier: Carrier, options: LinkOptions) -> Link:
        return Link(
            self._kernel,
            random.Random(f"{self._seed} {name}"),
            options,
            carrier=carrier,
            hosts=Hosts({COLLECTOR_IP: self.host}),
            clock_ms=_clock_ms,
            notify=self.board.notify,
        )


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
