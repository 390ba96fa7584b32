"""Where a whole door has its time from: clock chip, time server, modem, collector; which is believed, and what CLOCK says."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from host_tools.formats import records
from host_tools.simulator import scenario
from host_tools.simulator.certificates import server
from host_tools.simulator.far_end import COLLECTOR_IP
from host_tools.simulator.run import Run
from tests.system.one_door import ALONE, MOBILE, Played, fault, playing
from tests.system.payloads import Payloads, texts
from tests.system.test_system_time import scans, true_ms, within

RTC, NTP, COLLECTOR, MODEM = 1, 2, 3, 4
DAY_S = 86_400
HOUR_MS = 3_600_000
WIFI_DOOR = """
[[board]]
name = "gate"
hardware = "esp32-devkitc-4g"
drift_ppm = %d
config = { repeat_window_s = 0, heartbeat_s = 10, health_s = 10, %s }
"""


def sources(door: Played) -> list[int]:
    """The source of each CLOCK, in order, repeats left out."""
    found: list[int] = []
    for clock in door.told(records.CLOCK):
        if found[-1:] != [clock["source"]]:
            found.append(clock["source"])
    return found


def all_within(door: Played) -> bool:
    """True when each scan was when the centre says it was."""
    truth = true_ms(door.run, door.checkpoint)
    return all(within(record, truth[card]) for card, record in scans(door.placed))


@pytest.mark.parametrize("battery", [True, False])
def test_a_clock_chip_tells_a_boot_without_network_the_time_if_its_battery_lives(battery: bool) -> None:
    """The chip's crystal is 20 ppm fast. Two days lie between its being set and the boot that asks it; with a network that
    boot measures it."""
    on_again_s = 60 + 2 * DAY_S
    plan = WIFI_DOOR % (30, 'clock_chip = "ds3231"')
    plan += f"clock_chip = {{ drift_ppm = 20.0, battery = {str(battery).lower()} }}\n"
    plan += fault("wifi_down", 50, on_again_s + 100 - 50)
    plan += f'[[fault]]\nkind = "power_cut"\nat_ms = 60000\noff_ms = {2 * DAY_S * 1000}\n'
    later_ms = [(on_again_s + after_s) * 1000 for after_s in (20, 60, 170)]
    with playing(plan, on_again_s + 250, [20_000, *later_ms]) as door:
        door.until(55)
        assert door.ways.chip is not None
        assert abs(door.ways.chip.now_us() // 1000 - door.run.world.utc_ms()) < 300
        door.until(on_again_s + 15)
        # What TLS checks dates by, before anybody has answered: the year 2000 is where the chip's own clock begins.
        kept = door.checkpoint.board._keeping
        own_ms = 946_684_800_000 + (kept._rtc_base_us + door.run.world.kernel.now_us - kept._rtc_zero_us) // 1000
        assert (abs(own_ms - door.run.world.utc_ms()) < 10_000) == battery
    second = [record for card, record in scans(door.placed) if not card.startswith("0000")]
    assert len(second) == 3
    # Without a clock the later boot is placed by the network that comes back: its own CLOCK is then the collector's.
    assert sources(door) == ([COLLECTOR, RTC, COLLECTOR] if battery else [COLLECTOR])
    assert all_within(door)
    if battery:
        said = next(clock for clock in door.told(records.CLOCK) if clock["source"] == RTC)
        assert 8_640 < said["error_ms"] < 9_500, "50 ppm of two days: its drift was never measured"
        assert abs(door.health(15)[-1] - 200) < 20, "now it is, in 0.1 ppm"


def test_a_time_server_serves_while_the_centre_does_not() -> None:
    plan = WIFI_DOOR % (0, 'ntp = "pool.example"') + fault("collector_down", 0, 90)
    with playing(plan, 150, [20_000, 80_000, 120_000]) as door:
        door.until(60)
        assert door.ways.ntp.questions == 1
    assert sources(door)[0] == NTP and all_within(door)
    assert door.told(records.CLOCK)[0]["error_ms"] < 200


def test_a_time_server_that_lies_is_not_believed_against_the_centre() -> None:
    plan = WIFI_DOOR % (0, 'ntp = "pool.example"') + fault("collector_down", 0, 60) + fault("collector_down", 100, 20)
    with playing(plan, 160, [20_000, 80_000, 140_000]) as door:
        door.ways.ntp.ahead_ms = HOUR_MS
    assert sources(door) == [NTP, COLLECTOR]
    early, late = door.told(records.CLOCK)[0], door.told(records.CLOCK)[-1]
    assert early["unix_ms"] - late["unix_ms"] > HOUR_MS // 2


@pytest.mark.parametrize("chip", [False, True])
def test_a_time_server_that_lies_does_not_keep_a_door_from_its_centre(chip: bool) -> None:
    """Certificates are refused by the lie, so the day that was kept is tried; what the centre says then holds, and no lie that
    comes later is believed. The lie is not in the clock chip either."""
    plan = (WIFI_DOOR % (0, 'ntp = "pool.example"' + ', clock_chip = "ds3231"' * chip)).replace(
        'name = "gate"', 'name = "gate"\ncollector_url = "https://centre.example"'
    )
    plan += "clock_chip = {}\n" * chip + fault("collector_down", 0, 30) + fault("collector_down", 180, 40)
    plan += '[[fault]]\nkind = "power_cut"\nat_ms = 190000\noff_ms = 500\n'
    with playing(plan, 420, [20_000, 80_000, 220_000, 400_000]) as door:
        world = door.run.world
        shown = server(["centre.example"], world.authority, ("2020-01-01", "2040-01-01")).server_context()
        door.ways.wifi.hosts.by_address[COLLECTOR_IP].tls = shown
        door.ways.ntp.ahead_ms = 15 * 365 * DAY_S * 1000
        door.until(30)
        assert door.ways.ntp.questions == 1
        assert door.answered_over(door.ways.wifi, 60) <= 60
        door.until(150)
        if chip:
            assert door.ways.chip is not None
            assert abs(door.ways.chip.now_us() // 1000 - world.utc_ms()) < 1000
        door.until(220)
        assert door.answered_over(door.ways.wifi, 60) <= 60
    assert sources(door)[:2] == [NTP, COLLECTOR] and sources(door)[-1] == (RTC if chip else COLLECTOR)
    assert [note for note in door.notes() if "certificate" in note], "that was it"


@contextmanager
def https(config: str, valid_from: str, valid_to: str, seconds: int, more: str = "") -> Iterator[Played]:
    """A run whose collector shows a certificate of these days."""
    plan = (WIFI_DOOR % (0, config or "utc_offset_min = 420")).replace('name = "gate"', 'name = "gate"\ncollector_url = "https://centre.example"')
    with playing(plan + more, seconds, [20_000, 200_000]) as door:
        shown = server(["centre.example"], door.run.world.authority, (valid_from, valid_to)).server_context()
        door.ways.wifi.hosts.by_address[COLLECTOR_IP].tls = shown
        yield door


@pytest.mark.parametrize(("off_s", "ntp"), [(-6 * 365 * DAY_S, True), (9 * 365 * DAY_S, False)])
def test_a_centre_whose_clock_was_wrong_for_a_minute_is_found_again(off_s: int, ntp: bool) -> None:
    """A time before the image was built is nobody's; another is doubted once certificates have been refused for an hour."""
    config = 'ntp = "pool.example"' if ntp else ""
    with https(config, "2026-01-20", "2028-01-01", 4500) as door:
        collector = door.run.world.collector
        right = collector._clock_ms
        collector._clock_ms = lambda: right() + off_s * 1000
        door.until(60)
        assert door.ways.wifi.requests
        collector._clock_ms = right
        door.ways.wifi.drop_all()
        within_s = 120 if ntp else 4200
        assert door.answered_over(door.ways.wifi, within_s) <= within_s
        door.until(4400)
        assert door.answered_over(door.ways.wifi, 60) <= 60


