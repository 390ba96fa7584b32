"""Records in time: bounds that hold the truth, no tighter than the clocks allow, and none invented."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.collector.timeline import Placed, place
from host_tools.formats import records

T0 = 1_637_222_400_000
RECEIVED = T0 + 10**9


@dataclass
class Row:
    epoch_public: bytes
    generation: int
    lsn: int
    plaintext: bytes
    received_ms: int = RECEIVED


class Journal:
    """Rows of one generation, 100 bytes apart."""

    def __init__(self, generation: int = 1) -> None:
        self.rows: list[Row] = []
        self.generation = generation
        self.epoch = b"a"
        self.lsn = 4096 + 64

    def add(self, uptime_ms: int, received_ms: int = RECEIVED, **fields: object) -> int:
        plaintext = records.encode({"uptime_ms": uptime_ms, **fields})
        self.rows.append(Row(self.epoch, self.generation, self.lsn, plaintext, received_ms))
        self.lsn += 100
        return len(self.rows) - 1

    def scan(self, uptime_ms: int, **rest: int) -> int:
        return self.add(uptime_ms, kind=3, reader=0, verdict=3, scheme=1, id="1", **rest)

    def clock(self, uptime_ms: int, unix_ms: int, error_ms: int = 10, source: int = 3) -> int:
        return self.add(uptime_ms, kind=2, unix_ms=unix_ms, error_ms=error_ms, source=source)

    def boot(self, uptime_ms: int = 0, cause: int = 1) -> int:
        self.epoch = bytes((self.epoch[0] + 1,))
        return self.add(uptime_ms, kind=1, cause=cause, version="1", config=1)

    def bounds(self) -> list[tuple[int, int]]:
        return [(placed.earliest_ms, placed.latest_ms) for placed in place(self.rows)]


def test_outside_the_readings_it_carries_on_with_50_ppm() -> None:
    j = Journal()
    before, at, after = j.scan(0), j.clock(100_000, T0), j.scan(1_100_000)
    bounds = j.bounds()
    assert bounds[before] == (T0 - 100_000 - 15, T0 - 100_000 + 15)
    assert bounds[at] == (T0 - 10, T0 + 10)
    assert bounds[after] == (T0 + 1_000_000 - 60, T0 + 1_000_000 + 60)


def test_drift_is_rounded_against_us() -> None:
    j = Journal()
    j.clock(0, T0, error_ms=0)
    scan = j.scan(1)
    assert j.bounds()[scan] == (T0, T0 + 2)


def test_between_readings_it_interpolates_with_the_error_of_the_nearer() -> None:
    j = Journal()
    j.clock(0, T0, error_ms=1000, source=2)
    near_first, near_last = j.scan(20_000), j.scan(80_000)
    j.clock(100_000, T0 + 100_500, error_ms=30)
    bounds = j.bounds()
    assert bounds[near_first] == (T0 + 20_100 - 1001, T0 + 20_100 + 1001)
    # The line hangs on the worse reading by a fifth: 30 ms would claim more than is known.
    assert bounds[near_last] == (T0 + 80_400 - 225, T0 + 80_400 + 225)


def test_two_readings_at_one_uptime_divide_by_nothing() -> None:
    j = Journal()
    j.clock(5, T0)
    j.clock(5, T0 + 3)
    j.scan(5)
    assert len(j.bounds()) == 3


def test_the_collectors_word_wins_over_one_that_contradicts_it() -> None:
    j = Journal()
    j.clock(0, T0 - 3_600_000, error_ms=500, source=1)
    scan = j.scan(1000)
    j.clock(2000, T0, error_ms=20)
    assert j.bounds()[scan] == (T0 - 1000 - 21, T0 - 1000 + 21)


@pytest.mark.parametrize("sources", [(1, 2), (3, 3), (4, 5)])
def test_otherwise_the_bounds_cover_both(sources: tuple[int, int]) -> None:
    j = Journal()
    early = j.scan(0)
    j.clock(1000, T0, error_ms=5, source=sources[0])
    between = j.scan(2000)
    j.clock(3000, T0 + 60_000, error_ms=7, source=sources[1])
    late = j.scan(4000)
    bounds = j.bounds()
    for scan, uptime in ((early, 0), (between, 2000), (late, 4000)):
        low, high = bounds[scan]
        assert low <= T0 + uptime - 1000 - 5 and high >= T0 + 60_000 + uptime - 3000 + 7


def test_a_boot_without_time_lies_between_its_neighbours() -> None:
    j = Journal()
    j.boot()
    j.clock(1000, T0)
    last = j.scan(2000)
    j.boot()
    unknown = j.scan(777)
    j.boot()
    j.clock(50, T0 + 500_000)
    bounds = j.bounds()
    first_after = bounds[unknown + 1]
    assert bounds[unknown] == (bounds[last][0], first_after[1])


def test_and_before_its_first_receipt() -> None:
    j = Journal()
    j.clock(1000, T0)
    j.boot()
    unknown = j.scan(777, received_ms=T0 + 5000)
    assert j.bounds()[unknown] == (T0 - 10, T0 + 5000)
    assert not place(j.rows)[unknown].timed


def test_with_no_neighbour_before_the_earliest_is_open() -> None:
    j = Journal()
    unknown = j.scan(5, received_ms=T0)
    assert j.bounds()[unknown] == (0, T0)


def test_a_neighbour_of_another_generation_says_nothing() -> None:
    first, second = Journal(1), Journal(2)
    first.clock(0, T0)
    second.scan(5, received_ms=T0 + 9)
    placed = place(first.rows + second.rows)
    assert (placed[1].earliest_ms, placed[1].latest_ms) == (0, T0 + 9)
    assert placed[0].boot != placed[1].boot


def test_cause_8_carries_the_boot_on() -> None:
    j = Journal()
    j.boot()
    early = j.scan(1000)
    j.boot(90_000_000, cause=8)
    j.clock(90_001_000, T0)
    j.boot(170_000_000, cause=8)
    late = j.scan(170_001_000)
    placed = place(j.rows)
    assert placed[early].timed and placed[late].timed
    assert placed[early].latest_ms == T0 - 90_000_000 + 10 + 4500
    assert placed[late].boot == placed[early].boot


@pytest.mark.parametrize("trouble", ["cause", "uptime", "missing sectors"])
def test_what_only_looks_like_the_same_boot_is_not(trouble: str) -> None:
    j = Journal()
    j.boot()
    j.clock(50_000, T0)
    if trouble == "missing sectors":
        j.lsn += 2 * 4096
    j.boot(10 if trouble == "uptime" else 60_000, cause=3 if trouble == "cause" else 8)
    scan = j.scan(70_000)
    assert not place(j.rows)[scan].timed


def test_raw_records_lie_between_their_neighbours() -> None:
    j = Journal()
    j.clock(0, T0)
    j.rows.append(Row(j.epoch, 1, j.lsn, b"\xee", RECEIVED))
    j.lsn += 100
    j.scan(5000)
    assert j.bounds()[1] == (T0 - 10, T0 + 5000 + 11)


def test_clocks_of_boots_that_contradict_leave_bounds_in_order() -> None:
    j = Journal()
    j.clock(0, T0 + 10**8)
    j.boot()
    unknown = j.scan(1, received_ms=T0 + 5)
    j.boot()
    j.clock(0, T0)
    low, high = j.bounds()[unknown]
    assert low <= T0 + 5 and high >= T0 + 10**8 - 10


def test_the_order_of_receipt_is_nothing() -> None:
    j = Journal()
    j.boot()
    j.clock(1000, T0)
    j.scan(2000)
    j.boot()
    j.scan(5)
    assert place(reversed(j.rows)) == place(j.rows)


@settings(max_examples=200)
@given(st.data())
def test_the_truth_lies_within_the_bounds(data: st.DataObject) -> None:
    """Boots with crystals off by up to 50 ppm and readings off by up to their error."""
    j, truth, now = Journal(), [], T0
    for _ in range(data.draw(st.integers(1, 4))):
        now += data.draw(st.integers(0, 10**6))
        started, ppm = now, data.draw(st.integers(-49, 49))
        j.boot()
        truth.append(now)
        for _ in range(data.draw(st.integers(0, 6))):
            now += data.draw(st.integers(0, 10**7))
            uptime = (now - started) * (10**6 + ppm) // 10**6
            if data.draw(st.booleans()):
                error = data.draw(st.integers(1, 5000))
                j.clock(uptime, now + data.draw(st.integers(1 - error, error - 1)), error, data.draw(st.integers(1, 5)))
            else:
                j.scan(uptime)
            truth.append(now)
    for row in j.rows:
        row.received_ms = now
    for placed, moment in zip(place(j.rows), truth, strict=True):
        # The model of the crystal above rounds to whole ms.
        assert placed.earliest_ms - 2 <= moment <= placed.latest_ms + 2, placed


def test_a_month_of_records_is_placed_quickly() -> None:
    j = Journal()
    for number in range(20_000):
        if number % 150 == 0:
            j.clock(number * 1000, T0 + number * 1000)
        j.scan(number * 1000 + 1)
    placed: list[Placed] = place(j.rows)
    assert all(entry.latest_ms - entry.earliest_ms < 60 for entry in placed)
