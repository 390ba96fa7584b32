"""The pictures of the enclosure: every part with its name, and the box and the shelf as they hang on the wall."""

from __future__ import annotations

import base64
from html import escape

import numpy as np
from manifold3d import Manifold, OpType

from host_tools.hardware.enclosure import placed, triangles
from host_tools.hardware.geometry import BOX, PLACE, SHELF, view_mm
from host_tools.hardware.render import Camera, render

_COLOURS = {
    "base": "#8fa79a",
    "lid": "#dfe5e0",
    "insert-m25": "#5b83bf",
    "insert-window": "#5b83bf",
    "tray-lilygo": "#c98f5a",
    "shelf": "#d2aa63",
    "board": "#2f7d4f",
    "glass": "#a8d3e6",
    "card": "#f3f0e4",
    "view": "#f0c9b8",
}
_NAMES = {
    "base": ("Thân hộp", "base"),
    "lid": ("Nắp trước: đèn, loa, mũi tên", "lid: lamp, speaker, arrow"),
    "insert-m25": ("Đế mắt đọc ren M25", "insert for an M25 scan module"),
    "insert-window": ("Đế mắt đọc trần", "insert for a bare scan module"),
    "tray-lilygo": ("Khay bo mạch (ba cỡ)", "controller tray (three sizes)"),
    "shelf": ("Giá đỡ thẻ", "card shelf"),
    "board": ("Mạch ULN2003A 5 × 7 cm", "ULN2003A board, 5 × 7 cm"),
    "glass": ("Mica trong 40 × 32 × 3", "clear acrylic 40 × 32 × 3"),
}


def _svg(png: bytes, size: tuple[int, int], title: str, made_from: str, labels: list[str]) -> str:
    width, height = size
    picture = base64.b64encode(png).decode("ascii")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 60}" role="img" '
            'font-family="system-ui, -apple-system, \'Segoe UI\', Roboto, sans-serif" font-size="19">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(title)}. {escape(made_from)}</desc>",
            f'<rect width="{width}" height="{height + 60}" fill="#f6f7f5"/>',
            f'<image y="40" width="{width}" height="{height}" href="data:image/png;base64,{picture}"/>',
            f'<text x="24" y="36" font-size="24" font-weight="600" fill="#1c2420">{escape(title)}</text>',
            *labels,
            f'<text x="24" y="{height + 46}" font-size="14" fill="#5c6a62">{escape(made_from)}</text>',
            "</svg>",
            "",
        ]
    )


def _label(at: np.ndarray, to: tuple[float, float], vi: str, en: str) -> str:
    """Two lines of words at `to` with a line to the point `at`, both in the picture's pixels."""
    x, y = to
    anchor = "end" if x < at[0] else "start"
    edge = x + (8 if anchor == "end" else -8)
    return (
        f'<path d="M{edge:.0f} {y + 34:.0f}L{at[0]:.0f} {at[1] + 40:.0f}" stroke="#1c2420" stroke-width="1.5" fill="none"/>'
        f'<circle cx="{at[0]:.0f}" cy="{at[1] + 40:.0f}" r="4" fill="#1c2420"/>'
        f'<text x="{x:.0f}" y="{y + 30:.0f}" text-anchor="{anchor}" fill="#1c2420">{escape(vi)}</text>'
        f'<text x="{x:.0f}" y="{y + 54:.0f}" text-anchor="{anchor}" fill="#5c6a62">{escape(en)}</text>'
    )


