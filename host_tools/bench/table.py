"""The table of the bench: each figure beside its bar, with what was met and what was missed."""

from __future__ import annotations

import unicodedata

from host_tools.bench.figures import INSTRUCTION_NS, STAND_INS, Figure
from host_tools.text import say


def _number(value: float) -> str:
    return f"{value:,}"


def _state(figure: Figure) -> str:
    if figure.met is None:
        return ""
    return say("đạt", "met") if figure.met else say("KHÔNG ĐẠT", "MISSED")


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(sign) else 1 for sign in text)


def table(figures: list[Figure]) -> str:
    """The whole table, with what it was measured by below it."""
    rows = [[say("đại lượng", "figure"), say("đo được", "measured"), say("mức", "bar"), "", say("ghi chú", "note")]]
    for figure in figures:
        value = f"{_number(figure.value)} {figure.unit}".strip()
        bar = "" if figure.bar is None else f"<= {_number(figure.bar)}"
        rows.append([figure.title, value, bar, _state(figure), figure.note])
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - _width(cell))
            cells.append(gap + cell if column in (1, 2) else cell + gap)
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(map(_width, lines)))
    stand_ins = ", ".join(STAND_INS)
    lines += [
        "",
        say(
            f"instr: lệnh của MicroPython 32 bit, × {INSTRUCTION_NS} ns; thay thế, đã trừ chi phí: {stand_ins}",
            f"instr: instructions of the 32-bit MicroPython, × {INSTRUCTION_NS} ns; "
            f"stand-ins, their cost taken off: {stand_ins}",
        ),
        say(
            "flash: thời gian điển hình của data sheet, trong ngoặc là tệ nhất",
            "flash: times of the data sheet, typical and, in brackets, worst",
        ),
    ]
    return "\n".join(lines)
