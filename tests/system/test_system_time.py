"""Time in whole runs: whatever crystal, outage or clock, each scan's true moment lies within the bounds the centre gives."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from host_tools.collector.store import Store
from host_tools.collector.timeline import Placed, place
from host_tools.formats import records
from host_tools.simulator import scenario
from host_tools.simulator.checkpoint import Checkpoint
from host_tools.simulator.run import Run
from tests.collector.documented_time import Clock, as_promised
from tests.system.payloads import Payloads, texts

SECOND = 1_000_000
DAY_S = 86_400
TICKS = 1 << 30

BOARD = """
[[board]]
name = "{name}"
config = {{ repeat_window_s = 0, heartbeat_s = {heartbeat_s}, health_s = 86400 }}
link = {{ latency_ms = 5 }}
"""


@contextmanager
def running(plan: str, crystals_ppm: dict[str, int] | None = None) -> Iterator[Run]:
    parsed = scenario.parse(plan)
    for board in parsed.boards:
        board.drift_ppm = (crystals_ppm or {}).get(board.name, 0)
    with Run(parsed, album=Payloads()) as run:
        yield run
        for checkpoint in run.world.checkpoints.values():
            assert checkpoint.board.faults == [] and checkpoint.flash.violations == []


def placed(run: Run, checkpoint: Checkpoint) -> list[Placed]:
    """The board's records as the centre places them."""
    with Store(run.world.database) as store:
        return place(store.rows(checkpoint.keys.device_id))


def true_ms(run: Run, checkpoint: Checkpoint) -> dict[str, tuple[float, float]]:
    """When each card was recorded, as the world saw it: after its last byte had come and before the beep."""
    found = {}
    for beep in checkpoint.log.beeps:
        read = beep.read
        if beep.signal.name == "recorded" and read is not None and read.showing is not None:
            assert read.showing.card is not None
            began_ms = run.scenario.start_ms
            found[read.showing.card] = (began_ms + read.at_us / 1000, began_ms + beep.signal.at_us / 1000)
    return found


def scans(rows: list[Placed]) -> list[tuple[str, Placed]]:
    """The scans among the records, by card."""
    told = ((record, record.decoded) for record in rows)
    return [(str(said["id"]), record) for record, said in told if said is not None and said["kind"] == records.SCAN]


def clocks_of(rows: list[Placed], boot: int) -> list[Clock]:
    """The CLOCK records of a boot."""
    told = [record.decoded for record in rows if record.boot == boot and record.decoded is not None]
    return [(said["uptime_ms"], said["unix_ms"], said["error_ms"]) for said in told if said["kind"] == records.CLOCK]


def within(record: Placed, moment: tuple[float, float]) -> bool:
    """True if the moment, as far as the world knows it, may lie within the record's bounds."""
    return record.earliest_ms <= moment[1] and moment[0] <= record.latest_ms