def exploded(parts: dict[str, Manifold], made_from: str) -> str:
    """Every kind of part, pulled apart along the way it is put together."""
    shown = {
        "base": placed("base", parts["base"]),
        "tray-lilygo": placed("tray-lilygo", parts["tray-lilygo"]).translate([0, 90, 0]),
        "board": Manifold.cube([50, 1.6, 70]).translate([3, 100, 83]),
        "lid": placed("lid", parts["lid"]).translate([0, 190, 0]),
        "insert-m25": placed("insert-m25", parts["insert-m25"]).translate([0, 0, -70]),
        "insert-window": placed("insert-window", parts["insert-window"]).translate([0, 100, -90]),
        "glass": Manifold.cube([40, 32, 3]).translate([-20, BOX.window_y + 84, -128]),
        "shelf": placed("shelf", parts["shelf"]).translate([0, 0, -190]),
    }
    size = (1500, 1240)
    camera = Camera(-42, 20, 2.75, size, (0, 95, -6))
    png = render([(triangles(solid), _COLOURS[name]) for name, solid in shown.items()], camera)
    anchors = {
        "base": ((-75, 30, 110), (1180, 160)),
        "lid": ((60, 256, 30), (312, 860)),
        "tray-lilygo": ((-48, 104, 150), (900, 20)),
        "board": ((40, 101, 150), (440, 70)),
        "insert-m25": ((-30, 40, -64), (1130, 640)),
        "insert-window": ((20, 140, -84), (430, 980)),
        "glass": ((18, 110, -127), (560, 1100)),
        "shelf": ((-40, 40, -196), (1150, 880)),
    }
    labels = []
    for name, (point, to) in anchors.items():
        labels.append(_label(camera.project(np.array(point)), to, *_NAMES[name]))
    return _svg(png, size, "Vỏ hộp: các chi tiết in · the enclosure's printed parts", made_from, labels)


def in_place(parts: dict[str, Manifold], made_from: str) -> str:
    """Box and shelf at their true distance, with a card on the mark and what the scan module sees."""
    tilt = SHELF.tilt_deg
    wide, deep = view_mm(PLACE.distance)
    card = Manifold.cube([85.6, 54, 0.8]).translate([-42.8, -27, 0.2]).rotate([-tilt, 0, 0])
    card = card.translate([0, BOX.window_y, -PLACE.distance])
    # The view as its four edges: thin square rods from the window to the corners on the shelf.
    rods = []
    for sx in (-1, 1):
        for sy in (-1, 1):
            end = np.array([sx * wide / 2, BOX.window_y + sy * deep / 2, -PLACE.distance])
            start = np.array([0.0, BOX.window_y, 0.0])
            steps = [start + (end - start) * at for at in np.linspace(0, 1, 24)]
            rods += [Manifold.cube([1.6, 1.6, 5], True).translate(list(step)) for step in steps]
    shown = [
        (placed("base", parts["base"]), _COLOURS["base"]),
        (placed("insert-m25", parts["insert-m25"]), _COLOURS["insert-m25"]),
        (placed("lid", parts["lid"]), _COLOURS["lid"]),
        (placed("shelf", parts["shelf"]).translate([0, 0, -PLACE.distance]), _COLOURS["shelf"]),
        (card, _COLOURS["card"]),
        (Manifold.batch_boolean(rods, OpType.Add), "#c9492f"),
    ]
    size = (1400, 1180)
    camera = Camera(-38, 16, 2.55, size, (0, 40, -20))
    png = render([(triangles(solid), colour) for solid, colour in shown], camera)

    def at(x: float, y: float, z: float) -> np.ndarray:
        return camera.project(np.array([x, y, z]))

    distance = f"{PLACE.distance:.0f} mm"
    tilted = (f"Giá nghiêng {tilt:g}°, mép ngoài thấp", f"shelf tilts {tilt:g}°, front edge low")
    on_mark = ("Đặt thẻ đúng khung, mã QR ngửa lên", "card on the mark, code up")
    labels = [
        _label(at(0, 66, BOX.led_z), (330, 110), "Đèn", "lamp"),
        _label(at(0, 66, 100), (330, 240), "Loa hoặc còi", "speaker or buzzer"),
        _label(at(0, BOX.window_y, -PLACE.distance / 2), (960, 640), f"Mắt nhìn xuống, {distance}", f"looks down, {distance}"),
        _label(at(30, BOX.window_y + 15, -PLACE.distance - 6), (450, 860), *on_mark),
        _label(at(-60, 60, -PLACE.distance - 20), (960, 1000), *tilted),
    ]
    return _svg(png, size, "Hộp và giá trên tường · box and shelf on the wall", made_from, labels)
