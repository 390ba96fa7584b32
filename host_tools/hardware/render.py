"""Draws solids without a graphics card: parallel projection, a depth buffer, light from the upper left, dark edges."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

_LIGHT = np.array([-0.45, 0.55, 0.70])
_GROUND = np.array([246, 247, 245], dtype=np.float32)
_FINE = 2  # pixels are halved, then averaged


@dataclass(frozen=True)
class Camera:
    """Looks along a direction given by its turn about z and its height, degrees; `scale` is pixels a millimetre."""

    turn_deg: float
    height_deg: float
    scale: float
    size: tuple[int, int]
    middle: tuple[float, float, float]  # the point that is drawn in the middle

    def axes(self) -> np.ndarray:
        """Rows: right, up, towards the eye."""
        turn, height = math.radians(self.turn_deg), math.radians(self.height_deg)
        toward = np.array([math.cos(height) * math.sin(turn), math.cos(height) * math.cos(turn), math.sin(height)])
        right = np.array([math.cos(turn), -math.sin(turn), 0.0])
        right = -right  # the wall is behind: x grows to the left of one who looks at it from the front
        return np.array([right, np.cross(toward, right), toward])

    def project(self, points: np.ndarray) -> np.ndarray:
        """(…, 3) points in mm to pixels right, down, and depth towards the eye."""
        seen = (np.asarray(points, dtype=np.float64) - np.array(self.middle)) @ self.axes().T
        seen[..., 0] = self.size[0] / 2 + seen[..., 0] * self.scale
        seen[..., 1] = self.size[1] / 2 - seen[..., 1] * self.scale
        return seen


def render(items: list[tuple[np.ndarray, str]], camera: Camera) -> bytes:
    """A PNG of solids: each its triangles (n, 3, 3) in mm and a colour such as "#1d7a46"."""
    width, height = camera.size[0] * _FINE, camera.size[1] * _FINE
    depth = np.full((height, width), -np.inf, dtype=np.float32)
    normals = np.zeros((height, width, 3), dtype=np.float32)
    colours = np.broadcast_to(_GROUND, (height, width, 3)).copy()
    axes = camera.axes()
    light = _LIGHT / np.linalg.norm(_LIGHT)
    for corners, colour in items:
        paint = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], dtype=np.float32)
        seen = camera.project(corners)
        seen[..., :2] *= _FINE
        faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) @ axes.T
        lengths = np.linalg.norm(faces, axis=1)
        for triangle, face, length in zip(seen, faces, lengths, strict=True):
            if length == 0 or face[2] <= 0:
                continue
            normal = face / length
            _fill(triangle, normal, paint * (0.42 + 0.58 * max(0.0, float(normal @ light))), depth, normals, colours)
    # An edge is where the surface turns or the depth jumps.
    solid = np.isfinite(depth)
    filled = np.where(solid, depth, -1e6)
    edge = np.zeros((height, width), dtype=bool)
    for axis in (0, 1):
        turn = 1 - (normals * np.roll(normals, 1, axis)).sum(axis=2)
        both = solid & np.roll(solid, 1, axis)
        edge |= (both & (turn > 0.2)) | (np.abs(filled - np.roll(filled, 1, axis)) > 0.8)
    edge[0, :] = edge[:, 0] = False  # there the picture was compared with its other side
    colours[edge] *= 0.45
    small = colours.reshape(camera.size[1], _FINE, camera.size[0], _FINE, 3).mean(axis=(1, 3))
    image = Image.fromarray(small.clip(0, 255).astype(np.uint8)).quantize(128)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _fill(
    triangle: np.ndarray, normal: np.ndarray, paint: np.ndarray, depth: np.ndarray, normals: np.ndarray, colours: np.ndarray
) -> None:
    """Paint one triangle (pixels and depth) where it is nearer than what is there."""
    (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = triangle
    left, right = max(0, math.floor(min(x0, x1, x2))), min(depth.shape[1], math.ceil(max(x0, x1, x2)) + 1)
    top, bottom = max(0, math.floor(min(y0, y1, y2))), min(depth.shape[0], math.ceil(max(y0, y1, y2)) + 1)
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if left >= right or top >= bottom or abs(area) < 1e-9:
        return
    xs, ys = np.arange(left, right) + 0.5, np.arange(top, bottom)[:, None] + 0.5
    a = ((x1 - xs) * (y2 - ys) - (x2 - xs) * (y1 - ys)) / area
    b = ((x2 - xs) * (y0 - ys) - (x0 - xs) * (y2 - ys)) / area
    c = 1 - a - b
    z = a * z0 + b * z1 + c * z2
    window = (slice(top, bottom), slice(left, right))
    nearer = (a >= -1e-6) & (b >= -1e-6) & (c >= -1e-6) & (z > depth[window])
    depth[window][nearer] = z[nearer]
    normals[window][nearer] = normal
    colours[window][nearer] = paint
