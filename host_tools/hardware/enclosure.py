"""The parts of the enclosure as solids, and their STL files: base, lid, two scan module inserts, trays, shelf."""

from __future__ import annotations

import math
import struct

import numpy as np
from manifold3d import CrossSection, Manifold

from host_tools.hardware.geometry import BOX, CARD_MM, CONTROLLERS, SHELF, Controller, mark_along_mm, shelf_edge_mm

_SEGMENTS = 48
_GAP = 0.3  # between printed parts that go into each other
_TRAY_SCREWS = 36.0  # between the two screws of every tray
_TRAY_X, _TRAY_Z = -48.0, 93.0  # the middle of a tray in the box
_BOARD_X, _BOARD_Z = 28.0, 118.0  # the middle of the driver's 5 x 7 cm board
_DRIVER_HOLES = (44.0, 64.0)
_SWITCH_HOLES = 22.2  # KW12 microswitch
_SWITCH_X, _SWITCH_Z = 30.0, 70.0


def _block(size: tuple[float, float, float], at: tuple[float, float, float]) -> Manifold:
    """A block by its size and the middle of its lowest corner edge: x is centred, y and z begin at `at`."""
    return Manifold.cube(list(size)).translate([at[0] - size[0] / 2, at[1], at[2]])


def _rod(diameter: float, length: float, at: tuple[float, float, float], axis: str = "y") -> Manifold:
    """A rod along an axis, from `at` on."""
    rod = Manifold.cylinder(length, diameter / 2, circular_segments=_SEGMENTS)
    if axis == "y":
        rod = rod.rotate([-90, 0, 0])
    return rod.translate(list(at))


def _rounded(width: float, height: float, radius: float) -> CrossSection:
    """A rectangle with round corners; x is centred, the other begins at 0."""
    core = CrossSection.square([width - 2 * radius, height - 2 * radius]).translate([radius - width / 2, radius])
    return core.offset(radius, circular_segments=_SEGMENTS)


def _slab(section: CrossSection, start: float, depth: float) -> Manifold:
    """A section of the box (x, z) as a solid from y = start on."""
    return section.extrude(depth).rotate([90, 0, 0]).translate([0, start + depth, 0])


def _corners() -> list[tuple[float, float]]:
    inset = 9.0
    xs, zs = (BOX.width / 2 - inset), (inset, BOX.height - inset)
    return [(side * xs, z) for side in (-1, 1) for z in zs]


def base() -> Manifold:
    """The box without its lid: back, walls, roof, posts, the opening for the scan module and two glands."""
    box, wall = BOX, BOX.wall
    depth = box.depth - box.lid
    solid = _slab(_rounded(box.width, box.height, box.radius), 0, depth)
    inner = _rounded(box.width - 2 * wall, box.height - 2 * wall, box.radius - wall / 2).translate([0, wall])
    solid -= _slab(inner, wall, depth)
    # The roof keeps rain off the gap of the lid.
    solid += _block((box.width - 2 * box.radius, depth + box.visor, wall), (0, 0, box.height - wall))
    # Posts for the lid's screws, the trays, the driver's board and the tamper switch.
    for x, z in _corners():
        solid += _rod(10, depth - wall, (x, wall, z))
        solid -= _rod(box.pilot, 22, (x, depth - 20, z))
    posts = [(_TRAY_X, _TRAY_Z + side * _TRAY_SCREWS / 2, 8.0) for side in (-1, 1)]
    posts += [
        (_BOARD_X + sx * _DRIVER_HOLES[0] / 2, _BOARD_Z + sz * _DRIVER_HOLES[1] / 2, 10.0) for sx in (-1, 1) for sz in (-1, 1)
    ]
    for x, z, height in posts:
        solid += _rod(8, height, (x, wall, z))
        solid -= _rod(box.pilot, height + 1, (x, wall + 1.2, z))
    bracket = _block((34, depth - wall - 20, 4), (_SWITCH_X + _SWITCH_HOLES / 2, wall, _SWITCH_Z))
    for offset in (0, _SWITCH_HOLES):
        bracket -= _rod(box.pilot, 6, (_SWITCH_X + offset, depth - 30, _SWITCH_Z - 1), "z")
    solid += bracket
    # The floor is doubled around the scan module's opening, so that its screws hold.
    solid += _block((box.insert[0] + 8, box.insert[1] + 4, wall), (0, box.window_y - box.insert[1] / 2 - 2, wall))
    solid -= _block((*box.opening, 4 * wall), (0, box.window_y - box.opening[1] / 2, -wall))
    for x, y in _insert_screws():
        solid -= _rod(box.pilot, 3 * wall, (x, y, 0.8), "z")
    for side in (-1, 1):
        solid -= _rod(box.gland, 4 * wall, (side * box.gland_x, box.window_y, -wall), "z")
        # Wall screws: keyholes above, round holes below.
        low, high = box.mount_z
        solid -= _rod(box.mount, 4 * wall, (side * box.mount_x, -wall, low))
        solid -= _rod(2 * box.mount, 4 * wall, (side * box.mount_x, -wall, high - 8))
        solid -= _block((box.mount, 4 * wall, 8), (side * box.mount_x, -wall, high - 8))
        solid -= _rod(box.mount, 4 * wall, (side * box.mount_x, -wall, high))
    return solid


