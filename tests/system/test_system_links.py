"""Networks that come and go under a whole door: access points, a modem in every state it can be found in, and no scan lost."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from host_tools.bench.uplink import backlog
from host_tools.cards import people
from host_tools.simulator import scenario
from host_tools.simulator.connection import LinkOptions
from host_tools.simulator.modem import COMMAND, DATA, ModemOptions
from host_tools.simulator.run import REPOSITORY_FIRMWARE, Run
from host_tools.simulator.scenario import BoardPlan
from tests.system.one_door import ALONE, MOBILE, WIFI, Played, fault, playing
from tests.system.payloads import Payloads, texts


def test_an_access_point_restarts_and_only_a_fresh_radio_finds_it_again() -> None:
    plan = WIFI % '{ ssid = "cho", password = "mot-hai-ba" }'
    plan += 'access_points = [{ ssid = "cho", password = "mot-hai-ba", wedges = true, rssi_dbm = -71 }]\n'
    plan += fault("wifi_down", 20, 40)
    with playing(plan, 130, [10_000, 40_000, 90_000]) as door:
        door.until(60)
        assert door.answered_over(door.ways.wifi, 45) < 45
    assert door.ways.station.associations == 2
    assert set(door.health(6)) == {-71}


def test_networks_are_tried_in_order_hidden_ones_and_one_without_dhcp_among_them() -> None:
    networks = [
        '{ ssid = "gone", password = "mot-hai-ba" }',
        '{ ssid = "hidden", password = "mot-hai-ba" }',
        '{ ssid = "fixed", password = "mot-hai-ba", static = ["10.0.0.9", "255.255.255.0", "10.0.0.1", "10.0.0.1"] }',
    ]
    plan = WIFI % ", ".join(networks)
    plan += 'access_points = [{ ssid = "hidden", password = "mot-hai-ba", hidden = true }, '
    plan += '{ ssid = "fixed", password = "mot-hai-ba", dhcp = false }]\n' + fault("wifi_down", 60, ssid="hidden")
    with playing(plan, 150, [10_000, 50_000, 120_000]) as door:
        station = door.ways.station
        door.until(40)
        assert station._at is not None and station._at.ssid == "hidden" and ("", -58) in station.seen()
        door.until(130)
        assert station._at is not None and station._at.ssid == "fixed"


def test_wifi_that_passes_nothing_is_left_within_a_minute_and_returned_to() -> None:
    """The first way back is tried too early and costs time; the second comes after twice the wait."""
    plan = MOBILE % ("", "") + fault("wifi_dead", 100, 380)
    with playing(plan, 1200, [20_000, 105_000, 150_000, 600_000, 1_150_000]) as door:
        door.until(99)
        assert door.ways.wifi.requests and not door.mobile.requests and door.modem.registered(), "it stands by"
        door.until(100)
        assert door.answered_over(door.mobile, 60) <= 60
        assert not door.ways.station.associated, "one link at a time"
        door.until(420)
        assert door.ways.cellular.associations == 1, "no way back before five minutes"
        door.until(700)
        assert door.ways.cellular.associations == 2 and door.ways.station.associations == 2, "tried, found dead, left"
        door.until(1100)
        assert door.ways.station.associated and not door.ways.cellular.associated
    kinds = door.health(5)
    assert kinds[0] == 1 and 2 in kinds and kinds[-1] == 1


def test_https_by_name_over_either_link_with_everything_fitted() -> None:
    """All of it in the heap of a plain ESP32, TLS's own memory included."""
    parts = 'ntp = "pool.example", clock_chip = "ds3231",'
    plan = (MOBILE % (parts, "")).replace('name = "gate"', 'name = "gate"\ncollector_url = "https://centre.example"')
    plan += "clock_chip = {}\n" + fault("wifi_dead", 60)
    with playing(plan, 150, [20_000, 100_000]) as door:
        door.until(59)
        assert door.ways.wifi.requests and not door.mobile.requests
        door.until(61)
        assert door.answered_over(door.mobile, 60) <= 60


URGENT = """
[[board]]
name = "gate"
hardware = "lilygo-t-a7670"
collector_url = "https://centre.example"
deny = ["cccd,%s"]
config = { repeat_window_s = 0, health_s = 3600, heartbeat_s = 3600, wifi = [], lists = ["deny"], cellular = { apn = "x" } }
modem = {}
"""
HAND = '[[passage]]\nboard = "gate"\nat_ms = 200000\nkind = "%s"\n'
CARD = '[[show]]\nboard = "gate"\nat_ms = 200000\nperson = %d\nkind = "cccd"\n'


