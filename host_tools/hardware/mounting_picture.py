"""Draws how a checkpoint hangs: seen from the side with heights and light, and from the front with the holes to drill."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from host_tools.hardware.geometry import (
    BOX,
    DISTANCES_MM,
    PLACE,
    SHELF,
    mirrored_elevation_deg,
    shelf_edge_mm,
    shelf_reach_mm,
    view_mm,
    wall_holes_mm,
)
from host_tools.hardware.stamp import line

_WIDTH, _HEIGHT = 1240, 980
_FLOOR = 900.0
_SIDE = 0.45  # pixels a millimetre, from the side
_FRONT = 1.0  # and from the front
_WALL_X = 120.0
_INK = "#1c2420"
_MEASURE = "#3b6fb6"


def _text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def _across(x: float, start: float, end: float, words: tuple[str, str] | str, side: str = "end") -> list[str]:
    """A vertical measure between two heights in pixels."""
    middle, step = (start + end) / 2, (-10 if side == "end" else 10)
    lines = (words,) if isinstance(words, str) else words
    out = [
        f'<path d="M{x - 6} {start:.0f}h12M{x - 6} {end:.0f}h12M{x} {start:.0f}V{end:.0f}" stroke="{_MEASURE}" '
        'stroke-width="1.5" fill="none"/>'
    ]
    first = middle + 5 - 9 * (len(lines) - 1)
    return out + [_text(x + step, first + 18 * at, each, side, f' fill="{_MEASURE}"') for at, each in enumerate(lines)]


def _from_the_side() -> list[str]:
    def x(mm: float) -> float:
        return _WALL_X + 60 + mm * _SIDE

    def y(mm: float) -> float:
        return _FLOOR - mm * _SIDE

    tilt = math.radians(SHELF.tilt_deg)
    edge = PLACE.mark + shelf_edge_mm()
    reach = shelf_reach_mm()
    front = edge - SHELF.length * math.sin(tilt)
    wide = view_mm(PLACE.distance)[1] / 2
    low, high = mirrored_elevation_deg()
    mark = (x(BOX.window_y), y(PLACE.mark))
    ray = 470.0
    (x1, y1), (x2, y2) = (
        (mark[0] + ray * math.cos(math.radians(angle)), mark[1] - ray * math.sin(math.radians(angle))) for angle in (low, high)
    )
    out = [
        _text(40, 84, "Nhìn từ bên · from the side", more=' font-weight="600" font-size="17"'),
        f'<rect x="{x(-60):.0f}" y="120" width="{60 * _SIDE:.0f}" height="{_FLOOR - 120:.0f}" fill="#cfd6d1"/>',
        f'<path d="M40 {_FLOOR}H800" stroke="{_INK}" stroke-width="3"/>',
        # From here light is mirrored by a card into the lens.
        f'<path d="M{mark[0]:.0f} {mark[1]:.0f}L{x1:.0f} {y1:.0f}A{ray} {ray} 0 0 0 {x2:.0f} {y2:.0f}z" '
        'fill="#fbe3c8" fill-opacity="0.75" stroke="#e0a526" stroke-dasharray="6 4"/>',
        # What the scan module sees.
        f'<path d="M{x(BOX.window_y):.0f} {y(PLACE.window):.0f}L{x(BOX.window_y - wide):.0f} {y(PLACE.mark):.0f}'
        f'H{x(BOX.window_y + wide):.0f}z" fill="#f0c9b8" stroke="#c9492f"/>',
        f'<rect x="{x(0):.0f}" y="{y(PLACE.window + BOX.height):.0f}" width="{BOX.depth * _SIDE:.0f}" '
        f'height="{BOX.height * _SIDE:.0f}" rx="3" fill="#8fa79a" stroke="{_INK}"/>',
        f'<circle cx="{x(BOX.depth):.0f}" cy="{y(PLACE.lamp):.0f}" r="5" fill="#1d7a46" stroke="{_INK}"/>',
        f'<path d="M{x(0):.0f} {y(edge):.0f}L{x(reach):.0f} {y(front):.0f}v-4" stroke="#9a6b3f" stroke-width="5" fill="none"/>',
        f'<path d="M{x(2):.0f} {y(edge + 8):.0f}V{y(edge - SHELF.plate + 8):.0f}" stroke="#9a6b3f" stroke-width="4"/>',
    ]
    # A person who stands, one in a wheelchair: eyes where the light would be mirrored from, hands at the shelf.
    out += _standing(x(720), y) + _sitting(x(1010), y)
    out += _across(90, y(PLACE.mark), _FLOOR, (f"{PLACE.mark:.0f}", "mm"))
    distances = (f"{PLACE.distance:.0f} mm", f"({DISTANCES_MM[0]}–{DISTANCES_MM[1]})")
    out += _across(x(190), y(PLACE.window), y(PLACE.mark), distances, "start")
    out += [
        f'<path d="M{x(40):.0f} {y(PLACE.mark):.0f}H{x(200):.0f}M{x(70):.0f} {y(PLACE.window):.0f}H{x(200):.0f}" '
        f'stroke="{_MEASURE}" stroke-dasharray="3 4"/>',
        _text(x(80), y(PLACE.lamp) - 34, f"đèn · lamp {PLACE.lamp:.0f} mm"),
        f'<path d="M{x(72):.0f} {y(PLACE.lamp) - 4:.0f}L{x(84):.0f} {y(PLACE.lamp) - 26:.0f}" stroke="{_INK}"/>',
        _text(x(reach + 12), y(front) + 22, "giá ra khỏi tường"),
        _text(x(reach + 12), y(front) + 40, f"shelf reach {reach:.0f} mm"),
        _text(x(800), 110, "Không để đèn, cửa sổ, mặt trời trong vùng này", more=' fill="#8a5a10"'),
        _text(x(800), 130, "no lamp, window or sun in this zone", more=' fill="#8a5a10"'),
        _text(x(800), 150, f"{low:.0f}°–{high:.0f}° so với phương ngang · above level", more=' fill="#8a5a10"'),
    ]
    return out


def _standing(x: float, at: Callable[[float], float]) -> list[str]:
    """A grown-up; `at` turns heights into pixels."""
    return [
        f'<circle cx="{x:.0f}" cy="{at(1560):.0f}" r="36" fill="#5c6a62" fill-opacity="0.55"/>',
        f'<path d="M{x - 34:.0f} {at(1440):.0f}Q{x:.0f} {at(1500):.0f} {x + 34:.0f} {at(1440):.0f}L{x + 30:.0f} {at(850):.0f}'
        f'L{x + 26:.0f} {at(0):.0f}H{x - 26:.0f}L{x - 30:.0f} {at(850):.0f}z" fill="#5c6a62" fill-opacity="0.55"/>',
        f'<path d="M{x - 26:.0f} {at(1380):.0f}L{x - 60:.0f} {at(1130):.0f}L{x - 160:.0f} {at(1000):.0f}" stroke="#5c6a62" '
        'stroke-width="16" stroke-linecap="round" stroke-linejoin="round" fill="none" stroke-opacity="0.55"/>',
    ]


def _sitting(x: float, at: Callable[[float], float]) -> list[str]:
    """A person in a wheelchair."""
    return [
        f'<circle cx="{x:.0f}" cy="{at(1190):.0f}" r="34" fill="#3b6fb6" fill-opacity="0.45"/>',
        f'<path d="M{x - 30:.0f} {at(1080):.0f}Q{x:.0f} {at(1130):.0f} {x + 30:.0f} {at(1080):.0f}L{x + 34:.0f} {at(480):.0f}'
        f'H{x - 150:.0f}V{at(120):.0f}H{x - 190:.0f}V{at(590):.0f}H{x - 30:.0f}z" fill="#3b6fb6" fill-opacity="0.45"/>',
        f'<circle cx="{x + 6:.0f}" cy="{at(300):.0f}" r="132" fill="none" stroke="#34423a" stroke-width="5"/>',
        f'<circle cx="{x - 150:.0f}" cy="{at(95):.0f}" r="40" fill="none" stroke="#34423a" stroke-width="5"/>',
        f'<path d="M{x - 24:.0f} {at(1040):.0f}L{x - 80:.0f} {at(880):.0f}L{x - 200:.0f} {at(930):.0f}" stroke="#3b6fb6" '
        'stroke-width="15" stroke-linecap="round" stroke-linejoin="round" fill="none" stroke-opacity="0.45"/>',
    ]


def _from_the_front() -> list[str]:
    middle, base = 1010.0, 620.0  # the mark's height is at `base`

    def x(mm: float) -> float:
        return middle + mm * _FRONT

    def y(mm: float) -> float:
        return base - (mm - PLACE.mark) * _FRONT

    plate_top = PLACE.mark + shelf_edge_mm() + SHELF.plate_up
    out = [
        _text(850, 84, "Khoan tường · holes in the wall", more=' font-weight="600" font-size="17"'),
        f'<path d="M{middle} 130V{y(plate_top - SHELF.plate) + 40:.0f}" stroke="{_INK}" stroke-dasharray="10 4 2 4"/>',
        f'<rect x="{x(-BOX.width / 2):.0f}" y="{y(PLACE.window + BOX.height):.0f}" width="{BOX.width}" height="{BOX.height}" '
        f'rx="{BOX.radius}" fill="#e7ece8" stroke="{_INK}"/>',
        f'<rect x="{x(-SHELF.width / 2):.0f}" y="{y(plate_top):.0f}" width="{SHELF.width}" height="{SHELF.plate}" rx="4" '
        f'fill="#f1e4c9" stroke="{_INK}"/>',
    ]
    for what, across, height in wall_holes_mm():
        for side in (-1, 1):
            at = f'cx="{x(side * across):.0f}" cy="{y(height):.0f}"'
            out.append(f'<circle {at} r="4" fill="#fff" stroke="#c9492f" stroke-width="2"/>')
        out.append(f'<path d="M{x(across) + 8:.0f} {y(height):.0f}H{x(92):.0f}" stroke="{_MEASURE}" stroke-dasharray="3 3"/>')
        shift = -2 if what == "box" or height > PLACE.mark - 20 else 12
        out.append(_text(x(96), y(height) + 5 + shift, f"{height:.0f} mm", more=f' fill="{_MEASURE}"'))
    for across, height, words in (
        (BOX.mount_x, PLACE.window + BOX.height + 14, f"2 × {BOX.mount_x:.0f} mm"),
        (SHELF.mount_x, plate_top + 14, f"2 × {SHELF.mount_x:.0f} mm"),
    ):
        out.append(
            f'<path d="M{x(-across):.0f} {y(height):.0f}H{x(across):.0f}M{x(-across):.0f} {y(height) - 5:.0f}v10'
            f'M{x(across):.0f} {y(height) - 5:.0f}v10" stroke="{_MEASURE}" stroke-width="1.5"/>'
        )
        out.append(_text(x(0) + 4, y(height) - 8, words, more=f' fill="{_MEASURE}"'))
    out += [
        f'<path d="M{x(-100):.0f} {y(PLACE.mark):.0f}H{x(75):.0f}" stroke="#c9492f" stroke-dasharray="8 4"/>',
        _text(x(-104), y(PLACE.mark) + 5, f"{PLACE.mark:.0f}", "end", ' fill="#a33620"'),
        _text(x(-104), y(PLACE.mark) + 23, "khung thẻ · mark", "end", ' fill="#a33620"'),
        f'<path d="M{x(-100):.0f} {y(PLACE.window):.0f}H{x(-75):.0f}" stroke="#c9492f" stroke-dasharray="8 4"/>',
        _text(x(-104), y(PLACE.window) + 5, f"{PLACE.window:.0f}", "end", ' fill="#a33620"'),
        _text(x(-104), y(PLACE.window) + 23, "đáy hộp · underside", "end", ' fill="#a33620"'),
        _text(850, 730, "Lỗ 6 mm, tắc kê, vít 4 × 30"),
        _text(850, 750, "6 mm holes, wall plugs, 4 × 30 screws", more=' fill="#5c6a62"'),
        _text(850, 780, "Độ cao tính từ sàn · heights from the floor"),
        _text(850, 810, "Hai lỗ trên của hộp: treo vít trước"),
        _text(850, 830, "upper two of the box: screws first, then hang it", more=' fill="#5c6a62"'),
    ]
    return out


def mounting_svg(hashed: str) -> str:
    """The mounting drawing, as SVG text."""
    title = "Lắp hộp lên tường · mounting the box"
    desc = (
        f"Mark {PLACE.mark:.0f} mm, underside of the box {PLACE.window:.0f} mm, lamp {PLACE.lamp:.0f} mm above the floor; "
        f"the shelf stands out {shelf_reach_mm():.0f} mm; no lamp in the zone that a card mirrors into the lens."
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="t d" '
            "font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif\" font-size=\"15\">",
            f'<title id="t">{escape(title)}</title>',
            f'<desc id="d">{escape(desc)}</desc>',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="14" fill="#f6f7f5"/>',
            _text(40, 46, title, more=f' font-size="20" font-weight="600" fill="{_INK}"'),
            f'<g fill="{_INK}">',
            *_from_the_side(),
            *_from_the_front(),
            _text(40, _HEIGHT - 24, line("host_tools/hardware/geometry.py", hashed), more=' font-size="12" fill="#5c6a62"'),
            "</g>",
            "</svg>",
            "",
        ]
    )