def test_crystals_outages_and_days_without_power() -> None:
    """Two doors, +50 and -50 ppm, and three boots a day or two apart. The first has an outage of 24 minutes, in which the
    ticks of the east door wrap; behind it that door says the time again, the west door does not. The second never learns the
    time, the third has a network again."""
    crystals = {"east": 50, "west": -50}
    off_s, on_again_s = 1580, 1580 + 2 * DAY_S
    last_s = on_again_s + 40 + DAY_S
    plan = f'name = "days"\nseed = 3724\nduration_s = {last_s + 60}\n' + "".join(
        BOARD.format(name=name, heartbeat_s=60)
        + texts(name, 0, [20_000, 500_000, 800_000, 1_105_000, 1_116_000, 1_450_000])
        + texts(name, 100, [1_495_000 + 1300 * n for n in range(50 if name == "east" else 0)])
        + texts(name, 200, [(on_again_s + 10) * 1000, (on_again_s + 30) * 1000])
        + texts(name, 300, [(last_s + 20) * 1000])
        for name in crystals
    )
    for at_s, for_s in ((60, 1420), (off_s, 2 * DAY_S + 3600)):
        plan += f'[[fault]]\nkind = "wifi_down"\nat_ms = {at_s * 1000}\nfor_ms = {for_s * 1000}\n'
    for at_s, away_s in ((off_s, on_again_s - off_s), (on_again_s + 40, DAY_S)):
        plan += f'[[fault]]\nkind = "power_cut"\nat_ms = {at_s * 1000}\noff_ms = {away_s * 1000}\n'
    with running(plan, crystals) as run:
        run.play()
        for checkpoint in run.world.checkpoints.values():
            rows, truth = placed(run, checkpoint), true_ms(run, checkpoint)
            found = scans(rows)
            east = checkpoint.plan.name == "east"
            assert len(found) == (59 if east else 9) == len(truth) and checkpoint.board.boots == 3
            assert all(within(record, truth[card]) for card, record in found), checkpoint.plan.name
            first, second, third = sorted({record.boot for _, record in found})
            clocks = clocks_of(rows, first)
            assert len(clocks) == (2 if east else 1)
            for _, record in found:
                assert record.timed == (record.boot != second)
                if record.timed and record.decoded is not None:
                    uptime_ms = record.decoded["uptime_ms"]
                    own = clocks_of(rows, record.boot)
                    assert as_promised(own, uptime_ms, record.earliest_ms, record.latest_ms)
            # The crystal is off by more than the network leaves open; what the bounds allow for it is needed.
            last = next(record for card, record in found if card.startswith("0005"))
            assert last.decoded is not None
            carried_ms = clocks[0][1] + last.decoded["uptime_ms"] - clocks[0][0]
            began_ms, ended_ms = truth[str(last.decoded["id"])]
            assert (began_ms - carried_ms if not east else carried_ms - ended_ms) > clocks[0][2] + 30
            # A boot that never learned the time lies between its neighbours, and before it was first received.
            before = max(record.earliest_ms for record in rows if record.boot == first)
            after = min(record.latest_ms for record in rows if record.boot == third)
            for record in rows:
                if record.boot == second:
                    assert not record.timed and record.earliest_ms == before
                    assert record.latest_ms == min(after, record.received_ms)
            # Nothing of the year 2000, where the board's own time() starts.
            began = run.scenario.start_ms
            times = [unix_ms for boot in (first, third) for _, unix_ms, _ in clocks_of(rows, boot)]
            assert times and all(began < unix_ms < began + (last_s + 200) * 1000 for unix_ms in times)
    # Within the first boot of the east door the ticks went round, between two scans eleven seconds apart.
    draw = random.Random(f"{run.scenario.seed} east board")
    draw.randbytes(16)
    wraps_s = (TICKS - draw.randrange(TICKS)) / 1000
    assert 1_106 < wraps_s < 1_114


def test_a_collector_whose_clock_is_set_leaves_bounds_that_cover_both() -> None:
    """The centre's clock is put forward by an hour while the door is in use. Both readings are its word."""
    hour_ms = 3_600_000
    plan = 'name = "a clock is set"\nseed = 4\nduration_s = 75\n' + BOARD.format(name="gate", heartbeat_s=5)
    plan += texts("gate", 0, [10_000, 28_000, 50_000]) + texts("gate", 10, [70_000])
    plan += '[[fault]]\nkind = "power_cut"\nat_ms = 60000\n'
    with running(plan) as run:
        run.world.kernel.run(30 * SECOND)
        checkpoint = run.world.checkpoints["gate"]
        began = run.scenario.start
        run.scenario.start = began.replace("T00:", "T01:")
        run.play()
        rows, late = placed(run, checkpoint), true_ms(run, checkpoint)
        found = scans(rows)
    boots = sorted({record.boot for _, record in found})
    assert [sum(record.boot == boot for _, record in found) for boot in boots] == [3, 1]
    clocks = clocks_of(rows, boots[0])
    assert len(clocks) == 2 and abs(clocks[1][1] - clocks[0][1] - hour_ms) < 60_000
    for card, record in found:
        early = tuple(moment - hour_ms for moment in late[card])
        assert within(record, late[card])
        if record.boot == boots[0]:
            assert within(record, (early[0], early[1])), "who believed the first clock is not found any more"
            assert record.latest_ms - record.earliest_ms < hour_ms + 200
        else:
            assert record.latest_ms - record.earliest_ms < 200, "a new boot has only the new clock's word"
