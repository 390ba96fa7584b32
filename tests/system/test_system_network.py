"""The network as an enemy, in whole runs over real TLS: what beeped is collected, once, and a forged word releases nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

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


def play(
    name: str,
    faults: str,
    album: Album,
    *,
    count: int = 8,
    duration_s: int = 50,
    more: str = "",
    expect: str = "",
    watch: Callable[[World], None] | None = None,
) -> tuple[Outcome, str, dict[tuple[str, int], int]]:
    """(outcome, console, how often each (epoch, lsn) stands in the collector's table)."""
    text = PLAN.format(name=name, count=count, duration_s=duration_s, more=more, expect=expect) + faults
    with Run(scenario.parse(text), album=album) as run:
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
        with closing(sqlite3.connect(world.database)) as database:
            if now_s <= 36 and database.execute("SELECT count(*) FROM records WHERE kind = 3").fetchone()[0] == 0:
                silent_s.append(now_s)

    outcome, console, rows = play(kind, faults, album, watch=watch)
    assert outcome.broken == []
    assert CHAOS[kind] in console
    assert set(rows.values()) == {1}
    if kind in ("forged", "replies_lost", "replies_doubled", "replies_cut", "replies_late", "replies_replayed"):
        return
    assert max(silent_s) >= 30, "the fault did not keep the records from the centre"
