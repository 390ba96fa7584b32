"""Writes docs/pins.md: every pin of every board, what hangs on it, or why nothing may."""

from __future__ import annotations

from host_tools.build.boards import Board, board_names, load_board
from host_tools.build.pins import Kind

_HEAD = """# Chân · Pins

Trang này được tạo từ `hardware/boards/` bằng `make hardware`; luật: [hardware.md](hardware.md). Số là GPIO in trên bo.
This page is made from `hardware/boards/` by `make hardware`; the rules: [hardware.md](hardware.md). Numbers are the GPIOs
printed on the boards.
"""


def _use(board: Board, pin: int) -> str:
    """What a pin is for, in both languages."""
    for section, part in board.parts.items():
        for member, number in part.items():
            if number == pin and member != "uart":
                resistor = ", 10 kΩ → 3,3 V" if pin in board.pinout.resistors else ""
                return f"**`{section}.{member}`**{resistor}"
    fault = board.pinout.fault(pin, "", Kind.INPUT)
    if fault:
        return " · ".join(fault)
    chip = board.pinout.chip
    limits = [("chỉ vào", "input only")] if pin in chip.input_only else []
    limits += [("đo điện áp được", "can measure")] if pin in chip.adc1 else []
    return " · ".join(", ".join(words) for words in zip(("trống", "free"), *limits, strict=True))


def pins_page() -> str:
    """The page, as Markdown."""
    lines = [_HEAD]
    for board in map(load_board, board_names()):
        lines += [f"## `{board.name}`", "", "| GPIO | dùng cho · use |", "| --- | --- |"]
        pins = board.pinout.header | set(board.pinout.wired)
        lines += [f"| {pin} | {_use(board, pin)} |" for pin in sorted(pins)]
        uarts = {part["uart"]: section for section, part in board.parts.items() if "uart" in part}
        said = ", ".join(f"UART{number} `{uarts[number]}`" if number in uarts else f"UART{number} –" for number in (1, 2))
        lines += ["", f"UART0 console, {said}.", ""]
    return "\n".join(lines).rstrip("\n") + "\n"
