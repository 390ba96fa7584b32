"""What lies between one board and the world: access points, a modem if it has one, a clock chip, and the links over them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from host_tools.simulator.board import _ops
from host_tools.simulator.board_process import VirtualBoard
from host_tools.simulator.cellular import Cellular
from host_tools.simulator.clock_chip import DS3231_ADDRESS, Bus, Ds3231
from host_tools.simulator.kernel import Kernel
from host_tools.simulator.links import Carrier, Link, LinkOptions
from host_tools.simulator.modem import Modem
from host_tools.simulator.ntp import NTP_PORT, NtpServer
from host_tools.simulator.routes import Routes
from host_tools.simulator.scenario import BoardPlan
from host_tools.simulator.uart import UartLine
from host_tools.simulator.wifi import AccessPoint, Station

# (name of its randomness, what it goes over, options) -> the link.
MakeLink = Callable[[str, Carrier, LinkOptions], Link]
_MODEM_PINS = ("pwrkey", "reset", "dtr", "power", "flight")


class Ways:
    """Connects `board` as `plan` has it and as its pins (`constants` of its description) allow."""

    def __init__(
        self,
        board: VirtualBoard,
        kernel: Kernel,
        plan: BoardPlan,
        constants: dict[str, int],
        access_points: list[AccessPoint],
        make_link: MakeLink,
        clock_ms: Callable[[], int],
        seed: str,
    ) -> None:
        self.station = Station(kernel, access_points=access_points, notify=board.notify)
        board.access_points_seen = self.station.seen
        self.wifi = make_link("link", self.station, plan.link)
        board.link = self.wifi
        self.ntp = NtpServer(clock_ms)
        self.wifi.services[NTP_PORT] = self.ntp.answer
        self.modem: Modem | None = None
        self.cellular: Cellular | None = None
        self.mobile: Link | None = None
        self.chip: Ds3231 | None = None
        self.bus: Bus | None = None
        self._modem_pins: dict[int, str] = {}
        if plan.modem is not None:
            self._fit_modem(board, kernel, plan, constants, make_link, clock_ms, seed)
        if plan.clock_chip is not None:
            self.bus = board.bus = Bus(constants["I2C_SCL"], constants["I2C_SDA"])
            self.chip = self.bus.devices[DS3231_ADDRESS] = Ds3231(kernel, plan.clock_chip, clock_ms)

    def _fit_modem(
        self,
        board: VirtualBoard,
        kernel: Kernel,
        plan: BoardPlan,
        constants: dict[str, int],
        make_link: MakeLink,
        clock_ms: Callable[[], int],
        seed: str,
    ) -> None:
        assert plan.modem is not None
        port = constants["MODEM_UART"]
        line = UartLine(
            kernel,
            random.Random(f"{seed} modem line"),
            tx_pin=constants["MODEM_TX"],
            rx_pin=constants["MODEM_RX"],
            on_bytes=lambda count: board.notify(_ops.EVENT_UART, port, count),
        )
        board.uarts[port] = line
        self.modem = line.device = Modem(kernel, plan.modem, send=line.device_sends, clock_ms=clock_ms)
        for name in _MODEM_PINS:
            if "MODEM_" + name.upper() in constants:
                self._modem_pins[constants["MODEM_" + name.upper()]] = name
        self.cellular = Cellular(kernel, self.modem, line, board.notify)
        self.mobile = make_link("mobile", self.cellular, plan.mobile)
        self.mobile.services[NTP_PORT] = self.ntp.answer
        board.link = Routes(self.wifi, self.mobile)

    @property
    def links(self) -> list[Link]:
        """Every link there is."""
        return [self.wifi] if self.mobile is None else [self.wifi, self.mobile]

    def pin(self, pin: int, level: int, at_us: int) -> None:
        """A pin that the board drives."""
        if self.modem is not None and pin in self._modem_pins:
            self.modem.pin(self._modem_pins[pin], level, at_us)

    def supply(self, on: bool) -> None:
        """The supply of the board, and of what hangs on it."""
        if self.modem is not None:
            self.modem.pins.clear()
            self.modem.supply(on)
        if self.chip is not None and not on:
            self.chip.power_cut()

    def figures(self) -> dict[str, Any]:
        """Counters, for the report."""
        found: dict[str, Any] = {
            "requests": sum(link.requests for link in self.links),
            "forged": sum(link.forged for link in self.links),
            "associations": self.station.associations,
        }
        if self.modem is not None and self.mobile is not None:
            found["modem"] = {
                **asdict(self.modem.options),
                "boots": self.modem.boots,
                "calls": self.modem.calls,
                "requests": self.mobile.requests,
            }
        return found
