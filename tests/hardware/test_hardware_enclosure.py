"""The printed parts, as they lie in hardware/enclosure/, are watertight and go on a printer."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import pytest

from host_tools.hardware.geometry import BOX
from host_tools.hardware.made import ENCLOSURE_DIR, enclosure_names

SOLIDS = [name for name in enclosure_names() if name.endswith(".stl")]
BED_MM = 220  # of a common printer


def triangles(path: Path) -> list[tuple[tuple[float, float, float], ...]]:
    """The triangles of a binary STL."""
    content = path.read_bytes()
    (count,) = struct.unpack_from("<I", content, 80)
    assert len(content) == 84 + 50 * count
    rows = (struct.unpack_from("<12x9f", content, 84 + 50 * at) for at in range(count))
    return [(row[0:3], row[3:6], row[6:9]) for row in rows]


def open_edges(mesh: list[tuple[tuple[float, float, float], ...]]) -> int:
    """How many edges have not exactly one triangle on either side, run through in opposite ways."""
    edges: Counter[tuple[tuple[float, ...], tuple[float, ...]]] = Counter()
    for corners in mesh:
        for at in range(3):
            edges[corners[at], corners[(at + 1) % 3]] += 1
    return sum(count != edges[end, start] for (start, end), count in edges.items())


def volume_cm3(mesh: list[tuple[tuple[float, float, float], ...]]) -> float:
    """The volume that the triangles enclose; negative if they face inwards."""
    total = 0.0
    for (ax, ay, az), (bx, by, bz), (cx, cy, cz) in mesh:
        total += ax * (by * cz - bz * cy) - ay * (bx * cz - bz * cx) + az * (bx * cy - by * cx)
    return total / 6000


@pytest.mark.parametrize("name", SOLIDS)
def test_each_solid_is_watertight_and_fits_the_printer(name: str) -> None:
    mesh = triangles(ENCLOSURE_DIR / name)
    assert len(mesh) > 100
    assert open_edges(mesh) == 0
    assert 5 < volume_cm3(mesh) < 400
    corners = [corner for triangle in mesh for corner in triangle]
    for axis in range(3):
        assert min(corner[axis] for corner in corners) == 0
        assert max(corner[axis] for corner in corners) < BED_MM


def test_a_hole_in_a_mesh_is_noticed() -> None:
    mesh = triangles(ENCLOSURE_DIR / "insert-m25.stl")
    assert open_edges(mesh[1:]) > 0
    assert open_edges([*mesh[1:], mesh[0][::-1]]) > 0


def test_the_base_is_as_large_as_the_box() -> None:
    corners = [corner for triangle in triangles(ENCLOSURE_DIR / "base.stl") for corner in triangle]
    size = sorted(max(corner[axis] for corner in corners) for axis in range(3))
    assert size == pytest.approx(sorted([BOX.width, BOX.height, BOX.depth - BOX.lid + BOX.visor]), abs=0.01)
