"""The power budget adds up, every figure says where it is from, and what was chosen is enough but not too much."""

from __future__ import annotations

import pytest

from host_tools.build.boards import BOARDS_DIR, board_names, load_board, parse_board
from host_tools.hardware.catalogue import catalogue, loads
from host_tools.hardware.power import (
    BUCK_EFFICIENCY,
    DROOP_V,
    FUSE_MARGIN,
    REACTION_S,
    SUPPLIES_12V_A,
    SUPPLY_MARGIN,
    budget,
)

THIN_WIRE_A = 3.5  # 0.25 mm² (AWG 24) as a single wire in a box

BUDGETS = {name: budget(load_board(name)) for name in board_names()}


def test_the_checkpoint_by_hand() -> None:
    """ESP32-DevKitC with scan module, three LEDs, driver and buzzer, from the figures of hardware/parts.toml."""
    chosen = BUDGETS["esp32-devkitc"]
    assert chosen.rest.five_ma == 120 + 160 + 11
    assert chosen.work.five_ma == 180 + 160 + 14 + 11 + 1 + 10
    assert chosen.peak.five_ma == 520 + 210 + 14 + 11 + 11 + 4 + 15
    assert (chosen.supply_v, chosen.supply_a, chosen.main_fuse_a, chosen.capacitor_uf) == (5, 2, 0.8, 470)
    assert chosen.buck is None and chosen.lock_fuse_a is None


def test_the_door_with_a_modem_by_hand() -> None:
    chosen = BUDGETS["lilygo-t-a7670"]
    five = 520 + 1910 + 210 + 60 + 4 + 15 + 72 + 4
    assert chosen.peak.five_ma == five
    assert chosen.peak.twelve_ma == pytest.approx(600 + 100 + five * 5 / 12 / 0.85)
    assert (chosen.supply_v, chosen.supply_a, chosen.main_fuse_a, chosen.lock_fuse_a) == (12, 3, 2.5, 1)
    assert chosen.buck is not None and chosen.buck.key == "buck-5a"


def test_two_scan_modules_draw_twice() -> None:
    assert BUDGETS["esp32-s3-devkitc-1"].rest.five["scanner"] == 320


@pytest.mark.parametrize("name", board_names())
def test_what_was_chosen_is_enough(name: str) -> None:
    chosen = BUDGETS[name]
    peak_a, work_a = chosen.supply_ma(chosen.peak) / 1000, chosen.supply_ma(chosen.work) / 1000
    assert chosen.supply_ma(chosen.rest) <= chosen.supply_ma(chosen.work) <= chosen.supply_ma(chosen.peak)
    assert peak_a * SUPPLY_MARGIN <= chosen.supply_a
    # The fuse carries work for ever and no peak blows it, but a short circuit does: the supply can give more than it holds.
    assert max(work_a * FUSE_MARGIN, peak_a) <= chosen.main_fuse_a < chosen.supply_a
    assert chosen.main_fuse_a <= THIN_WIRE_A
    step_a = (chosen.peak.five_ma - chosen.rest.five_ma) / 1000
    assert step_a * REACTION_S / (chosen.capacitor_uf * 1e-6) <= DROOP_V
    if chosen.buck:
        assert chosen.buck.amps >= chosen.work.five_ma / 1000 * SUPPLY_MARGIN
        assert chosen.buck.peak_amps >= chosen.peak.five_ma / 1000 * SUPPLY_MARGIN
        assert chosen.peak.buck_ma * 12 * BUCK_EFFICIENCY == pytest.approx(chosen.peak.five_ma * 5)
        # The lock's fuse goes before the main one: a lock that fails leaves the checkpoint running.
        assert chosen.lock_fuse_a is not None and 0.6 * FUSE_MARGIN <= chosen.lock_fuse_a < chosen.main_fuse_a


def test_the_modem_makes_the_peak() -> None:
    for name in ("lilygo-t-a7670", "lilygo-t-sim7600"):
        five = BUDGETS[name].peak.five
        modem = next(current for key, current in five.items() if key.startswith("modem"))
        assert modem > sum(five.values()) / 2


def test_every_current_says_where_it_is_from() -> None:
    for name in board_names():
        for part in loads(load_board(name)):
            assert len(part.source) > 10, part.key
            assert part.volts in (3.3, 5, 12)
            assert 0 <= part.rest_ma <= part.work_ma <= part.peak_ma or part.key == "led-blue"


def test_only_public_shop_pages_stand_for_vietnam() -> None:
    urls = [url for part in catalogue().values() for url in part.vietnam]
    assert urls and all(url.startswith(("https://hshop.vn/", "https://nshopvn.com/")) for url in urls)


def test_a_load_without_a_supply_is_no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host_tools.hardware.power.SUPPLIES_12V_A", SUPPLIES_12V_A[:1])
    with pytest.raises(ValueError, match="no 12 V supply of 2.59"):
        budget(load_board("lilygo-t-a7670"))


def test_an_absent_part_draws_nothing() -> None:
    text = (BOARDS_DIR / "esp32-devkitc-door.toml").read_text(encoding="utf-8")
    start, end = text.index("[voice]"), text.index("[door]")
    silent = budget(parse_board(text[:start] + text[end:], "esp32-devkitc-door"))
    assert BUDGETS["esp32-devkitc-door"].peak.five_ma - silent.peak.five_ma == 560
