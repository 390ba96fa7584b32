"""The table of a run: what was shown, read, beeped, stored, collected and lost at each door; live, and at the end."""

from __future__ import annotations

import sys
import unicodedata
from typing import TextIO

from host_tools.simulator.judge import KEPT_SIGNALS
from host_tools.simulator.run import Outcome, Run
from host_tools.simulator.world import World
from host_tools.text import say

# Virtual time between two lines of the live table.
_LINE_US = 10_000_000
_MOST_LINES = 20


def _pad(text: str, width: int) -> str:
    shown = sum(0 if unicodedata.combining(sign) else 1 for sign in text)
    return text + " " * max(0, width - shown)


def _row(cells: list[str], widths: list[int]) -> str:
    return "  ".join(_pad(cell, width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def table(outcome: Outcome) -> str:
    """The figures of each door, and their sums."""
    head = [
        say("cổng", "door"),
        say("đưa ra", "shown"),
        say("đọc được", "read"),
        say("đã kêu", "beeped"),
        say("lặp lại", "repeat"),
        say("trong flash", "in flash"),
        say("đã thu", "collected"),
        say("mất", "lost"),
        say("độ trễ ms", "latency ms"),
        say("mất điện", "power cuts"),
    ]
    rows = [head]
    totals = [0] * 8
    worst = 0.0
    for door in outcome.doors:
        counts = [
            door.shown,
            door.read,
            door.beeped,
            door.signals["repeat"],
            door.in_flash,
            door.collected,
            door.lost,
            door.power_cuts,
        ]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        worst = max(worst, door.worst_latency_ms)
        rows.append([door.name, *map(str, counts[:7]), f"{door.worst_latency_ms:.1f}", str(counts[7])])
    rows.append([say("tổng", "total"), *map(str, totals[:7]), f"{worst:.1f}", str(totals[7])])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(_row(row, widths) for row in rows)


class LiveTable:
    """Prints a line every ten virtual seconds while a run goes on."""

    def __init__(self, run: Run, out: TextIO | None = None) -> None:
        self._run = run
        self._out = out or sys.stdout
        self._next_us = 0
        self._begun = False

    def __call__(self, world: World) -> None:
        if world.kernel.now_us < self._next_us:
            return
        self._next_us = world.kernel.now_us + _LINE_US
        if not self._begun:
            self._begun = True
            names = (say("đưa ra", "shown"), say("đọc", "read"), say("kêu", "beeps"), say("đã thu", "collected"))
            head = f"{say('giây', 'second'):>8}" + "".join(f"{name:>11}" for name in names) + "  " + say("đèn", "lamps")
            print(head, file=self._out)
        checkpoints = list(world.checkpoints.values())
        shown = sum(len(checkpoint.log.shown) for checkpoint in checkpoints)
        read = sum(len(checkpoint.log.reads) for checkpoint in checkpoints)
        beeps = sum(beep.signal.name in KEPT_SIGNALS for checkpoint in checkpoints for beep in checkpoint.log.beeps)
        doors = ", ".join(f"{checkpoint.plan.name}: {checkpoint.signals.colour}" for checkpoint in checkpoints)
        seconds = world.kernel.now_us // 1_000_000
        line = f"{seconds:8d}{shown:11d}{read:11d}{beeps:11d}{self._run.collected():11d}  {doors}"
        print(line, file=self._out, flush=True)


def text(outcome: Outcome) -> str:
    """The whole report of a run for a person."""
    lines = [table(outcome), ""]
    ran = outcome.runtime.replace("\n", ", ")
    lines.append(say(f"Chạy trên: {ran}", f"Runtime: {ran}"))
    speed = outcome.virtual_s / max(outcome.real_s, 1e-9)
    lines.append(
        say(
            f"{outcome.virtual_s:.0f} giây ảo trong {outcome.real_s:.1f} giây thật (×{speed:.0f}), seed {outcome.seed}",
            f"{outcome.virtual_s:.0f} virtual seconds in {outcome.real_s:.1f} real (x{speed:.0f}), seed {outcome.seed}",
        )
    )
    if outcome.passed:
        lines.append(say("Mọi lời hứa được giữ: đã thu = đã kêu.", "Every promise held: collected = beeped."))
    else:
        lines.append(say(f"{len(outcome.broken)} lời hứa bị phá:", f"{len(outcome.broken)} promises broken:"))
        lines += [f"  - {line}" for line in outcome.broken[:_MOST_LINES]]
        if len(outcome.broken) > _MOST_LINES:
            left = len(outcome.broken) - _MOST_LINES
            lines.append(say(f"  … và {left} dòng nữa (--json có đủ)", f"  … and {left} more (--json has them all)"))
    return "\n".join(lines)