@pytest.mark.parametrize(
    ("more", "urgent"),
    [
        pytest.param(CARD % 2, False, id="an ordinary scan"),
        pytest.param(CARD % 1, True, id="a deny hit"),
        pytest.param(HAND % "help", True, id="the help button"),
        pytest.param(HAND % "walk", True, id="a forced door"),
        pytest.param(CARD % 2 + HAND.replace("200000", "202000") % "walk" + "scanned = true\n", False, id="who may pass"),
    ],
)
def test_on_a_metered_link_only_what_is_urgent_does_not_wait(more: str, urgent: bool) -> None:
    text = 'name = "urgent"\nseed = 12\nduration_s = 300\nsettle_s = 100\nheap = "150wK"\n'
    text += URGENT % people.person(1).id_number + more
    with Run(scenario.parse(text)) as run:
        door = Played(run)
        door.until(199)
        assert door.modem.state == DATA and door.mobile.requests > 0
        took_s = door.answered_over(door.mobile, 90)
        assert took_s < 6 if urgent else 40 < took_s < 70
        assert run.play().broken == []


def test_a_slow_network_gets_a_backlog_out_in_pieces_that_it_can_answer() -> None:
    """64 KiB take 9 kbit/s longer than a link may be silent; so the next request is half as long, and so are those after it."""
    plan = BoardPlan(
        "gate",
        hardware="esp32-devkitc-4g",
        collector_url="https://centre.example",
        mobile=LinkOptions(latency_ms=400, bandwidth_kbit_s=9),
        modem=ModemOptions(running=True),
        config={"wifi": [], "cellular": {"apn": "x"}},
    )
    with Run(scenario.Scenario(name="slow", boards=[plan], duration_s=400)) as run:
        door = Played(run)
        backlog(door.checkpoint, 4_000)
        door.waits_for(lambda: run.collected() == 4_000, 260)
        assert door.ways.cellular is not None and door.ways.cellular.associations == 2


def test_a_network_that_denies_us_is_asked_again_and_reported() -> None:
    plan = MOBILE % (ALONE, "") + fault("mobile_denied", 0, 70)
    with playing(plan, 150, [20_000, 100_000]) as door:
        door.until(70)
        assert door.mobile.requests == 0
        assert door.answered_over(door.mobile, 60) <= 60
    assert door.notes().count("modem: registration denied") == 1


def test_a_board_that_restarts_finds_its_modem_still_in_the_call() -> None:
    plan = MOBILE % (ALONE, "") + fault("board_reset", 60)
    with playing(plan, 120, [40_000, 80_000]) as door:
        door.until(60.5)
        assert door.modem.state == DATA
        assert door.answered_over(door.mobile, 30) <= 30
        assert door.modem.boots == 1 and door.modem.presses == 1, "nobody pressed its power key for that"


@pytest.mark.parametrize(("modem", "baud"), [("", 921_600), ("fast = false", 115_200), ("wires_baud = 460800", 115_200)])
def test_a_modem_is_spoken_to_as_fast_as_it_and_its_wires_go(modem: str, baud: int) -> None:
    """A modem that wires have cut off at the faster rate is restarted; the second time it is asked for it no more."""
    with playing(MOBILE % (ALONE, modem), 400, [20_000, 300_000]) as door:
        door.until(1)
        assert door.answered_over(door.mobile, 300) <= (300 if "wires" in modem else 60)
        assert door.modem.baud == baud and door.modem.state == DATA
    assert door.modem.boots == (3 if "wires" in modem else 1)


def test_wires_too_noisy_for_ppp_alone_are_noticed_too() -> None:
    """Commands get through and nothing else does: after some troubles the slower rate is tried."""
    with playing(MOBILE % (ALONE, ""), 900, [20_000, 800_000]) as door:
        assert door.ways.cellular is not None
        door.modem.options.wires_baud = 921_600
        agree = door.ways.cellular._agree
        door.ways.cellular._agree = lambda: door.modem.baud < 921_600 and agree()  # type: ignore[method-assign]
        door.until(1)
        assert door.answered_over(door.mobile, 700) <= 700
        assert door.modem.baud == 115_200


def test_a_modem_on_when_the_board_gets_its_power_is_not_switched_off() -> None:
    with playing(MOBILE % (ALONE, "running = true"), 60, [30_000]) as door:
        door.until(50)
        assert door.modem.boots == 1 and door.modem.state == DATA


def test_a_brown_out_of_the_modem_is_noticed_and_survived() -> None:
    plan = MOBILE % (ALONE, "") + fault("modem_brown_out", 60)
    with playing(plan, 180, [40_000, 62_000, 150_000]) as door:
        door.until(61)
        took_s = door.answered_over(door.mobile, 115)
        assert door.modem.boots == 2 and took_s <= 115


