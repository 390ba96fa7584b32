"""The parts of a door: the lock's relay, contact, beam, two buttons and the tamper switch, looked at fifty times a second."""

import asyncio

import records
from journal.ring import EVENT, INCIDENT, TELEMETRY
from micropython import const
from scanner import door
from scanner.signals import FAULT

_LOOK_MS = const(20)
_LOOKS = const(3)  # alike, until a switch has settled: contacts bounce for some ms
_HELP = const(1)
_TAMPER = const(2)
_GUARD = const(3)


class Relay:
    """`pin`: an output; `shut`: its level while nobody may pass. 0, fail-secure: the coil opens; 1, fail-safe: the coil holds.

    Through a reset the coil is off, so a board that stands still leaves a fail-safe door open.
    """

    def __init__(self, pin, shut, hold_ms):
        self._pin = pin
        self._shut = shut
        self._hold_ms = hold_ms
        self._left_ms = 0
        pin.value(shut)

    def open(self):
        """Let somebody through for the hold time, counted from now."""
        self._left_ms = self._hold_ms
        self._pin.value(1 - self._shut)

    def passed(self, ms):
        """So many ms have gone by."""
        if self._left_ms > 0:
            self._left_ms -= ms
            if self._left_ms <= 0:
                self._pin.value(self._shut)


class Switch:
    """A contact to ground (`pin`, or None where there is none), debounced; `level` is its level, at first what it should be."""

    def __init__(self, pin, level):
        self.level = level
        self._pin = pin
        self._looks = 0

    def changed(self):
        """Look; True when it has just settled at its other level."""
        if not self._pin or self._pin.value() == self.level:
            self._looks = 0
            return False
        self._looks += 1
        if self._looks < _LOOKS:
            return False
        self._looks = 0
        self.level = 1 - self.level
        return True


class Doorway:
    """What the parts say becomes records and signals. `pins`: of contact, beam, help, guard, tamper, each None where there is
    none; `relay` too."""

    def __init__(self, station, signals, uptime_ms, relay, held_ms, pins):
        self.lost = 0  # records that the journal did not take
        self.door = door.Door(self._tell, self._blocked, held_ms)
        self._station = station
        self._signals = signals
        self._uptime_ms = uptime_ms
        self._relay = relay
        contact, self._beam, call, guard, tamper = pins
        self._contact = contact and Switch(contact, contact.value())  # as it is at boot, no record tells
        self._help = Switch(call, 1)
        self._guard = Switch(guard, 1)
        self._tamper = Switch(tamper, 0)
        self._looked_ms = uptime_ms()
        signals.relay = relay
        station.admitted = self._admitted
        station.extras.append(self._health)

    def _admitted(self, card):
        try:
            self.door.scanned(card, self._uptime_ms())
        except MemoryError:
            pass  # the card has its answer; the passage will be one without a scan

    def _health(self):
        return ((40, self.door.passages), (41, self.door.without_scan), (42, self.door.ignored), (43, self.lost))

    def _tell(self, event):
        if not self._station.write(EVENT, records.DOOR, event):
            self.lost += 1
        if self._relay and event == door.OPENED_WITHOUT_SCAN:
            self._station.urgent()  # the lock was shut: it was forced
        if event == door.HELD_OPEN:
            self._signals.remark(door.CLOSE_DOOR)
        elif event == door.OPENED_WITHOUT_SCAN or event == door.PASSAGE_WITHOUT_SCAN:
            self._signals.remark(door.SCAN_FIRST)

    def _blocked(self):
        self._station.tell(TELEMETRY, records.note, records.ERROR, "door: the beam is blocked")

    def _incident(self, code, signal):
        """Into flash, and only then `signal`; where the journal takes nothing now, as soon as it does."""
        if not self._station.write(INCIDENT, records.INCIDENT, code):
            self._station.tell(INCIDENT, records.event, records.INCIDENT, code)
            signal = signal and FAULT
        if signal:
            self._signals.play(signal)

    def look(self):
        """Look at everything once."""
        now = self._uptime_ms()
        if self._relay:
            self._relay.passed(now - self._looked_ms)
        self._looked_ms = now
        contact, beam = self._contact, self._beam
        if contact:
            contact.changed()
        self.door.look(now, contact and contact.level == 1, beam and beam.value() == 1)
        if self._tamper.changed() and self._tamper.level:
            self._incident(_TAMPER, None)  # not a sound
        if self._help.changed() and not self._help.level:
            self._incident(_HELP, door.HELP)
        if self._guard.changed() and not self._guard.level:
            self.door.scanned(None, now)
            self._incident(_GUARD, door.WAVED_IN)

    async def run(self, pulse):
        while True:
            pulse()
            self.look()
            await asyncio.sleep_ms(_LOOK_MS)


def make(board, machine, station, signals, buzzer, clock, settings):
    """The task of a Doorway of the parts that `board` names."""
    pins = []
    for name in ("DOOR_CONTACT", "DOOR_BEAM", "BUTTON_HELP", "BUTTON_GUARD", "TAMPER_PIN"):
        pin = getattr(board, name, None)
        if pin is not None:
            # From 34 on an ESP32 has no pull-up inside; the board has one outside.
            pull = None if board.CHIP == "esp32" and pin >= 34 else machine.Pin.PULL_UP
            pin = machine.Pin(pin, machine.Pin.IN, pull)
        pins.append(pin)
    relay = None
    if hasattr(board, "RELAY_PIN"):
        shut = 1 if settings.lock == "fail-safe" else 0
        relay = Relay(machine.Pin(board.RELAY_PIN, machine.Pin.OUT, value=shut), shut, settings.lock_open_s * 1000)
    return Doorway(station, signals, clock.uptime_ms, relay, settings.held_open_s * 1000, pins).run
