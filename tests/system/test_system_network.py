"""The network as an enemy, in whole runs over real TLS: what beeped is collected, once, and a forged word releases nothing."""

from __future__ import annotations

import functools
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from host_tools.simulator import scenario
from host_tools.simulator.connection import Connection
from host_tools.simulator.crowd import Album
from host_tools.simulator.far_end import COLLECTOR_IP, Peer
from host_tools.simulator.run import Outcome, Run
from host_tools.simulator.soak import run_soak
from host_tools.simulator.world import World

ROOT = Path(__file__).parents[2]
PLAN = """
name = "{name}"
seed = 11
duration_s = {duration_s}
settle_s = 400
{more}
[[board]]
name = "gate"
collector_url = "https://centre.example"
config = {{ repeat_window_s = 5, health_s = 10, heartbeat_s = {heartbeat_s} }}
{crowd}
[expect]
{expect}
"""

CROWD = """
[[crowd]]
board = "gate"
from_ms = 12000
count = {count}
every_ms = 2000
hold_ms = 1900
people = {count}
kinds = ["qrqg"]
media = ["plastic"]
"""

FAULT = """
[[fault]]
kind = "{kind}"
at_ms = {at_ms}
for_ms = {for_ms}
"""

# What strikes between the twelfth and the fortieth second; and what must be seen of it, or the run has proved nothing.
CERTIFICATE = "uplink: certificate: The certificate"
CHAOS = {
    "replies_lost": "",
    "replies_doubled": "",
    "replies_cut": "",
    "replies_late": "",
    "replies_replayed": "",
    "forged": "",
    "black_hole": "",
    "collector_down": "",
    "collector_restart": "",
    "portal": CERTIFICATE,
    "dns_down": "",
    "dns_poisoned": CERTIFICATE,
    "certificate_other_name": CERTIFICATE + " Common Name (CN) does not match",
    "certificate_other_authority": CERTIFICATE + " is not correctly signed",
    "certificate_expired": CERTIFICATE + " validity has expired",
    "certificate_future": CERTIFICATE + " validity starts in the future",
}


@pytest.fixture(scope="module")
def album() -> Album:
    return Album()


def scans(world: World) -> int:
    with closing(sqlite3.connect(world.database)) as database:
        return int(database.execute("SELECT count(*) FROM records WHERE kind = 3").fetchone()[0])


def play(
    name: str,
    faults: str,
    album: Album,
    *,
    prepare: Callable[[World], None] = lambda world: None,
    count: int = 8,
    duration_s: int = 50,
    more: str = "",
    crowd: str = CROWD,
    heartbeat_s: int = 60,
    watch: Callable[[World], None] | None = None,
) -> tuple[Outcome, str, dict[tuple[str, int], int]]:
    """(outcome, console, how often each (epoch, lsn) stands in the collector's table)."""
    expect = f"recorded = {count}" if count else ""
    people = crowd.format(count=count)
    text = PLAN.format(
        name=name, duration_s=duration_s, more=more, crowd=people, expect=expect, heartbeat_s=heartbeat_s
    )
    text += faults
    with Run(scenario.parse(text), album=album) as run:
        prepare(run.world)
        outcome = run.play(watch)
        console = run.world.checkpoints["gate"].board.console().decode()
        with closing(sqlite3.connect(run.world.database)) as database:
            rows = database.execute("SELECT hex(epoch), lsn, count(*) FROM records GROUP BY 1, 2").fetchall()
    return outcome, console, {(epoch, lsn): times for epoch, lsn, times in rows}