def test_ppp_that_is_up_and_passes_nothing_is_dialled_again() -> None:
    plan = MOBILE % (ALONE, "") + fault("mobile_dead", 60, 100)
    with playing(plan, 260, [40_000, 80_000, 200_000]) as door:
        door.until(60)
        calls = door.modem.calls
        door.waits_for(lambda: door.modem.calls > calls, 80)
        door.until(160)
        assert door.answered_over(door.mobile, 60) <= 60


def test_a_sim_that_is_seen_only_after_a_power_cycle_gets_one() -> None:
    with playing(MOBILE % (ALONE, 'sim = "missing"'), 420, [20_000, 400_000]) as door:
        door.waits_for(lambda: door.modem.boots == 2, 300)
        door.modem.options.sim = "ready"
        assert door.answered_over(door.mobile, 60) <= 60
        assert door.modem.presses == 3, "on, off, on"
    assert door.notes().count("modem: SIM: none") == 1


def test_a_sim7600_serves_as_well_and_a_sim_card_with_a_pin() -> None:
    plan = (MOBILE % (ALONE, 'kind = "sim7600", sim = "pin", slow_us = 2000000')).replace(
        'modem = "a7670", apn', 'modem = "sim7600", pin = "1234", apn'
    )
    with playing(plan, 120, [60_000]) as door:
        door.until(100)
        assert door.modem.state in (COMMAND, DATA)
    assert door.modem.log.count('AT+CPIN="1234"') == 1


@pytest.mark.parametrize("what", ["portal", "forging"])
def test_what_takes_a_whole_request_and_answers_it_with_its_own_keeps_no_door_from_4g(what: str) -> None:
    """A backlog that takes longer than what the chip sends unacknowledged: bytes move, and it is nobody all the same."""
    cards_ms = [10_000 + 1_500 * number for number in range(160)]
    plan = (MOBILE % ('other_codes = "record",', "")) + fault("collector_down", 0, 255)
    with playing(plan, 420, cards_ms) as door:
        door.until(240)
        setattr(door.ways.wifi, what, True)
        door.until(256)
        assert door.run.collected() == 0
        door.waits_for(lambda: door.run.collected() == 160, 120)
        assert door.mobile.requests and not door.ways.station.associated
        setattr(door.ways.wifi, what, False)


@pytest.mark.parametrize("kind", ["collector_down", "mobile_dead"])
def test_after_an_outage_the_modem_is_soon_as_fast_as_it_was(kind: str) -> None:
    """It may have been the wires, so the slower rate was tried; it was not."""
    with playing(MOBILE % (ALONE, "") + fault(kind, 60, 900), 3000, [20_000, 2_900_000]) as door:
        door.until(59)
        assert door.modem.baud == 921_600
        door.until(961)
        assert door.answered_over(door.mobile, 240) <= 240
        door.until(2800)
        assert door.modem.baud == 921_600 and door.modem.boots <= 4
        assert door.answered_over(door.mobile, 60) <= 60


def test_wires_that_pass_no_packet_though_ppp_is_up_are_noticed() -> None:
    with playing(MOBILE % (ALONE, ""), 3400, [20_000, 3_000_000]) as door:
        carrier = door.ways.cellular
        assert carrier is not None
        agree = carrier._agree
        carrier._agree = lambda: (door.modem.baud < 921_600 or not carrier.associated) and agree()  # type: ignore[method-assign]
        door.until(1)
        assert door.answered_over(door.mobile, 1500) <= 1500
        assert door.modem.baud == 115_200


def test_a_brown_out_while_a_pin_is_entered_loses_no_pin() -> None:
    plan = (MOBILE % (ALONE, 'sim = "pin"')).replace('apn = "', 'pin = "1234", apn = "')
    with playing(plan, 300, [250_000]) as door:
        door.waits_for(lambda: 'AT+CPIN="1234"' in door.modem.log, 60)
        door.modem.brown_out()
        assert door.answered_over(door.mobile, 200) <= 200
        assert door.modem.pin_tries == 3


def test_what_config_asks_for_and_the_board_has_not_is_told_and_left_out() -> None:
    wifi = '{ ssid = "cho", password = "mot-hai-ba" }], cellular = { apn = "x" }, clock_chip = "ds3231", ntp = "a.b"'
    with playing((WIFI % wifi).replace('"a.b"]', '"a.b"'), 40, [20_000]) as door:
        door.until(1)
    assert sorted(note for note in door.notes() if "board" in note) == [
        "cellular: this board has no modem pins",
        "clock_chip: this board has no I2C pins",
    ]


