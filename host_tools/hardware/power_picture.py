"""Draws a board's power budget as SVG: three states, stacked by part, beside the supply and the fuse that were chosen."""

from __future__ import annotations

from html import escape

from host_tools.hardware.catalogue import catalogue
from host_tools.hardware.power import Budget, State
from host_tools.hardware.stamp import line

_WIDTH = 1120
_LEFT = 190
_RIGHT = 1060
_COLUMNS = (720, 840, 960, 1080)
_COLOURS = (
    "#1d7a46", "#3b6fb6", "#c9492f", "#e0a526", "#7b5aa6", "#2a9d9d", "#9a6b3f", "#d06ca4", "#5c6a62", "#8fb339", "#4a4e8f",
    "#b0b7b2",
)  # fmt: skip
_STATES = (("nghỉ", "at rest"), ("làm việc", "at work"), ("đỉnh", "peak"))


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}"{more}>{escape(words)}</text>'


def _bars(
    top: float, title: str, rails: list[dict[str, float]], scale_ma: float, colours: dict[str, str], fuse_ma: float = 0
) -> list[str]:
    """Three stacked bars under a title; each rail maps part to mA."""
    clear = _LEFT + fuse_ma / scale_ma * (_RIGHT - _LEFT)
    out = [_text(40, top, title, ' font-weight="600"')]
    for (vi, en), rail, y in zip(_STATES, rails, (top + 16, top + 54, top + 92), strict=True):
        out.append(_text(_LEFT - 12, y + 20, f"{vi} · {en}", ' text-anchor="end"'))
        x = float(_LEFT)
        for key, current in rail.items():
            if width := current / scale_ma * (_RIGHT - _LEFT):
                out.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="28" fill="{colours[key]}" stroke="#fff"/>'
                )
                x += width
        if x < clear < x + 92:  # the number would stand on a limit's line
            x = clear
        out.append(_text(x + 8, y + 20, f"{sum(rail.values()):.0f} mA", ' font-weight="600"'))
    return out


def _limit(x_ma: float, scale_ma: float, top: float, words: str, row: int) -> list[str]:
    x = _LEFT + x_ma / scale_ma * (_RIGHT - _LEFT)
    anchor = "end" if x > _WIDTH / 2 else "start"
    return [
        f'<path d="M{x:.1f} {top + 8}V{top + 128 + 18 * row}" stroke="#c9492f" stroke-width="2" stroke-dasharray="6 4"/>',
        _text(x + (-6 if anchor == "end" else 6), top + 144 + 18 * (row - 1), words, f' text-anchor="{anchor}" fill="#a33620"'),
    ]


def power_svg(budget: Budget, hashed: str) -> str:
    """The picture of a budget, as SVG text."""
    names = catalogue()
    states: tuple[State, State, State] = (budget.rest, budget.work, budget.peak)
    keys = list(dict.fromkeys([*budget.peak.five, *budget.peak.twelve]))
    drawing = [key for key in keys if budget.peak.five.get(key) or budget.peak.twelve.get(key)]
    colours = {key: _COLOURS[index % len(_COLOURS)] for index, key in enumerate(drawing)}
    colours["buck"] = "#34423a"
    colours |= {key: "#fff" for key in keys if key not in colours}
    body: list[str] = []
    top = 84.0
    rails = [state.five for state in states]
    limit_ma = budget.supply_a * 1000
    scale = max(limit_ma if not budget.twelve else 0, budget.peak.five_ma) * 1.12
    fuse_ma = budget.main_fuse_a * 1000
    title_5v = "Trên đường 5 V · on the 5 V rail"
    body += _bars(top, title_5v, rails, scale, colours, 0 if budget.twelve else fuse_ma)
    supply = f"nguồn · supply {budget.supply_v} V {budget.supply_a:g} A"
    fuse = f"cầu chì · fuse F1 {budget.main_fuse_a:g} A (chậm · slow)"
    if not budget.twelve:
        body += _limit(fuse_ma, scale, top, fuse, 1) + _limit(limit_ma, scale, top, supply, 2)
        top += 190
    else:
        top += 160
        twelve = [{**state.twelve, "buck": state.buck_ma} for state in states]
        scale = max(limit_ma, budget.peak.twelve_ma) * 1.12
        body += _bars(top, "Trên nguồn 12 V · on the 12 V supply", twelve, scale, colours, fuse_ma)
        body += _limit(fuse_ma, scale, top, fuse, 1) + _limit(limit_ma, scale, top, supply, 2)
        top += 190
    chosen = [supply, fuse]
    if budget.lock_fuse_a and budget.buck:
        chosen.append(f"cầu chì khoá · lock fuse F2 {budget.lock_fuse_a:g} A (chậm · slow)")
        chosen.append(f"hạ áp · step-down {budget.buck.en.split(',')[0]}")
    chosen.append(f"tụ · capacitor C1 {budget.capacitor_uf} µF ≥ 10 V low ESR")
    chosen.append(f"dây 5 V tối đa · longest 5 V cable {budget.cable_m:.1f} m (2 × 0,75 mm²)")
    body.append(_text(40, top, "Chọn · chosen", ' font-weight="600"'))
    for index, words in enumerate(chosen):
        body.append(_text(40 + 520 * (index % 2), top + 26 + 24 * (index // 2), words))
    top += 26 + 24 * ((len(chosen) + 1) // 2) + 20
    body.append(_text(40, top, "Linh kiện · part (mA)", ' font-weight="600"'))
    for x, words in zip(_COLUMNS, ("V", "nghỉ · rest", "làm · work", "đỉnh · peak"), strict=True):
        body.append(_text(x, top, words, ' text-anchor="end" font-weight="600"'))
    for key in [*drawing, *(["buck"] if budget.twelve else [])]:
        top += 24
        body.append(f'<rect x="40" y="{top - 13:.0f}" width="16" height="16" fill="{colours[key]}"/>')
        if key == "buck":
            rows = [state.buck_ma for state in states]
            words, volts = "Hạ áp lấy từ 12 V · what the step-down module takes of the 12 V", 12.0
        else:
            rows = [state.five.get(key, 0) + state.twelve.get(key, 0) for state in states]
            short = (names[key].vi.split(" (")[0].split(",")[0], names[key].en.split(" (")[0].split(",")[0])
            words, volts = " · ".join(short), names[key].volts
        body.append(_text(66, top, words))
        for x, number in zip(_COLUMNS, (volts, *rows), strict=True):
            body.append(_text(x, top, f"{number:g}" if number == volts else f"{number:.0f}", ' text-anchor="end"'))
    top += 34
    body.append(_text(40, top, line(f"hardware/boards/{budget.board}.toml, hardware/parts.toml", hashed), ' font-size="12"'))
    height = top + 24
    title = f"Dòng điện của {budget.board} · power budget of {budget.board}"
    desc = "5 V: {:.0f} mA at rest, {:.0f} at work, {:.0f} at the peak. ".format(*(state.five_ma for state in states))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
            'aria-labelledby="t d" font-family="system-ui, -apple-system, \'Segoe UI\', Roboto, sans-serif" font-size="15">',
            f'<title id="t">{escape(title)}</title>',
            f'<desc id="d">{escape(desc + "; ".join(chosen))}</desc>',
            f'<rect width="{_WIDTH}" height="{height:.0f}" rx="14" fill="#f6f7f5"/>',
            _text(40, 46, title, ' font-size="20" font-weight="600" fill="#1c2420"'),
            '<g fill="#1c2420">',
            *body,
            "</g>",
            "</svg>",
            "",
        ]
    )