@pytest.mark.parametrize("kind", CHAOS)
def test_what_beeped_is_collected_once_whatever_the_network_does(kind: str, album: Album) -> None:
    # The connection of the first seconds is lost with the collector's program: what is wrong is met in a new handshake.
    faults = FAULT.format(kind=kind, at_ms=11_000, for_ms=27_000)
    if "certificate" in kind or kind in ("portal", "dns_poisoned", "dns_down"):
        faults += FAULT.format(kind="collector_down", at_ms=10_000, for_ms=4_000)
    silent_s: list[int] = []

    def watch(world: World) -> None:
        now_s = world.kernel.now_us // 1_000_000
        if now_s <= 36 and scans(world) == 0:
            silent_s.append(now_s)

    outcome, console, rows = play(kind, faults, album, watch=watch)
    assert outcome.broken == []
    assert CHAOS[kind] in console
    assert set(rows.values()) == {1}
    if kind == "dns_down":
        assert max(silent_s) < 30, "where DNS is silent the address that has proved itself serves"
        return
    if kind in ("forged", "replies_lost", "replies_doubled", "replies_cut", "replies_late", "replies_replayed"):
        return
    assert max(silent_s) >= 30, "the fault did not keep the records from the centre"


def test_a_collector_that_dies_at_every_step_of_a_connection(album: Album) -> None:
    """In the first flight of the handshake, in the second, in the head of a request, at each kilobyte of its body."""
    steps = [1, 150, 260, 300, 420, 500, 600, 900, 1500, 2500]
    left: list[int] = []

    def prepare(world: World) -> None:
        world.checkpoints["gate"].link.deaths = left
        left.extend(steps)

    more = FAULT.format(kind="black_hole", at_ms=0, for_ms=40_000)  # so that there is much to send
    outcome, _, rows = play("dying collector", more, album, count=60, duration_s=130, prepare=prepare)
    assert outcome.broken == [] and left == []
    assert set(rows.values()) == {1}


def test_two_collectors_behind_one_name_of_which_one_is_away(album: Album) -> None:
    faults = FAULT.format(kind="first_collector_down", at_ms=11_000, for_ms=35_000)
    faults += FAULT.format(kind="collector_down", at_ms=11_000, for_ms=3_000)  # the connection that stands
    stored_while_away: list[int] = []

    def watch(world: World) -> None:
        if world.kernel.now_us < 44_000_000:
            stored_while_away.append(scans(world))

    outcome, console, rows = play("two", faults, album, count=4, more="second_collector = true", watch=watch)
    assert outcome.broken == [] and set(rows.values()) == {1}
    assert "uplink" not in console and stored_while_away[-1] == 4


def test_a_collector_put_back_from_a_backup_asks_for_what_it_lost(album: Album, tmp_path: Path) -> None:
    """Sectors that the board has released are sent again, from the flash, and nothing is missing in the end."""
    taken: list[int] = []

    def prepare(world: World) -> None:
        def restore() -> None:
            world.collector.stop()
            taken.append(scans(world))
            for path in world.directory.glob("collector.db*"):
                path.unlink()
            for path in tmp_path.iterdir():
                shutil.copy(path, world.directory / path.name)
            world.start_collector()

        def back_up() -> None:
            world.collector.stop()
            taken.append(scans(world))
            for path in world.directory.glob("collector.db*"):
                shutil.copy(path, tmp_path / path.name)
            world.start_collector()

        world.kernel.at(40_000_000, back_up)
        world.kernel.at(420_000_000, restore)

    people = CROWD.format(count=290)
    outcome, _, rows = play("restored", "", album, count=0, crowd=people, duration_s=600, prepare=prepare)
    assert taken[1] - taken[0] > 150
    assert outcome.broken == []
    assert set(rows.values()) == {1}


# What a server that means harm says, over TLS with the right certificate: each is called with a connection, and gives what
# is called with the bytes of a request.


def _garbage(peer: Peer) -> Callable[[bytes], None]:
    rng = random.Random(1)
    return lambda data: peer.send(rng.randbytes(3000))


def _endless_head(peer: Peer) -> Callable[[bytes], None]:
    def more() -> None:
        peer.send(b"X-More: and more\r\n" * 50)
        peer.after(20_000, more)

    def begin(data: bytes) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n")
        more()

    return begin