@pytest.mark.parametrize("password", ["mat-khau-sim", "sai-roi"])
def test_ppp_gives_user_and_password_where_the_network_wants_them(password: str) -> None:
    """And tells neither to anybody: the judge of a run looks for them in the console and in what the centre was told."""
    given = f'user = "khach", password = "{password}", apn = "'
    plan = (MOBILE % (ALONE, 'pap = "khach:mat-khau-sim"')).replace('apn = "', given)
    text = f'name = "pap"\nseed = 3\nduration_s = 200\nsettle_s = 0\n{plan}' + texts("gate", 0, [20_000])
    with Run(scenario.parse(text), album=Payloads()) as run:
        outcome = run.play()
        right = password == "mat-khau-sim"
        assert (run.collected() == 1) is right and (outcome.broken == []) is right
        assert (b"modem: PPP refused" in run.world.checkpoints["gate"].board.console()) is not right


def test_passwords_that_are_told_break_a_promise(tmp_path: Path) -> None:
    tree = tmp_path / "firmware"
    shutil.copytree(REPOSITORY_FIRMWARE, tree)
    wifi = tree / "uplink" / "wifi.py"
    source = wifi.read_text(encoding="utf-8")
    said = source.replace("        wlan = self._wlan\n", "        wlan = self._wlan\n        print(self._network)\n")
    assert said != source
    wifi.write_text(said, encoding="utf-8")
    text = 'name = "told"\nseed = 3\nduration_s = 30\nsettle_s = 10\n' + WIFI % '{ ssid = "cho", password = "mot-hai-ba" }'
    with Run(scenario.parse(text), album=Payloads(), firmware=tree) as run:
        assert [line for line in run.play().broken if "wifi password" in line]


def test_the_order_of_links_is_configs() -> None:
    plan = MOBILE % ('links = ["cellular", "wifi"], ', "")
    with playing(plan, 200, [20_000, 100_000]) as door:
        door.until(99)
        assert door.mobile.requests and not door.ways.wifi.requests
    assert set(door.health(6)) == {-77}, "the modem's signal"


SPENT = struct.pack("<qiIQ", 0, 0, 2026 * 12 + 3, 999_000)  # firmware/kept.py: of this month, but for a thousandth of a MB


@pytest.mark.parametrize("month", [2, 15])
def test_bytes_spent_in_another_month_keep_no_door_from_hearing_that_it_is_over(month: int) -> None:
    """The last one's, or one that a wrong clock named: nobody but the 4G network says what month it is."""
    plan = (MOBILE % (ALONE, "")).replace("apn =", "budget_mb = 1, apn =")
    text = f'name = "month"\nseed = 12\nstart = "2026-03-02T00:00:00Z"\nduration_s = 150\nsettle_s = 100\n{plan}'
    with Run(scenario.parse(text + texts("gate", 0, [50_000])), album=Payloads()) as run:
        door = Played(run)
        door.checkpoint.board._keeping._nvs[b"chot\0kept"] = struct.pack("<qiIQ", 0, 0, 2026 * 12 + month, 2_000_000)
        assert run.play().broken == [] and run.collected() == 1 and door.mobile.requests


def test_when_the_months_bytes_are_spent_only_what_is_urgent_goes_out() -> None:
    """What is left of them is a request or two; then a card waits for cheaper days, and a deny hit does not."""
    plan = (MOBILE % ('lists = ["deny"], ntp = "pool.example", ', "")).replace("apn =", "budget_mb = 1, apn =")
    plan = plan.replace('name = "gate"', f'name = "gate"\ndeny = ["cccd,{people.person(1).id_number}"]')
    plan += fault("wifi_down", 0, 400) + (CARD % 1).replace("200000", "300000")
    text = f'name = "budget"\nseed = 12\nstart = "2026-03-02T00:00:00Z"\nduration_s = 500\nsettle_s = 400\n{plan}'
    with Run(scenario.parse(text + texts("gate", 0, [150_000])), album=None) as run:
        door = Played(run)
        door.checkpoint.board._keeping._nvs[b"chot\0kept"] = SPENT
        door.until(140)
        assert door.mobile.requests
        door.until(299)
        assert run.beeped() == 1 and run.collected() == 0, "a card may cost no more this month"
        assert door.answered_over(door.mobile, 12) <= 12
        door.until(320)
        assert run.collected() == 2, "with what is urgent goes all that waits"
        assert run.play().broken == []


def test_a_wrong_pin_is_tried_once() -> None:
    plan = (MOBILE % (ALONE, 'sim = "pin"')).replace('apn = "', 'pin = "9999", apn = "')
    text = 'name = "pin"\nseed = 3\nduration_s = 600\nsettle_s = 0\n' + plan
    with Run(scenario.parse(text), album=Payloads()) as run:
        run.play()
        door = Played(run)
        assert door.modem.log.count('AT+CPIN="9999"') == 1 and door.modem.calls == 0
