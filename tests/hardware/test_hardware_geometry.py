"""Reading distance, view, glare, heights: what the drawing and the mounting page promise follows from the measures."""

from __future__ import annotations

import math

import pytest

from host_tools.hardware.geometry import (
    BOX,
    DISTANCES_MM,
    PLACE,
    SHELF,
    card_fits,
    glare_margin_deg,
    mirrored_elevation_deg,
    shelf_edge_mm,
    shelf_reach_mm,
    view_mm,
    wall_holes_mm,
)


def test_the_card_lies_within_reading_distance_and_view() -> None:
    assert DISTANCES_MM == (150, 300) and DISTANCES_MM[0] <= PLACE.distance <= DISTANCES_MM[1]
    # The nearest and the farthest point of a card on the tilted mark.
    half = 27 * math.sin(math.radians(SHELF.tilt_deg))
    assert DISTANCES_MM[0] <= PLACE.distance - half and PLACE.distance + half <= DISTANCES_MM[1]
    assert all(card_fits(distance) for distance in (*DISTANCES_MM, PLACE.distance))
    assert not card_fits(120)  # nearer, a code at the card's rim is out of view


def test_what_the_module_sees() -> None:
    assert view_mm(200) == pytest.approx((126.1, 99.7), abs=0.1)


def test_the_modules_light_is_not_mirrored_into_its_lens() -> None:
    assert glare_margin_deg() >= 5
    assert glare_margin_deg(tilt_deg=15) < 0  # such a shelf would dazzle it
    assert glare_margin_deg(view_deg=(69, 56)) < 0  # a GM60 sees so wide that one corner does; docs/mounting.md says so


def test_what_is_mirrored_is_the_person_not_the_ceiling() -> None:
    low, high = mirrored_elevation_deg()
    assert 15 < low < high < 65
    # By tracing a ray: straight down, mirrored by the tilted card.
    tilt = math.radians(SHELF.tilt_deg)
    normal = (math.sin(tilt), math.cos(tilt))
    along = 2 * -normal[1]
    mirrored = (0 - along * normal[0], -1 - along * normal[1])
    assert math.degrees(math.atan2(mirrored[1], mirrored[0])) == pytest.approx((low + high) / 2)


def test_heights_and_reach() -> None:
    assert PLACE.mark == 950 and PLACE.window == 1150
    assert PLACE.window + BOX.height < 1400
    assert shelf_reach_mm() < 102  # ADA 2010, 307.2: what stands out of a wall by more catches people who cannot see


def test_the_mark_is_under_the_window() -> None:
    """The plate's upper edge, the way down the slope to the mark, and the window's distance from the wall agree."""
    down = shelf_edge_mm() / math.sin(math.radians(SHELF.tilt_deg))
    assert SHELF.thickness + down * math.cos(math.radians(SHELF.tilt_deg)) == pytest.approx(BOX.window_y)
    assert down + 27 < SHELF.length and down - 27 > 0  # the whole card is on the plate


def test_holes_in_the_wall() -> None:
    assert [(what, across, round(height)) for what, across, height in wall_holes_mm()] == [
        ("box", 50, 1298),
        ("box", 50, 1172),
        ("shelf", 30, 944),
        ("shelf", 30, 926),
    ]