def lid() -> Manifold:
    """The front: lamp, sound holes, a rim into the base, an arrow down to the shelf, the tamper switch's finger."""
    box = BOX
    top = box.depth - box.lid
    face = _rounded(box.width, box.height - box.wall - _GAP, box.radius)
    solid = _slab(face, top, box.lid)
    thick = box.wall + _GAP
    rim = _rounded(box.width - 2 * thick, box.height - 2 * thick, 4.5).translate([0, thick])
    hollow = _rounded(box.width - 2 * box.wall - 5, box.height - 2 * box.wall - 5, 2).translate([0, box.wall + 2.5])
    rim_solid = _slab(rim - hollow, top - 3, 3.2)
    for x, z in _corners():
        rim_solid -= _rod(12, 8, (x, top - 5, z))
    solid += rim_solid
    for x, z in _corners():
        solid -= _rod(box.screw, 3 * box.lid, (x, top - box.lid, z))
        solid -= _rod(6.4, 1.6, (x, box.depth - 1.5, z))
    for x in box.led_x:
        solid -= _rod(box.led, 3 * box.lid, (x, top - box.lid, box.led_z))
    for ring, count in ((0.0, 1), (6.0, 6), (12.0, 12), (18.0, 18)):  # a 40 mm speaker, or the buzzer alone
        for step in range(count):
            angle = 2 * math.pi * step / count
            solid -= _rod(2.6, 3 * box.lid, (ring * math.cos(angle), top - box.lid, 100 + ring * math.sin(angle)))
    arrow = CrossSection([[(-16, 40), (0, 18), (16, 40)]]) + CrossSection.square([12, 22]).translate([-6, 38])
    solid -= _slab(arrow, box.depth - 1, 2)
    finger_x = _SWITCH_X + _SWITCH_HOLES / 2
    return solid + _block((8, 12, 4), (finger_x, top - 11.5, _SWITCH_Z + 10))


def _insert_screws() -> list[tuple[float, float]]:
    x, y = BOX.insert[0] / 2 - 4, BOX.insert[1] / 2 - 4
    return [(sx * x, BOX.window_y + sy * y) for sx in (-1, 1) for sy in (-1, 1)]


def _insert_plate() -> Manifold:
    """The plate that screws onto the floor from inside; z begins at its underside."""
    width, depth = BOX.insert
    plate = _rounded(width, depth, 4).extrude(4).translate([0, BOX.window_y - depth / 2, 0])
    for x, y in _insert_screws():
        plate -= _rod(BOX.screw, 12, (x, y, -4), "z")
    return plate


def insert_m25() -> Manifold:
    """For scan modules with an M25 thread and a nut, such as GM861-LED."""
    return _insert_plate() - _rod(25.6, 12, (0, BOX.window_y, -4), "z")


def insert_window() -> Manifold:
    """For bare scan modules: a pocket for 40 x 32 x 3 mm acrylic, two cheeks with slots that clamp what is 46 mm or less."""
    plate = _insert_plate()
    plate -= _block((34, 26, 12), (0, BOX.window_y - 13, -4))
    plate -= _block((40.4, 32.4, 12), (0, BOX.window_y - 16.2, 1))
    for side in (-1, 1):
        cheek = _block((3, 28, 36), (side * 24.5, BOX.window_y - 14, 0))
        for y in (-7, 7):
            cheek -= _block((9, 2.4, 26), (side * 24.5, BOX.window_y + y - 1.2, 7))
        plate += cheek
    return plate


