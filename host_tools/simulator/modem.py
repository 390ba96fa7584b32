"""A 4G modem on a UART: its AT dialogue with its quirks, power key, registration, and a data call (hardware.md 3)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from host_tools.simulator.kernel import Event, Kernel

OFF, BOOTING, COMMAND, DATA = "off", "booting", "command", "data"

ANSWER_US = 15_000
DIAL_US = 400_000
GUARD_US = 1_000_000
PLUS_GAP_US = 900_000
# A peer that gets no answer to its LCP requests sends so many, so far apart, and hangs up.
LCP_EVERY_US = 3_000_000
LCP_TRIES = 10
LCP_REQUEST = bytes.fromhex("7eff7d23c0217d217d217d207d387d217d247d25dc7d227d267d207d207d207d207d277d227d287d22a5747e")
NEGOTIATION_US = 1_200_000
POWER_DOWN_US = 2_000_000
RESET_PRESS_US = 2_000_000
SEARCH_EVERY_US = 2_000_000
LINE_BYTES = 556
# AT+IPR (hardware.md 3.1): lost when the modem restarts; its OK still goes out at the rate before.
BOOT_BAUD = 115_200
BAUDS = (9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600)
NEW_BAUD_US = 20_000


@dataclass(frozen=True)
class Kind:
    """What differs between makes: presses of the power key (on, off), time until it answers, the URCs of its boot."""

    on_press_us: int
    off_press_us: int
    boot_us: int
    urcs: tuple[str, ...]
    time_zone_updates: bool  # AT+CTZU as it comes from the factory
    revision: str  # its firmware, as AT+CGMR tells it


KINDS = {
    "sim7600": Kind(
        300_000, 2_500_000, 12_000_000, ("RDY", "+CPIN: READY", "SMS DONE", "PB DONE"), True, "LE20B04SIM7600G22"
    ),
    "a7670": Kind(
        50_000, 2_500_000, 11_100_000, ("*ATREADY: 1", "+CPIN: READY", "SMS DONE", "PB DONE"), False, "A7670M7_B07V01"
    ),
}


def _noise(data: bytes) -> bytes:
    """What wires make of it."""
    return bytes(byte ^ 0x84 for byte in data)


@dataclass
class ModemOptions:
    """One board's modem, as a scenario may set it."""

    kind: str = "a7670"
    registration: str = "home"  # roaming, searching, denied
    register_us: int = 4_000_000  # from its boot, or from a denial that is lifted
    csq: int = 18
    sim: str = "ready"  # pin, missing
    pin: str = "1234"
    apn: str = ""  # what the network wants; empty: any
    pap: str = ""  # "user:password" that PPP is to give by PAP; empty: none
    nitz: bool = True  # the network tells the time
    zone_quarters: int = 28
    fast: bool = True  # it takes rates above 115,200
    wires_baud: int = 921_600  # the fastest that the wires carry: beyond it all is noise
    slow_us: int = 0  # what an answer takes longer, if the command is more than a sign of life
    running: bool = False  # on already when the board gets its supply, as after a reset of the board alone