def test_the_day_that_was_kept_is_what_a_boot_without_any_time_goes_by() -> None:
    """The image is thirty days old; the certificate was made since then, and the boot before had heard of the day."""
    with https("", "2020-01-01", "2040-01-01", 400, '[[fault]]\nkind = "power_cut"\nat_ms = 100000\noff_ms = 500\n') as door:
        door.until(99)
        assert door.ways.wifi.requests
        since = server(["centre.example"], door.run.world.authority, ("2026-03-02", "2040-01-01")).server_context()
        door.ways.wifi.hosts.by_address[COLLECTOR_IP].tls = since
        door.until(101)
        assert door.answered_over(door.ways.wifi, 40) <= 40


def test_a_stranger_at_boot_does_not_cost_a_board_the_time_of_its_clock_chip() -> None:
    """The chip was set, and this board does not know by whom; the certificate is newer than the image."""
    with https('clock_chip = "ds3231"', "2026-02-20", "2040-01-01", 400, "clock_chip = { set = true }\n") as door:
        door.ways.wifi.portal = True
        door.until(26)
        assert door.ways.wifi.requests == 0
        door.ways.wifi.portal = False
        assert door.answered_over(door.ways.wifi, 60) <= 60


@pytest.mark.parametrize("liar", ["chip", "ntp"])
def test_what_only_agrees_with_itself_is_doubted_at_once(liar: str) -> None:
    """The chip's own clock was set by the same clock chip, or by the same time server before a restart."""
    config = 'clock_chip = "ds3231"' if liar == "chip" else 'ntp = "pool.example"'
    more = "clock_chip = { set = true, ahead_ms = 63072000000 }\n" if liar == "chip" else fault("board_reset", 60)
    more += fault("collector_down", 0, 70)
    with https(config, "2020-01-01", "2028-01-01", 400, more) as door:
        door.ways.ntp.ahead_ms = 3 * 365 * DAY_S * 1000
        door.until(70)
        assert door.answered_over(door.ways.wifi, 120) <= 120


