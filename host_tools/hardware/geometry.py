"""Measures of the enclosure and of the place it hangs in, and what follows for reading: distance, view, glare, heights."""

from __future__ import annotations

import math
from dataclasses import dataclass

# ISO/IEC 7810 ID-1: a plastic card.
CARD_MM = (85.6, 54.0)


@dataclass(frozen=True)
class Box:
    """The box on the wall, mm. x to the left of one who faces it, y away from the wall, z up from its underside."""

    width: float = 150
    height: float = 170
    depth: float = 66
    wall: float = 3
    lid: float = 3
    radius: float = 6
    visor: float = 10  # how far the roof stands out over the lid
    gland: float = 16.2  # hole of an M16 cable gland
    gland_x: float = 58
    led: float = 10.2
    led_x: tuple[float, ...] = (-22, 0, 22)
    led_z: float = 140
    screw: float = 3.4  # M3, clear
    pilot: float = 2.6  # M3, cut by the screw itself
    mount: float = 5  # wall screws, 4 mm
    mount_x: float = 50
    mount_z: tuple[float, float] = (22, 148)
    window_y: float = 33  # the scan module's axis: straight down, this far from the wall
    insert: tuple[float, float] = (76, 50)  # the plate that carries the scan module, x and y
    opening: tuple[float, float] = (60, 40)


@dataclass(frozen=True)
class Shelf:
    """The shelf that a card is laid or held on, mm and degrees; its own wall plate, below the box."""

    width: float = 120
    length: float = 92  # of the sloping plate
    thickness: float = 4
    tilt_deg: float = 25  # the front edge is lower
    lip: float = 5
    plate: float = 64  # height of the wall plate
    mount: float = 5
    mount_x: float = 30
    mount_up: tuple[float, float] = (18, 36)  # from the wall plate's lower edge
    plate_up: float = 8  # of the wall plate above the sloping plate's upper edge


@dataclass(frozen=True)
class Controller:
    """A controller board's outline, mm. `holes`: distances of its four mounting holes, None if it has none."""

    name: str
    length: float
    width: float
    holes: tuple[float, float] | None = None


# LilyGO: the maker's dimension drawings. The Espressif boards have no holes: rails hold them by their edges, and
# their outline is Espressif's; copies differ, so measure yours.
CONTROLLERS = (
    Controller("esp32-devkitc", 54.4, 27.9),
    Controller("esp32-s3-devkitc-1", 62.8, 25.4),
    Controller("lilygo", 110.54, 33.07, (105.59, 27.72)),
)

BOX = Box()
SHELF = Shelf()


@dataclass(frozen=True)
class Place:
    """Where things hang, mm from the floor. The mark's middle decides; the rest follows from the distance."""

    mark: float = 950
    distance: float = 200  # from the window to the middle of the mark

    @property
    def window(self) -> float:
        """The underside of the box."""
        return self.mark + self.distance

    @property
    def lamp(self) -> float:
        """The lamp's height."""
        return self.window + BOX.led_z


PLACE = Place()
DISTANCES_MM = (150, 300)
# Fields of view by the manuals: GM65 and GM65-S 35 x 28 degrees, GM60 69 x 56.
VIEW_DEG = (35.0, 28.0)


def view_mm(distance: float, view_deg: tuple[float, float] = VIEW_DEG) -> tuple[float, float]:
    """What the module sees at a distance: width and depth, mm."""
    wide, deep = (2 * distance * math.tan(math.radians(angle / 2)) for angle in view_deg)
    return wide, deep


def card_fits(distance: float, view_deg: tuple[float, float] = VIEW_DEG) -> bool:
    """True if a whole card on the mark is in view, so that its code may be anywhere on it."""
    wide, deep = view_mm(distance, view_deg)
    return wide >= CARD_MM[0] and deep >= CARD_MM[1] * math.cos(math.radians(SHELF.tilt_deg))


def glare_margin_deg(tilt_deg: float = SHELF.tilt_deg, view_deg: tuple[float, float] = VIEW_DEG) -> float:
    """Degrees between the tilt and the least at which the module's own light cannot be mirrored into its lens.

    Lens and light are at one place. A flat card mirrors the light back along the card's normal, so no point of the
    view does that if the normal lies outside the view: a tilt above half the view, whichever way it is turned.
    """
    return tilt_deg - max(view_deg) / 2


def mirrored_elevation_deg(tilt_deg: float = SHELF.tilt_deg, view_deg: tuple[float, float] = VIEW_DEG) -> tuple[float, float]:
    """From where in front of the box light is mirrored into the lens: lowest and highest angle above the horizon."""
    middle = 90 - 2 * tilt_deg
    return middle - max(view_deg) / 2, middle + max(view_deg) / 2


def shelf_reach_mm() -> float:
    """How far the shelf stands out from the wall."""
    return SHELF.thickness + SHELF.length * math.cos(math.radians(SHELF.tilt_deg))


def mark_along_mm() -> float:
    """Where the middle of the mark is on the sloping plate, from its upper edge: under the window."""
    return (BOX.window_y - SHELF.thickness) / math.cos(math.radians(SHELF.tilt_deg))


def shelf_edge_mm() -> float:
    """Height of the plate's upper edge above the middle of the mark."""
    return mark_along_mm() * math.sin(math.radians(SHELF.tilt_deg))


def wall_holes_mm() -> list[tuple[str, float, float]]:
    """What is drilled: (box or shelf, distance from the middle line, height above the floor), left and right alike."""
    bottom = PLACE.mark + shelf_edge_mm() + SHELF.plate_up - SHELF.plate
    holes = [("box", BOX.mount_x, PLACE.window + z) for z in reversed(BOX.mount_z)]
    return holes + [("shelf", SHELF.mount_x, bottom + up) for up in reversed(SHELF.mount_up)]
