"""Runs of one door whose network is the matter: what it goes over, when the centre hears of it, what it has told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from host_tools.collector.store import Store
from host_tools.collector.timeline import Placed, place
from host_tools.formats import records
from host_tools.simulator import scenario
from host_tools.simulator.links import Link
from host_tools.simulator.modem import Modem
from host_tools.simulator.run import Run
from tests.system.payloads import Payloads, texts

SECOND = 1_000_000
WIFI = """
[[board]]
name = "gate"
config = { repeat_window_s = 0, health_s = 10, wifi = [%s] }
"""
MOBILE = """
[[board]]
name = "gate"
hardware = "esp32-devkitc-4g"
config = { repeat_window_s = 0, health_s = 10, %s cellular = { modem = "a7670", apn = "v-internet" } }
modem = { %s }
"""
ALONE = "wifi = [],"


class Played:
    """One run of one door; `placed` is what the centre has of it, once it is over."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.checkpoint = run.world.checkpoints["gate"]
        self.ways = self.checkpoint.ways
        self.placed: list[Placed] = []

    @property
    def modem(self) -> Modem:
        assert self.ways.modem is not None
        return self.ways.modem

    @property
    def mobile(self) -> Link:
        assert self.ways.mobile is not None
        return self.ways.mobile

    def until(self, at_s: float) -> None:
        self.run.world.kernel.run(int(at_s * SECOND))

    def waits_for(self, happens: Callable[[], bool], within_s: int) -> float:
        """Seconds until it happens."""
        kernel = self.run.world.kernel
        began_us = kernel.now_us
        while not happens():
            kernel.run(kernel.now_us + SECOND // 4)
            assert kernel.now_us - began_us <= within_s * SECOND, f"not within {within_s} s"
        return (kernel.now_us - began_us) / SECOND

    def answered_over(self, link: Link, within_s: int) -> float:
        """Seconds until the centre has got another request over this link."""
        before = link.requests
        return self.waits_for(lambda: link.requests > before, within_s)

    def told(self, kind: int) -> list[dict[str, Any]]:
        """Records of one kind at the centre, in their order."""
        told = [row.decoded for row in self.placed if row.decoded is not None]
        return [row for row in told if row["kind"] == kind]

    def health(self, key: int) -> list[int]:
        """What HEALTH said of one key, in its order."""
        return [value for row in self.told(records.HEALTH) for number, value in row["health"] if number == key]

    def notes(self) -> list[str]:
        return [str(note["text"]) for note in self.told(records.NOTE)]


@contextmanager
def playing(plan: str, duration_s: int, cards_ms: list[int]) -> Iterator[Played]:
    """A run that has not begun; at its end every card shown is at the centre and nothing of the board has broken."""
    text = f'name = "links"\nseed = 11\nduration_s = {duration_s}\nsettle_s = 400\n' + plan + texts("gate", 0, cards_ms)
    with Run(scenario.parse(text), album=Payloads()) as run:
        door = Played(run)
        yield door
        outcome = run.play()
        assert outcome.broken == [], outcome.broken
        assert door.checkpoint.board.faults == [], door.checkpoint.board.faults
        assert run.collected() == len(cards_ms), (run.collected(), run.beeped())
        with Store(run.world.database) as store:
            door.placed = place(store.rows(door.checkpoint.keys.device_id))
        assert not [note for note in door.notes() if "stuck" in note or "crash" in note], door.notes()


def fault(kind: str, at_s: int, for_s: int = 0, **members: str) -> str:
    more = "".join(f'{name} = "{value}"\n' for name, value in members.items())
    return f'[[fault]]\nkind = "{kind}"\nat_ms = {at_s * 1000}\n' + (f"for_ms = {for_s * 1000}\n" if for_s else "") + more