def _drip(peer: Peer) -> Callable[[bytes], None]:
    text = iter(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-chot\r\nContent-Length: 4000\r\n\r\n" + bytes(4000))

    def drop() -> None:
        peer.send(bytes([next(text)]))
        peer.after(1_000_000, drop)

    return lambda data: drop()


def _answer(head: bytes, body: bytes) -> Callable[[Peer], Callable[[bytes], None]]:
    def serve(peer: Peer) -> Callable[[bytes], None]:
        return lambda data: peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-chot\r\n" + head + b"\r\n\r\n" + body)

    return serve


def _flood(peer: Peer) -> Callable[[bytes], None]:
    """A body said to be 1 GB, of which as much comes as anybody reads."""

    def more() -> None:
        peer.send(b"x" * 16_000)
        peer.after(100_000, more)

    def begin(data: bytes) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-chot\r\nContent-Length: 1000000000\r\n\r\n")
        more()

    return begin


def _body(text: bytes) -> Callable[[Peer], Callable[[bytes], None]]:
    return _answer(b"Content-Length: %d" % (9 + len(text) + 32), b"\x01" + bytes(8) + text + bytes(32))


HOSTILE: dict[str, Callable[[Peer], Callable[[bytes], None]]] = {
    "garbage": _garbage,
    "endless head": _endless_head,
    "slow drip": _drip,
    "1 GB body": _flood,
    "a body above the limit": _answer(b"Content-Length: 4097", bytes(4097)),
    "no length": _answer(b"X: y", b"hello"),
    "two lengths": _answer(b"Content-Length: 5\r\nContent-Length: 6", b"hello!"),
    "chunks": _answer(b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
    "deep JSON": _body(b"[" * 3900),
    "huge numbers": _body(b'{"stored":' + b"9" * 3800 + b"}"),
    "silence": lambda peer: lambda data: None,
    "nothing but the end": lambda peer: lambda data: peer.end(),
}


# Every 50 seconds another one of them, for half of that time; in the first eight nobody comes, so that a handshake may begin.
EACH_S, STRIKE_S, PAUSE_S = 50, 25, 8
BURSTS = f"""
[[crowd]]
board = "gate"
from_ms = {(EACH_S + PAUSE_S) * 1000}
count = {STRIKE_S - PAUSE_S}
every_ms = 1000
hold_ms = 700
people = {STRIKE_S - PAUSE_S}
kinds = ["qrqg"]
media = ["plastic"]
days = {len(HOSTILE)}
"""


def test_a_hostile_server_over_tls_stops_no_card_and_gets_nothing_believed(album: Album) -> None:
    """A card every second meanwhile; then the collector itself answers again, and everything arrives."""
    served: Counter[str] = Counter()
    live: list[int] = []
    before: list[int] = []
    after: list[int] = []

    def prepare(world: World) -> None:
        gate = world.checkpoints["gate"]
        gate.board.on_collected = live.append
        host = gate.link.hosts.by_address[COLLECTOR_IP]

        def strike(name: str) -> None:
            def serve(peer: Peer) -> Callable[[bytes], None]:
                served[name] += 1
                return HOSTILE[name](peer)

            host.serve = serve
            gate.link.drop_all()
            before.append(scans(world))

        def peace() -> None:
            host.serve = None
            gate.link.drop_all()
            after.append(scans(world))

        for at, name in enumerate(HOSTILE, 1):
            world.kernel.at(at * EACH_S * 1_000_000, functools.partial(strike, name))
            world.kernel.at((at * EACH_S + STRIKE_S) * 1_000_000, peace)

    seconds = (len(HOSTILE) + 1) * EACH_S
    more = f"day_s = {EACH_S}"
    outcome, console, rows = play(
        "hostile", "", album, count=0, duration_s=seconds, more=more, crowd=BURSTS, heartbeat_s=5, prepare=prepare
    )
    assert outcome.broken == []
    door = outcome.doors[0]
    # The module rests a second between two reads, so it reads two cards of three.
    assert door.beeped >= 0.6 * len(HOSTILE) * (STRIKE_S - PAUSE_S)
    # TLS runs repeat to the microsecond only: a collection of the heap may fall between a code and its beep, or not.
    assert door.worst_latency_ms < 150
    assert set(served) == set(HOSTILE)
    assert before == after and len(set(before)) == len(HOSTILE), "nothing was believed, and then the collector was"
    assert door.collected == door.beeped and set(rows.values()) == {1}
    assert "MemoryError" not in console and "crash" not in console
    quarter = len(live) // 4
    assert min(live[-quarter:]) < 1.02 * min(live[quarter : 2 * quarter]), "memory is flat"


OFFLINE = """
name = "a day with no network, short"
seed = 41
duration_s = 300
settle_s = 60
[[board]]
name = "commune"
collector_url = "https://centre.example"
[[crowd]]
board = "commune"
from_ms = 8000
count = 150
every_ms = 1500
people = 75
kinds = ["qrqg"]
media = ["plastic"]
[[fault]]
kind = "wifi_down"
at_ms = 0
for_ms = 260000
[expect]
recorded = 150
collected = 150
"""


def test_a_long_time_without_a_network_loses_nothing_and_goes_out(album: Album) -> None:
    """The short form of scenarios/week-offline.toml."""
    with Run(scenario.parse(OFFLINE), album=album) as run:
        run.world.kernel.run(255_000_000)
        assert run.collected() == 0
        outcome = run.play()
    assert outcome.broken == [] and outcome.virtual_s < 310


def days(path: str, day_s: int, scans_a_day: int) -> scenario.Scenario:
    """A scenario of the repository, its days shortened to three of `day_s` with the same faults in the same order."""
    plan = scenario.load(ROOT / "scenarios" / path)
    shorter = day_s * 1000 / 86_400_000
    plan.day_s, plan.duration_s, plan.settle_s = day_s, 3 * day_s, 400
    for crowd in plan.crowds:
        crowd.from_ms, crowd.count = int(crowd.from_ms * shorter), scans_a_day
        crowd.every_ms, crowd.people, crowd.days = 6_500, 60, 3
    for fault in plan.faults:
        fault.at_ms, fault.for_ms = int(fault.at_ms * shorter), max(5_000, int(fault.for_ms * shorter))
        fault.days = 3
    assert plan.soak is not None
    plan.soak.boot_days, plan.soak.warm_scans = 2, 20
    plan.expect.min_recorded = 3 * scans_a_day * 9 // 10
    plan.boards[0].config["heartbeat_s"] = 15
    return plan


def test_days_with_daily_outages_kill_no_task_and_leave_the_heap_flat(album: Album) -> None:
    """The short form of scenarios/sixty-days.toml."""
    plan = days("sixty-days.toml", 1200, 30)
    assert plan.soak is not None
    plan.soak.heap_drift = 0.03  # so soon after the boot what is told once a day is still coming
    outcome = run_soak(plan, album=album)
    assert outcome.passed, outcome.text()
    assert outcome.doors[0]["boots"] == 1


@pytest.mark.parametrize("gap_ms", [20, 600, 3000])
def test_a_handshake_that_drips_stops_no_card(gap_ms: int, album: Album) -> None:
    """Somebody on the way lets a byte of it through now and then. The scan module is held for a handshake, but not for that."""
    count = 40
    cards = CROWD.format(count=count).replace("from_ms = 12000", "from_ms = 66000")
    text = PLAN.format(name="drip", duration_s=200, more="", crowd=cards, expect=f"recorded = {count}", heartbeat_s=60)
    with Run(scenario.parse(text), album=album) as run:
        gate = run.world.checkpoints["gate"]
        kernel, link = run.world.kernel, gate.link
        down = link._down
        drips: list[int] = []

        def drip(connection: Connection, data: bytes) -> None:
            if connection.tls is None or connection.tls._shaken or kernel.now_us > 150_000_000:
                down(connection, data)
                return
            drips.append(len(data))
            for number, byte in enumerate(data, 1):
                kernel.after(gap_ms * 1000 * number, lambda byte=byte: down(connection, bytes([byte])))  # type: ignore[misc]

        kernel.run(50_000_000)
        link._down = drip  # type: ignore[method-assign]
        link.drop_all()
        outcome = run.play()
        assert outcome.broken == [], outcome.broken
        assert drips and max(drips) > 400, "it was met in a handshake"