def test_an_expired_certificate_is_refused_by_a_time_that_two_agree_on() -> None:
    """And is believed by none; the card is not lost, it goes out to the certificate that comes in its place."""
    start = 'start = "2027-03-02T00:00:00Z"\n'
    plan = (WIFI_DOOR % (0, 'ntp = "pool.example", clock_chip = "ds3231"')).replace(
        'name = "gate"', 'name = "gate"\ncollector_url = "https://centre.example"'
    )
    text = f'name = "expired"\nseed = 11\nduration_s = 300\nsettle_s = 400\n{start}{plan}clock_chip = {{ set = true }}\n'
    with Run(scenario.parse(text + texts("gate", 0, [20_000])), album=Payloads()) as run:
        door = Played(run)
        yesterday_s = run.world.scenario.start_ms // 1000 - DAY_S
        # This board set the chip.
        door.checkpoint.board._keeping._nvs[b"chot\0kept"] = struct.pack("<qiIQ", yesterday_s, 0, 0, 0)
        good = door.ways.wifi.hosts.by_address[COLLECTOR_IP].tls
        expired = server(["centre.example"], run.world.authority, ("2020-02-20", "2027-02-15")).server_context()
        door.ways.wifi.hosts.by_address[COLLECTOR_IP].tls = expired
        door.until(200)
        assert door.ways.wifi.requests == 0 and door.ways.ntp.questions
        door.ways.wifi.hosts.by_address[COLLECTOR_IP].tls = good
        assert run.play().broken == [] and run.collected() == 1


@pytest.mark.parametrize("wrong", ["alarm", "forged", "years"])
def test_answers_that_are_none_tell_nothing(wrong: str) -> None:
    plan = WIFI_DOOR % (0, 'ntp = "192.168.4.9"') + fault("collector_down", 0, 90)
    with playing(plan, 260, [20_000, 200_000]) as door:
        server = door.ways.ntp
        server.alarm, server.forged = wrong == "alarm", wrong == "forged"
        server.ahead_ms = -400 * DAY_S * 1000 if wrong == "years" else 0
        door.until(89)
        assert server.questions > 1
    assert sources(door) == [COLLECTOR]


@pytest.mark.parametrize(("zone", "nitz"), [(28, True), (-14, True), (23, True), (28, False)])
def test_the_networks_time_serves_until_the_centre_answers(zone: int, nitz: bool) -> None:
    plan = MOBILE % (ALONE, f"zone_quarters = {zone}, nitz = {str(nitz).lower()}") + fault("collector_down", 0, 60)
    with playing(plan, 260, [20_000, 50_000, 200_000]) as door:
        door.until(1)
    assert sources(door) == ([MODEM, COLLECTOR] if nitz else [COLLECTOR])
    assert all_within(door)
    if nitz:
        assert door.told(records.CLOCK)[0]["error_ms"] < 11_000
