"""Composition root: the only place where parts meet. Reads from top to bottom as the wiring of the board."""

import asyncio
import gc
import os
import sys
import time

import board
import machine
import network
import records
from clock import Clock, happens
from drivers.buzzer import Buzzer
from drivers.lamp import BLUE, RED, Lamp
from esp32 import Partition
from journal import seal
from journal.ring import INCIDENT, TELEMETRY, Ring
from micropython import const
from scanner.cards import Cards
from scanner.signals import Signals
from scanner.station import Station
from scanner.verdict import Rules
from supervisor import Supervisor
from uplink.http import Http
from uplink.links import Links
from uplink.shipper import Shipper
from uplink.wifi import Wifi

VERSION = "0.1.0"

_WATCHDOG_MS = const(30000)
_UART_BUFFER_BYTES = const(4096)
_UPLINK_MS = const(400000)  # the longest back-off, and a request
_CRASHED = b"C"  # what the next boot is to know, in RTC memory: it outlives a reset, not a power cut
_MAINTENANCE = b"M"
_CAUSE_CRASH = const(7)


def _runtime():
    """The runtime that runs, for the BOOT record (for all of which the journal reserves 64 bytes)."""
    version = sys.implementation.version
    return "%s micropython %d.%d.%d %s" % (VERSION, version[0], version[1], version[2], sys.platform)


def _boot_cause(rtc):
    """The cause as a BOOT record names it: the ESP32's own numbers, and 7 after a crash."""
    if rtc.memory() == _CRASHED:
        rtc.memory(b"")
        return _CAUSE_CRASH
    return machine.reset_cause()


class Facts:
    """The members of an object without its class."""


def _let_go(name, found):
    """What `found` says. The module `name`, which is needed at boot alone, leaves the heap with it."""
    facts = Facts()
    for member, value in found.__dict__.items():
        setattr(facts, member, value)
    del sys.modules[name]
    return facts


def _partition(label):
    found = Partition.find(Partition.TYPE_DATA, label=label)
    if not found:
        raise OSError("no partition '%s': flash this board again" % label)
    return found[0]


def _lamp():
    if hasattr(board, "LAMP_WS2812"):
        module = __import__("drivers.ws2812", None, None, ("Strip",))
        return module.Strip(machine.Pin(board.LAMP_WS2812, machine.Pin.OUT))
    return Lamp([machine.Pin(pin, machine.Pin.OUT) for pin in (board.LAMP_RED, board.LAMP_GREEN, board.LAMP_BLUE)])


def _reader(number, kind, port, station, settings):
    """The scan module on `port` (UART, tx, rx, trigger or None); only the driver that is asked for is loaded."""
    uart = machine.UART(port[0], baudrate=9600, tx=port[1], rx=port[2], rxbuf=_UART_BUFFER_BYTES)
    trigger = None if port[3] is None else machine.Pin(port[3], machine.Pin.OUT, value=1)

    def on_payload(payload):
        station.on_payload(payload, number)

    driver = __import__("drivers." + kind, None, None, ("make",))
    return driver.make(uart, on_payload, station.on_fail, settings, trigger, number)


def _rules(settings, clock, me):
    """(rules of config, lines about what they miss); what no rule asks for is not loaded."""
    missing = []
    is_open = denied = allowed = None
    if settings.hours:
        hours = __import__("scanner.hours", None, None, ("Hours",))
        is_open = hours.Hours(settings.hours, clock, settings.utc_offset_min).open
    if settings.lists:
        module = __import__("scanner.lists", None, None, ("Lists",))
        lists = module.Lists(_partition("lists"), me.list_key)
        for name, kind in (("deny", module.DENY), ("allow", module.ALLOW)):
            if name in settings.lists and not lists.kind & kind:
                missing.append("lists: no %s list in force" % name)
        denied = lists.denied if "deny" in settings.lists else None
        allowed = lists.allowed if "allow" in settings.lists else None
    texts = settings.other_codes == "record"
    most = settings.most_inside if hasattr(board, "SCANNER2_UART") else 0  # without a way out it would be full for ever
    return Rules(settings.repeat_window_s * 1000, texts, is_open, denied, allowed, most), missing


