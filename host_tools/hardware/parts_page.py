"""Writes docs/parts.md from hardware/parts.toml: what to buy for which board, what else will do, and where it was sold."""

from __future__ import annotations

from host_tools.build.boards import Board, board_names, load_board
from host_tools.hardware.catalogue import Part, catalogue, controller, loads
from host_tools.hardware.power import budget

_HEAD = """# Linh kiện · Parts

Trang này được tạo từ `hardware/parts.toml` bằng `make hardware`. Danh sách từng bo, có dây và số lượng:
`hardware/wiring/`, tệp `-parts.tsv`. This page is made from `hardware/parts.toml` by `make hardware`; the list of each
board, with wires and numbers, is its `-parts.tsv` in `hardware/wiring/`.

**Nơi bán ở Việt Nam** chỉ ghi khi có nguồn công khai dẫn tới trang bán hàng ấy; giá và hàng còn hay không thì chưa kiểm.
Ô trống nghĩa là chưa biết, không phải là không có. **Sold in Vietnam** only where public material links to that page of a
shop; price and stock were not checked. An empty cell means not known, not that there is none. Of no QR scan module was such a
page found: the makers sell them from China (AliExpress, Banggood).

"""


def _count(board: Board, part: Part) -> int:
    """How many of a part the board's door needs."""
    return sum(load.key == part.key for load in loads(board))


def _fixed(board: Board) -> set[str]:
    """Parts that draw nothing of their own."""
    keys = {"resistor-1k", "terminals"} | ({"resistor-10k"} if board.pinout.resistors else set())
    if "relay" in board.parts:
        keys |= {"fire", "release", "diode"}
    buck = budget(board).buck
    return keys | ({buck.key} if buck else set())


def parts_page() -> str:
    """The page, as Markdown."""
    boards = [load_board(name) for name in board_names()]
    columns = " | ".join(f"`{board.name}`" for board in boards)
    lines = [f"| linh kiện · part | {columns} | thay bằng · instead | Việt Nam |"]
    lines.append("| --- |" + " --- |" * (len(boards) + 2))
    for part in catalogue().values():
        if part.on_board:
            continue
        counts = []
        for board in boards:
            count = _count(board, part) or int(part.key in _fixed(board))
            counts.append((str(count) if part.key not in ("resistor-1k", "resistor-10k") else "✓") if count else "")
        instead = " · ".join(part.instead) if part.instead else ""
        shops = ", ".join(f"[{url.split('/')[2]}]({url})" for url in part.vietnam)
        lines.append(f"| {part.vi} · {part.en} | {' | '.join(counts)} | {instead} | {shops} |")
    supply = ["", "## Nguồn, cầu chì, tụ · supply, fuses, capacitor", ""]
    supply.append("| bo · board | nguồn · supply | F1 | F2 (khoá · lock) | hạ áp · step-down | C1 | dây 5 V · 5 V cable |")
    supply.append("| --- | --- | --- | --- | --- | --- | --- |")
    for board in boards:
        chosen = budget(board)
        lock = f"{chosen.lock_fuse_a:g} A" if chosen.lock_fuse_a else ""
        buck = chosen.buck.en.split(" ")[0] if chosen.buck else ""
        supply.append(
            f"| `{board.name}` | {chosen.supply_v} V {chosen.supply_a:g} A | {chosen.main_fuse_a:g} A | {lock} | {buck} "
            f"| {chosen.capacitor_uf} µF | {chosen.cable_m:.1f} m |"
        )
    currents = ["", "## Dòng điện · currents", ""]
    currents.append("| linh kiện · part | V | nghỉ · rest mA | làm · work mA | đỉnh · peak mA | theo · source |")
    currents.append("| --- | --- | --- | --- | --- | --- |")
    shown = {controller(board).key for board in boards} | {part.key for board in boards for part in loads(board)}
    for part in catalogue().values():
        if part.key in shown:
            numbers = " | ".join(f"{number:g}" for number in (part.volts, part.rest_ma, part.work_ma, part.peak_ma))
            currents.append(f"| {part.en} | {numbers} | {part.source} |")
    return _HEAD + "\n".join([*lines, *supply, *currents]) + "\n"
