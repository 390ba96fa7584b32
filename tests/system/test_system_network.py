"""The network as an enemy, in whole runs over real TLS: what beeped is collected, once, and a forged word releases nothing."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from host_tools.simulator import scenario
from host_tools.simulator.crowd import Album
from host_tools.simulator.run import Outcome, Run
from host_tools.simulator.world import World

PLAN = """
name = "{name}"
seed = 11
duration_s = {duration_s}
settle_s = 400
{more}
[[board]]
name = "gate"
collector_url = "https://centre.example"
config = {{ repeat_window_s = 5, health_s = 10 }}
[[crowd]]
board = "gate"
from_ms = 12000
count = {count}
every_ms = 1500
people = {count}
kinds = ["qrqg"]
media = ["plastic"]
[expect]
recorded = {count}
{expect}
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
    expect: str = "",
    watch: Callable[[World], None] | None = None,
) -> tuple[Outcome, str, dict[tuple[str, int], int]]:
    """(outcome, console, how often each (epoch, lsn) stands in the collector's table)."""
    text = PLAN.format(name=name, count=count, duration_s=duration_s, more=more, expect=expect) + faults
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
        faults += FAULT.format(kind="collector_down", at_ms=10_000, for_ms=3_000)
    silent_s: list[int] = []

    def watch(world: World) -> None:
        now_s = world.kernel.now_us // 1_000_000
        if now_s <= 36 and scans(world) == 0:
            silent_s.append(now_s)

    outcome, console, rows = play(kind, faults, album, watch=watch)
    assert outcome.broken == []
    assert CHAOS[kind] in console
    assert set(rows.values()) == {1}
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
    faults = FAULT.format(kind="first_collector_down", at_ms=16_000, for_ms=20_000)
    stored_while_away: list[int] = []

    def watch(world: World) -> None:
        if world.kernel.now_us < 36_000_000:
            stored_while_away.append(scans(world))

    outcome, console, rows = play("two", faults, album, count=16, more="second_collector = true", watch=watch)
    assert outcome.broken == [] and set(rows.values()) == {1}
    assert "uplink" not in console and stored_while_away[-1] >= 12


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

    outcome, _, rows = play("restored", "", album, count=300, duration_s=600, prepare=prepare)
    assert taken[1] - taken[0] > 200
    assert outcome.broken == []
    assert set(rows.values()) == {1}
