"""Records in time: bounds that hold the truth, no tighter than the clocks allow, and none invented."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from documented_time import Clock, as_promised

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


class BoardClock:
    """A board's clock in whole numbers: its crystal is off by `ppm`, uptimes are cut to ms, and it learns the time from
    replies that may have been on the way for long in either direction. True times are in microseconds."""

    def __init__(self, started_us: int, ppm: int) -> None:
        self._started_us = started_us
        self._ppm = ppm
        self._reading: tuple[int, int, int] | None = None  # uptime, UTC, error

    def uptime_ms(self, at_us: int) -> int:
        passed_us = at_us - self._started_us
        return (passed_us + passed_us * self._ppm // 1_000_000) // 1000

    def exchange(self, sent_us: int, served_us: int, received_us: int) -> None:
        half = (self.uptime_ms(received_us) - self.uptime_ms(sent_us)) // 2 + 1
        unix_ms, error_ms = served_us // 1000 + half, half + 2  # both sides cut to ms, and the crystal drifts meanwhile
        known = self.now(received_us)
        if known is None or error_ms < known[1] or abs(unix_ms - known[0]) > known[1] + error_ms:
            self._reading = self.uptime_ms(received_us), unix_ms, error_ms

    def now(self, at_us: int) -> tuple[int, int] | None:
        if self._reading is None:
            return None
        read_ms, unix_ms, error_ms = self._reading
        age = self.uptime_ms(at_us) - read_ms
        return unix_ms + age, error_ms + age * 50 // 1_000_000 + 1


def a_life(rng: random.Random, j: Journal) -> list[int]:
    """Boots with records and CLOCKs at random moments, seconds or days apart; the true times of the records, in us."""
    truth: list[int] = []
    now_us = T0 * 1000 + rng.randrange(1_000_000)
    for _ in range(rng.randint(1, 3)):
        now_us += rng.randrange(10**10)
        clock = BoardClock(now_us, rng.choice([-50, 50, rng.randint(-50, 50)]))
        j.boot()
        truth.append(now_us)
        for _ in range(rng.randint(0, 10)):
            now_us += rng.randrange(1, rng.choice([10**4, 10**7, 10**11]))
            known = clock.now(now_us)
            what = rng.random()
            if what < 0.4:
                round_trip_us = rng.randrange(1000, rng.choice([10**5, 3 * 10**7]))
                there_us = rng.choice([0, round_trip_us, rng.randrange(round_trip_us)])
                now_us += round_trip_us
                clock.exchange(now_us - round_trip_us, now_us - round_trip_us + there_us, now_us)
                continue
            if what < 0.6 and known is not None:
                j.clock(clock.uptime_ms(now_us), *known)
            else:
                j.scan(clock.uptime_ms(now_us))
            truth.append(now_us)
    for row in j.rows:
        row.received_ms = now_us // 1000 + 1
    return truth


def test_the_truth_lies_within_the_bounds_and_they_are_no_wider_than_promised() -> None:
    """To the microsecond, with crystals off by up to 50 ppm, whatever the network did to the replies."""
    timed = untimed = 0
    for seed in range(700):
        j = Journal()
        truth = a_life(random.Random(seed), j)
        placed = place(j.rows)
        for record, moment_us in zip(placed, truth, strict=True):
            assert record.earliest_ms * 1000 <= moment_us <= record.latest_ms * 1000, (seed, record)
            clocks: list[Clock] = [
                (said["uptime_ms"], said["unix_ms"], said["error_ms"])
                for other in placed
                if other.boot == record.boot and (said := other.decoded) is not None and said["kind"] == records.CLOCK
            ]
            assert record.timed == bool(clocks)
            if record.timed and record.decoded is not None:
                uptime_ms = record.decoded["uptime_ms"]
                assert as_promised(clocks, uptime_ms, record.earliest_ms, record.latest_ms), (seed, record)
            timed, untimed = timed + record.timed, untimed + (not record.timed)
    assert timed > 2000 and untimed > 300


def test_a_month_of_records_is_placed_quickly() -> None:
    j = Journal()
    for number in range(20_000):
        if number % 150 == 0:
            j.clock(number * 1000, T0 + number * 1000)
        j.scan(number * 1000 + 1)
    placed: list[Placed] = place(j.rows)
    assert all(entry.latest_ms - entry.earliest_ms < 60 for entry in placed)
