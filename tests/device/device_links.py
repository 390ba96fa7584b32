"""The links manager inside MicroPython, by the second: what is dead, where it goes, when it comes back, whose bytes count."""

import asyncio

import uplink.links
from uplink.cellular import Budget
from uplink.links import Links

_MINUTE = 60000


class Over(Exception):
    """The time of the test is up."""


class World:
    """Time that passes only where somebody waits, and a shipper that asks as it is told and every minute."""

    TIMEOUT_MS = 30000

    def __init__(self, until_ms):
        self.ms = 0
        self.until_ms = until_ms
        self.links = None
        self.log = []  # (ms, name of the link in force or "")
        self.asked_ms = self.next_ms = 0
        self.asking = False
        self.patient = True  # the shipper asks when due() says so
        self.bytes = 500
        self.changes = []  # (ms, what to do)
        self.timeout_ms = self.TIMEOUT_MS

    def uptime_ms(self):
        return self.ms

    async def sleep_ms(self, ms):
        for _ in range(max(1, ms // 500)):
            self.ms += min(ms, 500)
            self.tick()
        if self.ms >= self.until_ms:
            raise Over

    def tick(self):
        while self.changes and self.changes[0][0] <= self.ms:
            self.changes.pop(0)[1]()
        links = self.links
        name = links._link.name if links.up() else ""
        if not self.log or self.log[-1][1] != name:
            self.log.append((self.ms, name))
            self.asking = False
        if not name:
            return
        if self.asking:
            if links._link.answers:
                self.asking = False
                links.answered(self.bytes)
            elif self.ms - self.asked_ms >= self.timeout_ms:
                self.asking = False
                links.unanswered()
        elif self.patient and links.allowed(False) and (links.due() or self.ms >= self.next_ms):
            self.asking = True
            self.asked_ms = self.ms
            self.next_ms = self.ms + _MINUTE
            links.asking()


class Way:
    """A link. `there`: it opens; `answers`: the collector is at its end."""

    def __init__(self, world, name, kind=1, metered=False):
        self.world = world
        self.name = name
        self.kind = kind
        self.metered = metered
        self.there = self.answers = True
        self.opened = 0
        self.is_open = False
        self.heard = []

    def up(self):
        return self.is_open and self.there

    def rssi(self):
        return -50

    def server(self):
        return "10.0.0.1"

    async def open(self, pulse):
        self.opened += 1
        await self.world.sleep_ms(2000 if self.there else 15000)
        self.is_open = self.there
        return self.is_open

    async def close(self, heard):
        self.heard.append(heard)
        self.is_open = False


def world_of(until_ms, *kinds, budget=None):
    """(world, ways): kinds like "wifi", "wifi", "4G"."""
    world = World(until_ms)
    uplink.links.asyncio = world
    ways = [Way(world, kind, 2 if kind == "4G" else 1, kind == "4G") for kind in kinds]
    world.links = Links(ways, world.uptime_ms, budget)
    return world, ways


def play(world):
    pulses = [0]

    def pulse():
        assert world.ms - pulses[0] <= 30000, "the supervisor waits"
        pulses[0] = world.ms

    try:
        asyncio.run(world.links.run(pulse))
    except Over:
        pass
    return world.log


def switched(log, name, after_ms):
    """When the link of that name came into force, after that."""
    for ms, found in log:
        if found == name and ms >= after_ms:
            return ms
    return None


def test_one_link_stays():
    world, (wifi,) = world_of(10 * _MINUTE, "wifi")
    log = play(world)
    assert [name for _, name in log] == ["", "wifi"] and wifi.opened == 1
    assert world.links.kind == 1 and world.links.rssi() == -50 and world.links.server() == "10.0.0.1"


def test_a_link_that_answers_nothing_is_left_within_a_minute_whatever_it_pretends():
    for timeout_ms in (500, 5000, 30000):
        for dies_ms in range(60000, 121000, 7000):
            world, (wifi, mobile) = world_of(dies_ms + 3 * _MINUTE, "wifi", "4G")
            world.timeout_ms = timeout_ms
            world.changes = [(dies_ms, lambda wifi=wifi: setattr(wifi, "answers", False))]
            log = play(world)
            assert switched(log, "4G", dies_ms) - dies_ms <= 60000, log
            assert wifi.heard == [True] and not wifi.is_open


def test_a_metered_link_that_answers_nothing_is_left_within_a_minute_too():
    world, (wifi, mobile) = world_of(10 * _MINUTE, "wifi", "4G")
    wifi.there = False
    world.changes = [(3 * _MINUTE, lambda: setattr(mobile, "answers", False))]
    play(world)
    gone = [ms for ms, name in world.log if name == "" and ms > 3 * _MINUTE]
    assert gone[0] - 3 * _MINUTE <= 62500


def test_a_link_that_is_gone_is_left_at_once_but_not_for_a_moment():
    world, (wifi, mobile) = world_of(5 * _MINUTE, "wifi", "4G")
    world.changes = [
        (60000, lambda: setattr(wifi, "there", False)), (65000, lambda: setattr(wifi, "there", True)),
        (120000, lambda: setattr(wifi, "there", False)),
    ]  # fmt: skip
    log = play(world)
    assert switched(log, "wifi", 60000) < 66000, "it came back by itself"
    assert 120000 < switched(log, "4G", 0) <= 120000 + 10000 + 2000 + 2000


def test_the_next_network_is_tried_and_all_of_them_again():
    world, ways = world_of(6 * _MINUTE, "a", "b", "c")
    for way in ways:
        way.there = False
    world.changes = [(4 * _MINUTE, lambda: setattr(ways[1], "there", True))]
    log = play(world)
    assert log[-1][1] == "b" and all([way.opened > 3 for way in ways[:2]])


def test_back_to_the_cheaper_link_after_five_minutes_then_ten_then_twenty():
    world, (wifi, mobile) = world_of(150 * _MINUTE, "wifi", "4G")
    wifi.answers = False
    log = play(world)
    tries = [ms for ms, name in log if name == "wifi"]
    waits = [(b - a) // _MINUTE for a, b in zip(tries[1:], tries[2:])]
    assert waits == [10, 20, 40, 60], waits
    assert not wifi.is_open or not mobile.is_open


def test_a_link_that_proved_itself_is_returned_to_soon():
    world, (wifi, mobile) = world_of(100 * _MINUTE, "wifi", "4G")
    wifi.answers = False
    world.changes = [
        (18 * _MINUTE, lambda: setattr(wifi, "answers", True)), (60 * _MINUTE, lambda: setattr(wifi, "answers", False)),
        (62 * _MINUTE, lambda: setattr(wifi, "answers", True)),
    ]  # fmt: skip
    log = play(world)
    assert switched(log, "wifi", 62 * _MINUTE) < 67 * _MINUTE
    last = log[-1]
    assert last[1] == "wifi"


def test_nothing_changes_just_after_something_urgent():
    world, (wifi, mobile) = world_of(12 * _MINUTE, "wifi", "4G")
    wifi.answers = False
    world.changes = [(ms, lambda: world.links.allowed(True)) for ms in range(4 * _MINUTE, 8 * _MINUTE, 20000)]
    log = play(world)
    assert switched(log, "wifi", 2 * _MINUTE) >= 8 * _MINUTE + 40000


def test_while_nobody_answers_each_gets_more_time():
    world, ways = world_of(60 * _MINUTE, "wifi", "4G")
    for way in ways:
        way.answers = False
    log = play(world)
    assert 35 <= ways[0].opened <= 45, ways[0].opened
    assert all([heard is False for way in ways for heard in way.heard])
    for (came_ms, name), (left_ms, _) in zip(log, log[1:]):
        assert not name or left_ms - came_ms <= 60000, "and none more than a minute"


def test_a_long_request_that_moves_keeps_its_link_for_a_while_and_not_for_ever():
    for moves_ms, left_ms in ((0, 20000), (5000, 55000), (30000, 20000)):
        world, (wifi, mobile) = world_of(4 * _MINUTE, "wifi", "4G")
        wifi.answers = False
        world.timeout_ms = 3 * _MINUTE
        if moves_ms:
            world.changes = [(ms, world.links.moving) for ms in range(moves_ms, 3 * _MINUTE, moves_ms)]
        log = play(world)
        took_ms = switched(log, "4G", 0) - switched(log, "wifi", 0)
        assert left_ms <= took_ms <= left_ms + 5000, (moves_ms, took_ms)


def test_what_moved_in_a_request_before_keeps_no_link():
    """A portal takes each request whole, however long, and answers it with its page."""
    world, (wifi, mobile) = world_of(4 * _MINUTE, "wifi", "4G")
    wifi.answers = False
    world.timeout_ms = 4000
    world.changes = [(ms, world.links.moving) for ms in range(3000, 3 * _MINUTE, 5000)]
    log = play(world)
    assert switched(log, "4G", 0) - switched(log, "wifi", 0) <= 60000


def test_a_shipper_that_may_not_ask_kills_no_link():
    world, (wifi, mobile) = world_of(10 * _MINUTE, "wifi", "4G")
    world.patient = False
    assert [name for _, name in play(world)] == ["", "wifi"]


class Kept:
    month = 0
    sent_bytes = 0


class Clock:
    unix_ms = 1772409600000  # 2026-03-02

    def __init__(self):
        self.trust = 4

    def known(self):
        return self.unix_ms is not None

    def now(self):
        return self.unix_ms, 5


def test_the_months_bytes_spare_what_is_urgent():
    clock, kept = Clock(), Kept()
    budget = Budget(2000, kept, clock)
    world, (wifi, mobile) = world_of(6 * _MINUTE, "wifi", "4G", budget=budget)
    wifi.there = False
    play(world)
    links = world.links
    assert kept.sent_bytes == 2000 and kept.month == 2026 * 12 + 3, "bytes of a request each, until none is left"
    assert links.up() and not links.allowed(False) and links.allowed(True) and not links.due()
    clock.unix_ms += 31 * 86400000
    assert links.allowed(False) and kept.sent_bytes == 0, "a new month"
    kept.sent_bytes = 3000
    assert not links.allowed(False)
    clock.trust = 3
    clock.unix_ms += 31 * 86400000
    assert links.allowed(False) and kept.sent_bytes == 3000, "anybody may have said so: the collector is to be asked"
    clock.trust = 4
    clock.unix_ms -= 31 * 86400000
    assert not links.allowed(False), "and says no"
    clock.unix_ms -= 62 * 86400000
    assert links.allowed(False) and kept.sent_bytes == 0, "its clock was wrong before"
    clock.unix_ms = None
    kept.sent_bytes = 3000
    assert not links.allowed(False), "the month is not known: the last one goes on"


def test_bytes_over_a_link_that_costs_nothing_are_not_counted():
    kept = Kept()
    world, _ = world_of(5 * _MINUTE, "wifi", "4G", budget=Budget(2000, kept, Clock()))
    play(world)
    assert kept.sent_bytes == 0