class Modem:
    """The modem. `send(data, baud)` puts bytes on the line, `clock_ms()` is UTC, `ended()` tells that a call is over."""

    def __init__(
        self,
        kernel: Kernel,
        options: ModemOptions,
        *,
        send: Callable[[bytes, int], int],
        clock_ms: Callable[[], int],
    ) -> None:
        self._kernel = kernel
        self.options = options
        self.kind = KINDS[options.kind]
        self._wires = send
        self._clock_ms = clock_ms
        self.ended: Callable[[], None] = lambda: None
        self.baud = BOOT_BAUD
        self.state = OFF
        self.pins: dict[str, int] = {}
        self._pressed_us: dict[str, int] = {}
        self._supplied = False
        self._tries = 0
        self._events: list[Event] = []
        self.boots = self.calls = self.presses = 0
        self.log: list[str] = []
        self.pin_tries = 3
        self.attached = False  # PPP of the board answers the peer's LCP
        self._forget()

    @property
    def clear(self) -> bool:
        """Whether the wires carry what is said now."""
        return self.baud <= self.options.wires_baud

    def _line_send(self, data: bytes, baud: int) -> int:
        return self._wires(data if self.clear else _noise(data), baud)

    def _forget(self) -> None:
        for event in self._events:
            event.cancel()
        self._events.clear()
        self.attached = False
        self._line = b""
        self._plus: list[int] = []
        self._heard_us = -GUARD_US
        self._echo = True
        self._unlocked = False
        self._time_zone_updates = self.kind.time_zone_updates
        self._apn = ""
        self._tries = 0
        self.baud = BOOT_BAUD
        self._registered_us: int | None = None

    def _after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Do it later, unless the modem has restarted by then."""
        self._events = [event for event in self._events if event.action is not None]
        self._events.append(self._kernel.after(delay_us, action))

    # Power.

    def supply(self, on: bool) -> None:
        """The supply of the board and of the modem."""
        self._supplied = on
        self._off()
        if on and self.options.running:
            self._boot()

    def _off(self) -> None:
        self._forget()
        self.state = OFF
        self.ended()

    def _boot(self) -> None:
        self._forget()
        self.ended()
        self.boots += 1
        self.state = BOOTING
        self._after(self.kind.boot_us, self._booted)

    def _booted(self) -> None:
        self.state = COMMAND
        if self.pins.get("flight", 1):
            self.registration(self.options.registration)
        for number, urc in enumerate(self.kind.urcs):
            self._after(number * 700_000, lambda urc=urc: self._urc(urc))  # type: ignore[misc]

    def brown_out(self) -> None:
        """Its supply sags: it restarts, and says nothing until it has."""
        if self.state != OFF:
            self._boot()

    def pin(self, name: str, level: int, at_us: int) -> None:
        """A pin that the board drives: `pwrkey` and `reset` are pressed by 1, `dtr` is off at 1, `power` supplies."""
        self._kernel.at(at_us, lambda: self._pin(name, level))

    def _pin(self, name: str, level: int) -> None:
        before = self.pins.get(name)
        self.pins[name] = level
        now_us = self._kernel.now_us
        if name == "power" and not level and before:
            self._off()
        elif name == "dtr" and before == 0 and level and self.state == DATA:
            self.hang_up()  # AT&D2, as the firmware sets it
        elif name in ("pwrkey", "reset") and level and not before:
            self._pressed_us[name] = now_us
        elif name in ("pwrkey", "reset") and before and not level:
            self._pressed(name, now_us - self._pressed_us[name])

    def _pressed(self, name: str, press_us: int) -> None:
        if not self._supplied or self.pins.get("power") == 0:
            return
        self.presses += 1
        if name == "reset":
            if press_us >= RESET_PRESS_US and self.state != OFF:
                self._boot()
        elif self.state == OFF and press_us >= self.kind.on_press_us:
            self._boot()
        elif self.state in (COMMAND, DATA) and press_us >= self.kind.off_press_us:
            self._after(POWER_DOWN_US, self._off)

    # Registration and the call.

    def registration(self, state: str) -> None:
        """The network takes us (home, roaming), lets us search, or denies us; a call ends where it no longer does."""
        self.options.registration = state
        self._registered_us = self._kernel.now_us + self.options.register_us
        if state not in ("home", "roaming") and self.state == DATA:
            self.hang_up()

    def _registration(self) -> int:
        if self.options.sim == "missing" or self._registered_us is None:
            return 0
        if self.options.registration in ("home", "roaming") and self._kernel.now_us < self._registered_us:
            return 2
        return {"home": 1, "roaming": 5, "searching": 2, "denied": 3}[self.options.registration]

    def registered(self) -> bool:
        """True when the network carries our calls."""
        return self.state in (COMMAND, DATA) and self._registration() in (1, 5)

    def _connect(self) -> None:
        self.state = DATA
        self.attached = False
        self.calls += 1
        self._tries = 0
        self._say(f"\r\nCONNECT {self.baud}\r\n")
        self._lcp()

    def _lcp(self) -> None:
        """The peer asks at once, and again until PPP on the board answers."""
        if self.state != DATA or self.attached:
            return
        if self._tries == LCP_TRIES:
            self.hang_up()
            return
        self._tries += 1
        self._line_send(LCP_REQUEST, self.baud)
        self._after(LCP_EVERY_US, self._lcp)

    def attach(self) -> bool:
        """PPP of the board begins; True when there is a peer whose negotiation is open."""
        fresh = self.state == DATA and not self.attached and self._tries > 0
        self.attached = self.attached or fresh
        return fresh

    def detach(self) -> None:
        """PPP of the board is no more, and has said nothing: the call goes on."""
        self._tries = 0

    def hang_up(self) -> None:
        """The call ends; the modem listens to commands again."""
        if self.state == DATA:
            self.state = COMMAND
            self.attached = False
            self._say("\r\nNO CARRIER\r\n")
            self.ended()

    # The dialogue.

    def _say(self, text: str) -> None:
        self._line_send(text.encode(), self.baud)

    def _urc(self, text: str) -> None:
        if self.state == COMMAND:
            self._say(f"\r\n{text}\r\n")

    def receive(self, data: bytes) -> None:
        """Bytes from the board have arrived, now."""
        data = data if self.clear else _noise(data)
        if self.state == DATA:
            self._escape(data)
        elif self.state == COMMAND:
            if self._echo:
                self._line_send(data, self.baud)
            self._line = (self._line + data)[-LINE_BYTES:]
            while b"\r" in self._line:
                command, _, self._line = self._line.partition(b"\r")
                text = command.decode("ascii", "replace").strip()
                if text:
                    self.log.append(text)
                    slow_us = self.options.slow_us if "+" in text else 0
                    self._after(ANSWER_US + slow_us, lambda text=text: self._answer(text))  # type: ignore[misc]
        self._heard_us = self._kernel.now_us

    def _escape(self, data: bytes) -> None:
        """Three plus signs alone, with silence before and after: back to commands, the call goes on."""
        now_us = self._kernel.now_us
        quiet_us = now_us - self._heard_us
        if data.strip(b"+"):
            self._plus.clear()
            return
        if not self._plus and quiet_us < GUARD_US:
            return
        if self._plus and quiet_us > PLUS_GAP_US:
            self._plus.clear()
            return
        self._plus += [now_us] * len(data)
        if len(self._plus) == 3:
            self._after(GUARD_US, lambda: self._escaped(now_us))

    def _escaped(self, at_us: int) -> None:
        if self.state == DATA and self._heard_us == at_us:
            self.state = COMMAND
            self._say("\r\nOK\r\n")
        self._plus.clear()

    def _answer(self, text: str) -> None:
        if self.state != COMMAND:
            return
        if re.fullmatch(r"ATD\*99(\*\*\*1)?#{1,2}", text):
            if self.registered() and self.options.apn in ("", self._apn):
                self._after(DIAL_US, self._connect)
            else:
                self._after(DIAL_US, lambda: self._say("\r\nNO CARRIER\r\n"))
            return
        said = self._reply(text)
        if said is None:
            self._say("\r\nERROR\r\n")
        elif said.startswith("+CME ERROR"):
            self._say(f"\r\n{said}\r\n")
        else:
            self._say((f"\r\n{said}\r\n" if said else "") + "\r\nOK\r\n")

    def _reply(self, text: str) -> str | None:
        """What comes before OK; None for ERROR."""
        if text in ("AT", "AT+CMEE=1", "AT&D2"):
            return ""
        if text == "ATH":
            self.ended()
            return ""
        if text in ("ATE0", "ATE1"):
            self._echo = text == "ATE1"
            return ""
        if text == "AT+CGMR":
            return f"+CGMR: {self.kind.revision}"
        if text == "AT+SPIC":
            return f"+SPIC: {self.pin_tries},10,0,10"
        if text.startswith("AT+CPIN"):
            return self._pin_command(text)
        if text == "AT+CSQ":
            return f"+CSQ: {self.options.csq if self.registered() else 99},99"
        if match := re.fullmatch(r"AT\+(CREG|CGREG|CEREG)\?", text):
            return f"+{match[1]}: 0,{self._registration()}"
        if text == "AT+CTZU?":
            return f"+CTZU: {int(self._time_zone_updates)}"
        if text == "AT+CTZU=1":
            self._time_zone_updates = True
            return ""
        if text == "AT+CCLK?":
            return f'+CCLK: "{self._clock()}"'
        if match := re.fullmatch(r'AT\+CGDCONT=1,"IP","([^"]*)"', text):
            self._apn = match[1]
            return ""
        if match := re.fullmatch(r"AT\+IPR=(\d+)", text):
            return self._new_baud(int(match[1]))
        return None

    def _new_baud(self, baud: int) -> str | None:
        if baud not in BAUDS or (baud > BOOT_BAUD and not self.options.fast):
            return None

        def switch() -> None:
            self.baud = baud

        self._after(NEW_BAUD_US, switch)
        return ""

    def _pin_command(self, text: str) -> str | None:
        if self.options.sim == "missing":
            return "+CME ERROR: 10"
        if text == "AT+CPIN?":
            return "+CPIN: SIM PIN" if self.options.sim == "pin" and not self._unlocked else "+CPIN: READY"
        self._unlocked = text == f'AT+CPIN="{self.options.pin}"'
        self.pin_tries = 3 if self._unlocked else self.pin_tries - 1
        return "" if self._unlocked else "+CME ERROR: 16"

    def _clock(self) -> str:
        """Local time and zone as the network told them; before that, the year of its factory."""
        if not (self.options.nitz and self._time_zone_updates and self.registered()):
            return "70/01/01,00:00:17+00" if self.options.kind == "a7670" else "80/01/06,00:00:17+00"
        quarters = self.options.zone_quarters
        utc = datetime.fromtimestamp(self._clock_ms() // 1000, timezone.utc)
        local = utc + timedelta(minutes=15 * quarters)
        return f"{local:%y/%m/%d,%H:%M:%S}{quarters:+03d}"