async def _serve(rtc):
    """Build the board's parts, start its tasks, and supervise them for ever."""
    clock = Clock(board.BUILT_S)
    buzzer = Buzzer(machine.PWM(machine.Pin(board.BUZZER_PIN), freq=1000, duty_u16=0))
    signals = Signals(_lamp(), buzzer)
    lamp_task = asyncio.create_task(signals.run(lambda: None))

    me = _let_go("identity", __import__("identity").load(_partition("identity")))
    settings, new, problem = __import__("config").load(rtc.memory() == _CRASHED)
    settings = _let_go("config", settings)
    gc.collect()
    wlan = network.WLAN(network.STA_IF)

    def random(n):
        wlan.active(True)  # random numbers are only random while the radio runs
        return os.urandom(n)

    ring = Ring(_partition("journal"), me.device_id, settings.journal_full == "overwrite", random)
    ring.recover()

    def new_epoch():
        private = seal.private_key(random(64), me.device_key, time.ticks_us())
        return seal.agree(private, me.device_key, me.collector_public)

    epoch = None
    for epoch in new_epoch():
        await asyncio.sleep_ms(0)
    gc.collect()  # what is loaded now stays: it is not to lie between what the key left behind

    boot = (_boot_cause(rtc), _runtime())
    rules, missing = _rules(settings, clock, me)
    station = Station(ring, Cards(settings.cards), rules, signals, clock, settings, boot)
    station.begin(epoch, boot[0])
    parts = []  # what only some boards have, or only some settings ask for
    for name in board.PARTS + (("scanner.loudness",) if settings.quiet_hours else ()):
        gc.collect()
        run = __import__(name, None, None, ("make",)).make(board, machine, station, signals, buzzer, clock, settings)
        if run:
            parts.append((name, run))
    gc.collect()
    port = (board.SCANNER_UART, board.SCANNER_TX, board.SCANNER_RX, getattr(board, "SCANNER_TRIGGER", None))
    readers = [_reader(0, settings.scanner, port, station, settings)]
    if settings.exit_scanner != "none":
        if hasattr(board, "SCANNER2_UART"):
            port = (
                board.SCANNER2_UART,  # type: ignore[attr-defined]
                board.SCANNER2_TX,  # type: ignore[attr-defined]
                board.SCANNER2_RX,  # type: ignore[attr-defined]
                getattr(board, "SCANNER2_TRIGGER", None),
            )
            readers.append(_reader(1, settings.exit_scanner, port, station, settings))
        else:
            missing.append("exit_scanner: this board has no place for it")

    def report(line):
        print(line)
        station.tell(TELEMETRY, records.note, records.ERROR, line)

    ways = [Wifi(wlan, each) for each in settings.wifi]
    tasks, budget = (), None
    if settings.cellular or settings.ntp or settings.clock_chip != "none":
        tasks, budget = __import__("fitting").fit(settings, ways, clock, station, random, report)
        del sys.modules["fitting"]
        gc.collect()
    links = Links(ways, clock.uptime_ms, budget)
    tls = None
    if me.collector_url.startswith("https:"):
        try:
            tls = __import__("uplink.tls", None, None, ("make",)).make(me.collector_ca, station, clock)
        except (OSError, ValueError) as error:  # the door goes on; the uplink says why it does not
            print("collector_ca:", error)
    http = Http(me.collector_url, links, random, tls, settings.plain_http)
    beat_ms, wait_ms = settings.heartbeat_s * 1000, settings.metered_wait_s * 1000
    shipper = Shipper(ring, me, http, links, clock, random, station, beat_ms, wait_ms, report)
    shipper.new_epoch(epoch)
    epoch = None  # this task lives for ever, and the key must not: the next day's takes its place

    def crash():
        rtc.memory(_CRASHED)
        machine.reset()

    watchdog = machine.WDT(timeout=_WATCHDOG_MS)
    supervisor = Supervisor(clock.uptime_ms, watchdog.feed, report, crash)
    station.connect(readers, shipper, supervisor, links)
    if problem:
        print(problem)
    if new or problem:
        outcome = records.REJECTED if problem else records.APPLIED
        station.tell(INCIDENT, records.change, records.CONFIG, settings.version, outcome, problem or "")

    for line in missing:
        report(line)
    if new:
        __import__("config").keep(new)  # all of the board has been built with it, and no module reads yet
        del sys.modules["config"]
        new = None

    lamp_task.cancel()
    supervisor.add("signals", signals.run, 20000)
    for i, reader in enumerate(readers):
        supervisor.add("scanner%d" % i, reader.run, 30000)
    for name, run in parts:
        supervisor.add(name, run, 20000)
    supervisor.add("station", lambda pulse: station.run(new_epoch, pulse), 20000)
    supervisor.add("links", links.run, 30000)
    for name, run, limit_ms in tasks:
        supervisor.add(name, run(links), limit_ms)
    supervisor.add("uplink", shipper.run, settings.heartbeat_s * 1000 + _UPLINK_MS)
    print(boot[1], board.NAME)
    gc.collect()
    await supervisor.run()


def scrub():
    """Overwrite all free heap, so that no key is left where a maintenance prompt could read it."""
    gc.collect()
    chain = None  # not a list: to grow, that would need one long piece of what is left
    size = 8192
    while size >= 16:
        try:
            while True:
                chain = (bytearray(size), chain)
        except MemoryError:
            size >>= 1


def _run(rtc):
    """Serve until Ctrl-C or a failure; returns the seconds to wait before the restart.

    A function of its own: when it has returned, no stack slot refers to the tasks and the keys they hold.
    """
    try:
        asyncio.run(_serve(rtc))
    except KeyboardInterrupt:
        rtc.memory(_MAINTENANCE)
        return 0
    except Exception as error:  # a board that cannot start says why, and tries again
        sys.print_exception(error)
    rtc.memory(_CRASHED)
    return 10


def main():
    """Run until power goes; Ctrl-C on the console forgets the keys and restarts into maintenance."""
    rtc = machine.RTC()
    if rtc.memory() == _MAINTENANCE:
        rtc.memory(b"")
        _lamp().show(BLUE)
        print("Chốt: bảo trì, không quét thẻ / maintenance, no card is scanned")
        return
    pause_s = _run(rtc)
    asyncio.new_event_loop()  # lets go of the tasks, but for the one that was running
    asyncio.run(happens(asyncio.Event(), 0))  # which another takes the place of
    scrub()
    _lamp().show(RED)
    time.sleep(pause_s)
    machine.reset()
