"""What README.md and docs/journal-design.md say in figures, made from the figures, so that a test can hold them to it."""

from __future__ import annotations

from collections.abc import Iterable

from host_tools.bench.figures import Figure

_WAYS = ("storage_journal", "storage_littlefs", "storage_littlefs_20")
# Title, size of the unit, the unit, and digits behind the point: few, for a page is not to change with each line of firmware.
_RECOVERY = {
    "recovery_read_bytes": ("flash read, 320 sectors (1280 KiB)", 1024, " KiB", 0),
    "recovery_heap_bytes": ("heap allocated, 320 sectors", 1024, " KiB", 1),
    "recovery_share": ("2048 sectors (8 MiB): growth, beside that of the sectors", 1, "", 1),
}
_FRONT = {
    "card_flash_bytes": ("flash of an 18-digit card, uptime just under a year", 1, " bytes", 0),
    "erases_before_beep": ("erases between card and beep", 1, "", 0),
    "scan_instructions": ("first raw byte to buzzer, 74-byte national card", 1e6, " M instructions", 2),
    "path_instructions": ("the same, the dearest kind of card, both lists full and asked", 1e6, " M instructions", 2),
    "x25519_instructions": ("an X25519", 1e6, " M instructions", 0),
    "whole_mpy_bytes": ("`.mpy` files that are loaded when config asks for everything", 1024, " KiB", 0),
    "whole_heap_bytes": ("heap with them and every part of a door loaded, 32-bit runtime", 1024, " KiB", 0),
}


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _beside(figure: Figure, size: float, unit: str, digits: int) -> tuple[str, str]:
    """A figure and its bar, as text."""
    return f"{figure.value / size:.{digits}f}{unit}", f"≤ {(figure.bar or 0) / size:.{digits}f}{unit}"


def scan_table(figures: dict[str, Figure]) -> str:
    """A scan, three ways; the instructions of littlefs stay open where its runtime cannot be metered."""
    ways = [figures[key].detail for key in _WAYS]
    append, line = (figures[f"{name}_instructions"].value / 1e6 for name in ("append", "line"))
    open_figure = f"JSON line alone {line:.2f} M; littlefs not metered"
    rows = [
        ["per scan", "this journal", "littlefs, flush each", "littlefs, flush every 20"],
        ["---"] * 4,
        ["erases", *(f"{way['erases']:.4f}" for way in ways)],
        ["bytes programmed", *(f"{way['programmed_bytes']:,.1f}" for way in ways)],
        ["flash time, mean, ms: typical (worst)", *(f"{way['flash_ms']:.1f} ({way['flash_worst_ms']:.1f})" for way in ways)],
        ["flash time before the beep, longest, ms", *(f"{way['longest_ms']:.1f} ({way['worst_ms']:.0f})" for way in ways)],
        ["instructions, 32-bit runtime", f"{append:.2f} M", open_figure, "the same"],
        ["heap to be collected, 64-bit runtime", *(f"{way['heap_bytes'] / 1024:.1f} KiB" for way in ways)],
    ]
    return "\n".join(map(_row, rows))


def summary(figures: dict[str, Figure]) -> str:
    """The journal against a flushed line, in a sentence."""
    erases, written = (figures[key].detail["times"] for key in ("storage_erases", "storage_bytes"))
    ratio, p99_ms = figures["programmed_ratio"].value, figures["append_p99_ms"].value
    return (
        f"That is {erases:.1f} times fewer erases and {written:.1f} times fewer bytes than a flushed line. "
        f"{ratio:.4f} bytes are programmed for each byte of frames. "
        f"The flash time of an append is {p99_ms:.1f} ms at the 99th percentile."
    )


def recovery_table(figures: dict[str, Figure]) -> str:
    """Recovery of a full journal beside its bars."""
    rows = [["recovery of a full journal", "measured", "bar", ""], ["---"] * 4]
    for key, (title, size, unit, digits) in _RECOVERY.items():
        measured, bar = _beside(figures[key], size, unit, digits)
        rows.append([title, measured, bar, "met" if figures[key].met else "MISSED"])
    return "\n".join(map(_row, rows))


def front_rows(figures: dict[str, Figure]) -> str:
    """The metered rows of the table in README.md."""
    rows = []
    for key, (title, size, unit, digits) in _FRONT.items():
        measured, bar = _beside(figures[key], size, unit, digits)
        rows.append([title, measured, bar if figures[key].met else f"{bar}: **missed**"])
    return "\n".join(map(_row, rows))