def tray(board: Controller) -> Manifold:
    """Carries a controller, its components to the wall and its pins to the front. z is away from the wall, y up."""
    width = board.width + 8
    length = max(board.length + 6, _TRAY_SCREWS + 12)
    plate = _rounded(width, length, 3).extrude(2.4).translate([0, -length / 2, 0])
    for side in (-1, 1):
        plate -= _rod(BOX.screw, 8, (0, side * _TRAY_SCREWS / 2, -2), "z")
        plate -= _rod(6.4, 8, (0, side * _TRAY_SCREWS / 2, 1.2), "z")
    if board.holes:
        for sx in (-1, 1):
            for sy in (-1, 1):
                at = (sx * board.holes[1] / 2, sy * board.holes[0] / 2)
                plate += _rod(5, 8, (*at, 0), "z")
                plate -= _rod(1.7, 9, (*at, 1), "z")
        return plate
    # Rails take the edges (1.6 mm); two stops at one end leave the middle free for a USB socket.
    for side in (-1, 1):
        rail = _block((4, length, 13), (side * (board.width / 2 + 1.6), -length / 2, 0))
        rail -= _block((2.4, board.length + 2 * _GAP, 2), (side * (board.width / 2 - 0.6), -board.length / 2 - _GAP, 10))
        plate += rail + _block((4, 2, 12), (side * (board.width / 2 - 1), -board.length / 2 - _GAP - 2, 0))
    return plate


def shelf() -> Manifold:
    """The shelf: wall plate, sloping plate with a lip, two gussets, the mark of a card engraved. y = 0 is the wall."""
    given = SHELF
    slope = _block((given.width, given.length, given.thickness), (0, 0, -given.thickness))
    slope += _block((given.width, 3, given.lip + given.thickness), (0, given.length - 3, -given.thickness))
    middle = mark_along_mm()
    outer = _rounded(CARD_MM[0] + 2, CARD_MM[1] + 2, 4)
    inner = _rounded(CARD_MM[0] - 1, CARD_MM[1] - 1, 3).translate([0, 1.5])
    mark = (outer - inner).extrude(2).translate([0, middle - CARD_MM[1] / 2 - 1, -0.8])
    slope -= mark
    slope = slope.rotate([-given.tilt_deg, 0, 0]).translate([0, given.thickness - 1, 0])
    plate = _rounded(given.width, given.plate, 4).extrude(given.thickness).rotate([90, 0, 0])
    plate = plate.translate([0, given.thickness, given.plate_up - given.plate])
    fall = math.tan(math.radians(given.tilt_deg))
    reach = given.length * math.cos(math.radians(given.tilt_deg)) - 10
    side = CrossSection([[(1, -given.plate + 14), (reach, -reach * fall - 3), (reach, -reach * fall - 1), (1, -1)]])
    solid = plate + slope
    for sign in (-1, 1):
        gusset = side.extrude(4).rotate([90, 0, 90]).translate([sign * (given.width / 2 - 10) - 2, given.thickness - 1, 0])
        solid += gusset
        for up in given.mount_up:
            solid -= _rod(given.mount, 20, (sign * given.mount_x, -5, given.plate_up - given.plate + up))
    solid -= _block((400, 200, 400), (0, -200, -200))  # nothing behind the wall
    return solid


def parts() -> dict[str, Manifold]:
    """Every printed part by its file's name."""
    made = {"base": base(), "lid": lid(), "insert-m25": insert_m25(), "insert-window": insert_window()}
    made |= {f"tray-{board.name}": tray(board) for board in CONTROLLERS}
    return made | {"shelf": shelf()}


def placed(name: str, solid: Manifold) -> Manifold:
    """A part where it belongs in the box; the shelf's wall plate stays at the wall, its mark's middle at z = 0."""
    if name.startswith("insert"):
        return solid.translate([0, 0, 2 * BOX.wall])
    if name.startswith("tray"):
        return solid.rotate([0, 0, 180]).rotate([-90, 0, 0]).translate([_TRAY_X, BOX.wall + 8, _TRAY_Z])
    if name == "shelf":
        return solid.translate([0, 0, shelf_edge_mm()])
    return solid


# How a part lies on the printer: degrees about x, y, z.
_PRINTED = {"base": (90, 0, 0), "lid": (-90, 0, 0), "shelf": (90, 0, 0)}


def triangles(solid: Manifold) -> np.ndarray:
    """The triangles of a solid, mm: (n, 3 corners, 3 coordinates), float32."""
    mesh = solid.to_mesh()
    return np.asarray(mesh.vert_properties, dtype=np.float32)[:, :3][np.asarray(mesh.tri_verts)]


def stl(solid: Manifold, name: str, header: str) -> bytes:
    """A binary STL as the part lies on the printer, its lowest point at 0; the header (79 bytes at most) says its source."""
    corners = triangles(solid.rotate(list(_PRINTED.get(name, (0, 0, 0)))))
    corners = corners - corners.reshape(-1, 3).min(axis=0)
    record = np.zeros(len(corners), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    record["normal"] = normal / np.where(length > 0, length, 1)
    record["corners"] = corners
    return header.encode("ascii")[:79].ljust(80, b" ") + struct.pack("<I", len(corners)) + record.tobytes()
