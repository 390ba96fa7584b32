"""One virtual board: a MicroPython process that runs while the world lets it, and what the chip keeps around it."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from host_tools.simulator.board import _ops
from host_tools.simulator.clock_chip import NO_DEVICE, Bus
from host_tools.simulator.costs import BOOT_US, CONSOLE_US, HANG_S, RESET_US, SCAN_US
from host_tools.simulator.flash import Flash, PlannedCut
from host_tools.simulator.keeping import Keeping
from host_tools.simulator.kernel import FOREVER_US, Event, Kernel
from host_tools.simulator.links import Link
from host_tools.simulator.routes import Routes, request
from host_tools.simulator.runtime import Runtime
from host_tools.simulator.uart import UartLine
from host_tools.simulator.wire import Died, Hung, Wire

FLASH_ERROR = 1
OFF, BOOTING, RUNNING, WAITING, BUSY, ENDED, STUCK = "off", "booting", "running", "waiting", "busy", "ended", "stuck"


class VirtualBoard:
    """A board with its chip. Hooks: `on_pin(pin, level, at_us)`, `on_pwm(pin, hz, duty, at_us)`,
    `on_boot(cause)`, `on_down(reason)`, `on_flash(address, size, erase)` after each whole operation,
    `on_collected(live_bytes)`: what lived on the heap after collections that the firmware asked for."""

    def __init__(
        self,
        name: str,
        kernel: Kernel,
        runtime: Runtime,
        flash: Flash,
        rng: random.Random,
        console: Path,
        *,
        mac: bytes,
        drift_ppm: int = 0,
    ) -> None:
        self.name = name
        self._kernel = kernel
        self._runtime = runtime
        self.flash = flash
        self._keeping = Keeping(rng, mac, drift_ppm)
        self._console_path = console
        self._console = os.open(console, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self.uarts: dict[int, UartLine] = {}
        self.link: Link | Routes | None = None
        self.bus: Bus | None = None
        self.access_points_seen: Callable[[], list[tuple[str, int]]] = list
        self.on_pin: Callable[[int, int, int], None] = lambda pin, level, at_us: None
        self.on_pwm: Callable[[int, int, int, int], None] = lambda pin, hz, duty, at_us: None
        self.on_boot: Callable[[int], None] = lambda cause: None
        self.on_down: Callable[[str], None] = lambda reason: None
        self.on_collected: Callable[[int], None] = lambda live_bytes: None
        self.on_flash: Callable[[int, int, bool], None] = lambda address, size, erase: None
        self.before_reset: Callable[[int], None] = lambda process_id: None
        self.state = OFF
        self.runtime_name = ""
        self.faults: list[str] = []
        self.boots = self.requests = self.heap_high_water_bytes = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._wire: Wire | None = None
        self._events: list[tuple[int, int, int]] = []
        self._must_look = self._waiting_for_events = self._interrupt = False
        self._inputs: dict[int, int] = {}
        self._wake: Event | None = None
        self._watchdog: Event | None = None
        self._watchdog_us = self._waiting_cause = 0
        self._planned_cuts: list[PlannedCut] = []

    # Power and resets.

    def power_on(self) -> None:
        """Supply comes up."""
        if self.state == OFF:
            self._keeping.power_on(self._kernel.now_us + BOOT_US)
            self._boot_later(_ops.CAUSE_POWER_ON, 0)

    def power_cut(self) -> bool:
        """The supply goes, this instant; True if it tore a flash operation."""
        torn = self.flash.cut(self._kernel.now_us)
        self._kill()
        self._down("power cut")
        self.state = OFF
        return torn

    def reset(self, cause: int) -> None:
        """The chip restarts without losing its supply: RTC and its memory live on."""
        self.flash.finish()
        self._kill()
        self._down({_ops.CAUSE_WATCHDOG: "watchdog", _ops.CAUSE_SOFT: "soft reset"}.get(cause, "reset"))
        self._boot_later(cause, RESET_US if cause != _ops.CAUSE_SOFT else 0)

    def _boot_later(self, cause: int, delay_us: int) -> None:
        self.state = BOOTING
        self._waiting_cause = cause
        boot_us = BOOT_US if cause != _ops.CAUSE_SOFT else BOOT_US // 3
        self._wake = self._kernel.after(delay_us + boot_us, self._start)

    def _down(self, reason: str) -> None:
        for line in self.uarts.values():
            line.close()
        if self.link is not None:
            self.link.reset()
        self._events.clear()
        self._must_look = False
        self._interrupt = False
        self.on_down(reason)

    def _kill(self) -> None:
        for event in (self._wake, self._watchdog):
            if event is not None:
                event.cancel()
        self._wake = self._watchdog = None
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._watchdog_us = 0
        self._waiting_for_events = False

    def close(self) -> None:
        """End of the run."""
        self.flash.finish()
        self._kill()
        for line in self.uarts.values():
            line.close()
        self.state = OFF
        os.close(self._console)

    @property
    def process_id(self) -> int | None:
        """The process of the running boot; None while there is none."""
        return None if self._process is None else self._process.pid

    def console(self) -> bytes:
        """Everything the firmware has printed since the run began."""
        return self._console_path.read_bytes()

    def _start(self) -> None:
        self._wake = None
        self.boots += 1
        self.state = RUNNING
        ports = {ident: line.open() for ident, line in self.uarts.items()}
        self._process, connection = self._runtime.spawn(self._console, [self.flash.fd, *ports.values()])
        self._wire = Wire(connection, HANG_S)
        self._ports = ports
        self._events = [(_ops.EVENT_PIN, pin, level) for pin, level in self._inputs.items()]
        self.on_boot(self._waiting_cause)
        self._listen()

    # Ctrl-C, input pins, events from the world.

    def interrupt(self) -> None:
        """Somebody types Ctrl-C at the console."""
        self._interrupt = True
        if self.state in (WAITING, ENDED):
            self._resume_at(self._kernel.now_us + CONSOLE_US)

    def plan_cut(self, plan: PlannedCut) -> None:
        """Let the power go inside a flash operation to come."""
        self._planned_cuts.append(plan)

    def set_input(self, pin: int, level: int, wake: bool = True) -> None:
        """An input pin changes."""
        self._inputs[pin] = level
        self.notify(_ops.EVENT_PIN, pin, level, wake)

    def notify(self, kind: int, ident: int, value: int, wake: bool = True) -> None:
        """An event for the board: it learns of it when it next may run; with `wake`, a board that waits for events
        runs now."""
        if self.state in (OFF, BOOTING):
            return
        self._events.append((kind, ident, value))
        self._must_look = self._must_look or wake
        if wake and self.state == WAITING and self._waiting_for_events:
            self._waiting_for_events = False
            self._resume_at(self._kernel.now_us)

    def _resume_at(self, at_us: int, value: int = 0, payload: bytes = b"", flags: int = 0) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if at_us < FOREVER_US:
            self._wake = self._kernel.at(at_us, lambda: self._resume(value, payload, flags))

    def _later(self, at_us: int, action: Callable[[], None]) -> None:
        """Run `action` at the board's local time `at_us`, unless this boot has ended by then."""
        kernel, boot = self._kernel, self.boots
        if at_us < kernel.next_us():
            # Nothing else happens before: no need to go through the heap.
            kernel.now_us = max(kernel.now_us, at_us)
            action()
        else:
            kernel.at(at_us, lambda: action() if boot == self.boots and self.state not in (OFF, BOOTING) else None)

    # The wire.

    def _resume(self, value: int, payload: bytes, flags: int) -> None:
        """Let the board run: the reply to its request, and what has happened meanwhile."""
        self._wake = None
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if self._wire is None:
            return
        if self._interrupt:
            self._interrupt = False
            flags |= _ops.FLAG_INTERRUPT
        if any(line.held_back for line in self.uarts.values()):
            flags |= _ops.FLAG_HELD_BACK
        events, self._events = self._events, []
        self._must_look = False
        self.state = RUNNING
        self._waiting_for_events = False
        try:
            self._wire.reply(self._kernel.now_us, self._kernel.horizon_us(), value, payload, events, flags)
        except Died:
            self._died()
            return
        self._listen()

    def _listen(self) -> None:
        """Take messages of the running board up to its next request."""
        assert self._wire is not None
        while True:
            try:
                op, at_us, watchdog_us, payload = self._wire.receive()
            except Hung:
                self._hung()
                return
            except Died:
                self._died()
                return
            if self._watchdog_us and at_us > self._watchdog_us and watchdog_us in (0, self._watchdog_us):
                self._kernel.at(self._watchdog_us, lambda: self.reset(_ops.CAUSE_WATCHDOG))
                self.state = BUSY
                return
            self._watchdog_us = watchdog_us
            if op < _ops.POST_FIRST:
                self.requests += 1
                self._request(op, at_us, payload)
                return
            if op in (_ops.POST_PIN, _ops.POST_PWM):
                self._show(op, at_us, payload)
            else:
                self._post(op, at_us, payload)

    def _hung(self) -> None:
        """The board computed without end: its watchdog bites, or it stands for good."""
        if self._watchdog_us:
            self.state = BUSY
            self._kernel.at(self._watchdog_us, lambda: self.reset(_ops.CAUSE_WATCHDOG))
        else:
            self._stop(f"{self.name}: computed for {HANG_S:.0f} s without waiting for anything, no watchdog armed")

    def _died(self) -> None:
        status = self._process.wait() if self._process is not None else None
        self._stop(f"{self.name}: the runtime ended by itself (status {status})")

    def _stop(self, fault: str) -> None:
        self.faults.append(fault)
        self._kill()
        self._down("stuck")
        self.state = STUCK

    def _show(self, op: int, at_us: int, payload: bytes) -> None:
        if op == _ops.POST_PIN:
            self.on_pin(payload[0], payload[1], at_us)
        else:
            pin, hz, duty = struct.unpack("<BIH", payload)
            self.on_pwm(pin, hz, duty, at_us)

    def _post(self, op: int, at_us: int, payload: bytes) -> None:
        """Posts take effect at the board's local time, in order with everything else of the world."""
        if op == _ops.POST_UART_SENT:
            ident, count = struct.unpack("<BI", payload)
            line = self.uarts[ident]
            data = line.take(count)
            self._later(at_us, lambda: line.board_sent(data))
        elif op == _ops.POST_UART_TAKEN:
            ident, count = struct.unpack("<BI", payload)
            self._later(at_us, lambda: self.uarts[ident].board_took(count))
        elif op == _ops.POST_UART_INIT:
            ident, baud, rxbuf, _fresh, tx_pin, rx_pin = struct.unpack("<BIIBBB", payload)
            self._later(at_us, lambda: self.uarts[ident].configure(baud, rxbuf, tx_pin, rx_pin))
        elif not self._keeping.post(op, at_us, payload) and self.link is not None and op != _ops.POST_WATCHDOG:
            link = self.link
            self._later(at_us, lambda: link.posted(op, payload))

    def _request(self, op: int, at_us: int, payload: bytes) -> None:
        """The board stops until what it asked for is done."""
        self.state = BUSY
        if op == _ops.OP_WAIT:
            until_us, kind, heap_bytes, least_live_bytes = struct.unpack("<QBII", payload)
            self.heap_high_water_bytes = max(self.heap_high_water_bytes, heap_bytes)
            if least_live_bytes:
                self.on_collected(least_live_bytes)
            self._arm_watchdog()
            self._later(at_us, lambda: self._wait(until_us, kind))
        elif op == _ops.OP_HELLO:
            self.runtime_name = payload.decode(errors="replace")
            self._resume_at(at_us or self._kernel.now_us, payload=self._start_message())
        elif op in (_ops.OP_FLASH_PROGRAM, _ops.OP_FLASH_ERASE):
            self._arm_watchdog()
            self._later(at_us, lambda: self._flash(op, payload))
        elif op == _ops.OP_FLASH_READ:
            address, size = struct.unpack("<II", payload)
            self._resume_at(at_us, payload=self.flash.read(address, size))
        elif op == _ops.OP_RESET:
            if self._process is not None:
                self.before_reset(self._process.pid)
            self._later(at_us, lambda: self.reset(payload[0]))
        elif op == _ops.OP_ENDED:
            self._arm_watchdog()
            self._later(at_us, self._ended)
        elif op == _ops.OP_NVS_GET:
            value = self._keeping.nvs(payload)
            self._resume_at(at_us, value=int(value is not None), payload=value or b"")
        elif op == _ops.OP_I2C or self.link is not None:
            self._arm_watchdog()
            self._later(at_us, lambda: self._outside_request(op, payload))

    def _arm_watchdog(self) -> None:
        if self._watchdog_us:
            self._watchdog = self._kernel.at(self._watchdog_us, lambda: self.reset(_ops.CAUSE_WATCHDOG))

    def _wait(self, until_us: int, kind: int) -> None:
        if self.state != BUSY:
            return
        self.state = WAITING
        self._waiting_for_events = kind == _ops.WAIT_POLL
        if self._interrupt or (self._waiting_for_events and self._must_look):
            until_us = self._kernel.now_us
        self._resume_at(until_us)

    def _ended(self) -> None:
        if self.state == BUSY:
            self.state = ENDED

    def _outside_request(self, op: int, payload: bytes) -> None:
        """A transfer over I2C, which stops Python until it is done, or a word with the network."""
        if self.state != BUSY:
            return
        answer = (0, NO_DEVICE, b"")
        if op == _ops.OP_I2C:
            answer = answer if self.bus is None else self.bus.transfer(payload)
        elif op == _ops.OP_WLAN_SCAN:
            seen = [(ssid.encode(), rssi_dbm) for ssid, rssi_dbm in self.access_points_seen()]
            answer = SCAN_US, 0, b"".join(struct.pack("<Bb", len(ssid), rssi_dbm) + ssid for ssid, rssi_dbm in seen)
        elif self.link is not None:
            answer = request(self.link, op, payload)
        self._resume_at(self._kernel.now_us + answer[0], value=answer[1], payload=answer[2])

    def _flash(self, op: int, payload: bytes) -> None:
        """A program or an erase stops the whole CPU until it is done."""
        if self.state != BUSY:
            return
        now_us = self._kernel.now_us
        try:
            if op == _ops.OP_FLASH_PROGRAM:
                address = struct.unpack_from("<I", payload)[0]
                operation = self.flash.begin_program(address, payload[4:], now_us)
            else:
                address, size = struct.unpack("<II", payload)
                operation = self.flash.begin_erase(address, size, now_us)
        except ValueError as error:
            self.faults.append(f"{self.name}: {error}")
            self._resume_at(now_us, value=FLASH_ERROR)
            return
        kind = "erase" if operation.data is None else "program"
        plan = next((plan for plan in self._planned_cuts if plan.inside in (kind, "any")), None)
        if plan is not None:
            if plan.skip == 0:
                self._planned_cuts.remove(plan)
                self._kernel.at(now_us + int(operation.duration_us * plan.share), plan.cut)
            plan.skip -= 1
        address, size, erase = operation.address, operation.size, operation.data is None
        self._wake = self._kernel.at(now_us + operation.duration_us, lambda: self._flash_done(address, size, erase))

    def _flash_done(self, address: int, size: int, erase: bool) -> None:
        self.flash.finish()
        self.on_flash(address, size, erase)
        self._resume(0, b"", 0)

    def _start_message(self) -> bytes:
        sectors = sorted(self.flash.unstable)
        back_us = 0 if self.link is None else self.link.round_trip_us
        at = self._kernel.now_us, self._waiting_cause
        return self._keeping.start_message(*at, self.flash.fd, self._ports, sectors, back_us)
