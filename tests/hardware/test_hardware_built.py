"""The printed parts as they are built: they fit together, other measures work too. Needs requirements-hardware.txt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from host_tools.hardware.geometry import BOX, CONTROLLERS
from host_tools.hardware.made import enclosure_names, made_from_wireviz, wiring_files

manifold3d = pytest.importorskip("manifold3d", reason="needs requirements-hardware.txt")
pytest.importorskip("wireviz", reason="needs requirements-hardware.txt")

from host_tools.hardware import enclosure  # noqa: E402


def test_the_list_of_files_is_the_list_of_parts() -> None:
    assert [f"{name}.stl" for name in enclosure.parts()] == enclosure_names()[:-2]


def test_no_two_parts_are_in_one_place() -> None:
    parts = enclosure.parts()
    placed = {name: enclosure.placed(name, solid) for name, solid in parts.items()}
    inserts = [name for name in placed if name.startswith("insert")]
    trays = [name for name in placed if name.startswith("tray")]
    pairs = [("base", name) for name in ("lid", *inserts, *trays)]
    pairs += [("lid", name) for name in (*inserts, *trays)] + [(one, other) for one in inserts for other in trays]
    for one, other in pairs:
        assert (placed[one] ^ placed[other]).volume() < 0.01, (one, other)


def test_each_part_is_in_one_piece() -> None:
    for name, solid in enclosure.parts().items():
        assert len(solid.decompose()) == 1, name


def test_controllers_fit_their_trays() -> None:
    """The board pushed in between the rails, or lying on the posts, touches nothing of the tray."""
    for board in CONTROLLERS:
        size = [board.width, board.length, 1.6]
        pcb = manifold3d.Manifold.cube(size).translate([-board.width / 2, -board.length / 2, 8.01 if board.holes else 10.2])
        assert (pcb ^ enclosure.tray(board)).volume() < 0.01, board.name


def test_another_box_is_watertight_too(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = replace(BOX, width=170, height=180, depth=75, wall=3.6)
    monkeypatch.setattr(enclosure, "BOX", wide)
    for name, solid in enclosure.parts().items():
        assert solid.status().name == "NoError" and solid.volume() > 0, name
    assert (enclosure.base() ^ enclosure.lid()).volume() < 0.01


def test_wireviz_reads_the_wiring_files_as_they_are() -> None:
    files = made_from_wireviz()
    for _, picture, parts in wiring_files():
        assert str(files[parts]) == parts.read_text(encoding="utf-8")
        assert str(files[picture]).startswith("<?xml") and "Mắt đọc" in str(files[picture])
