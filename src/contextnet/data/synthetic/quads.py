"""Flat textured surfaces in the world, and what of them one view shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from contextnet.data.synthetic.camera import Camera, FloatArray, Pose
from contextnet.data.synthetic.light import LIGHT_LEVELS, Light
from contextnet.data.synthetic.texture import MAX_REDUCTION, Texture

Vector = tuple[float, float, float]

NEAR_M = 0.25
MIN_AREA_PX = 2.0
UPRIGHT_LEVEL_SHARE = 0.55


@dataclass(frozen=True, eq=False)
class Quad:
    """A parallelogram: point(u, v) = origin + u·across + v·down, u and v in 0..1, in metres.

    Seen from its front, ``across`` runs to the right and ``down`` downwards. ``ids`` are the instance ids that the
    texture's codes name. A ``turning`` surface stands for a round or loose thing: it has no back and takes the same
    light from all sides. ``shaded`` keeps the sun off. A ``decal`` colours the ground under it and hides nothing.
    """

    origin: Vector
    across: Vector
    down: Vector
    texture: Texture
    ids: tuple[int, ...]
    turning: bool = False
    shaded: bool = False
    decal: bool = False

    def moved(self, position: Vector, heading_rad: float) -> Quad:
        """Turn about the vertical axis by ``heading_rad`` (to the right) and shift to ``position``."""
        c, s = float(np.cos(heading_rad)), float(np.sin(heading_rad))
        x, y, z = self.origin
        origin = (position[0] + c * x + s * z, position[1] + y, position[2] - s * x + c * z)
        return replace(self, origin=origin, across=_turned(self.across, c, s), down=_turned(self.down, c, s))


def _turned(vector: Vector, c: float, s: float) -> Vector:
    return c * vector[0] + s * vector[2], vector[1], -s * vector[0] + c * vector[2]


@dataclass(frozen=True, eq=False)
class Visible:
    """One quad as a view shows it.

    ``to_texture`` (3, 3) takes pixel vectors (x, y, 1) to (u, v, 1) / depth. ``box`` is (left, top, right, bottom)
    in pixels, inside the picture.
    """

    quad: Quad
    to_texture: FloatArray
    box: tuple[int, int, int, int]
    level: int
    reduce_u: int
    reduce_v: int
    centre_m: float


class QuadSet:
    """Many quads, with their geometry in arrays, so that a view discards most of them at once."""

    def __init__(self, quads: Sequence[Quad], light: Light) -> None:
        self.quads = tuple(quads)
        self._origin = np.array([q.origin for q in quads], np.float64).reshape(-1, 3)
        self._across = np.array([q.across for q in quads], np.float64).reshape(-1, 3)
        self._down = np.array([q.down for q in quads], np.float64).reshape(-1, 3)
        self._turning = np.array([q.turning for q in quads], bool)
        self._texture_wh = np.array([q.texture.image.size for q in quads], np.float64).reshape(-1, 2)
        normal = np.cross(self._across, self._down)
        self._normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        self._level = self._levels(light)

    def _levels(self, light: Light) -> NDArray[np.int64]:
        share = np.clip(self._normal @ np.array(light.sun), 0, 1)
        share[self._turning] = UPRIGHT_LEVEL_SHARE
        share[np.array([q.shaded for q in self.quads], bool)] = 0
        levels: NDArray[np.int64] = np.rint(share * LIGHT_LEVELS).astype(np.int64)
        return levels

    def visible(self, camera: Camera, pose: Pose, farthest_m: float) -> list[Visible]:
        """Find the quads that face the view and touch the picture, farthest first."""
        if not self.quads:
            return []
        rotation, eye = pose.rotation, pose.position
        corners = self._origin[:, None] + self._corner_offsets() - eye
        seen = corners @ rotation.T
        nearest, centre = seen[:, :, 2].min(1), seen[:, :, 2].mean(1)
        facing = np.einsum("ij,ij->i", self._normal, -corners.mean(1)) > 1e-4
        kept = np.flatnonzero((facing | self._turning) & (seen[:, :, 2].max(1) > NEAR_M) & (nearest < farthest_m))
        shown = []
        for i in kept[np.argsort(-centre[kept], kind="stable")].tolist():
            found = self._project(i, seen[i], camera)
            if found is not None:
                shown.append(found)
        return shown

    def _corner_offsets(self) -> FloatArray:
        zero = np.zeros_like(self._across)
        return np.stack([zero, self._across, self._across + self._down, self._down], axis=1)

    def _project(self, i: int, seen: FloatArray, camera: Camera) -> Visible | None:
        height, width = camera.size_hw
        outline = seen if seen[:, 2].min() > NEAR_M else _clipped(seen)
        xs = outline[:, 0] / outline[:, 2] * camera.focal_px + width / 2
        ys = outline[:, 1] / outline[:, 2] * camera.focal_px + height / 2
        x_min, x_max, y_min, y_max = float(xs.min()), float(xs.max()), float(ys.min()), float(ys.max())
        if (x_max - x_min) * (y_max - y_min) < MIN_AREA_PX:
            return None
        box = (max(0, int(x_min)), max(0, int(y_min)), min(width, int(x_max) + 1), min(height, int(y_max) + 1))
        if box[0] >= box[2] or box[1] >= box[3]:
            return None
        plane = np.stack([seen[1] - seen[0], seen[3] - seen[0], seen[0]], axis=1)
        if abs(np.linalg.det(plane)) < 1e-9:
            return None
        to_texture = np.linalg.inv(camera.matrix @ plane)
        reduce_u, reduce_v = (0, 0) if outline is not seen else _reductions(xs, ys, self._texture_wh[i])
        return Visible(
            self.quads[i], to_texture, box, int(self._level[i]), reduce_u, reduce_v, float(seen[:, 2].mean())
        )


def _clipped(seen: FloatArray) -> FloatArray:
    """Cut the polygon (4, 3) in camera coordinates at the near plane."""
    points = []
    for a, b in zip(seen, np.roll(seen, -1, axis=0), strict=True):
        if a[2] > NEAR_M:
            points.append(a)
        if (a[2] > NEAR_M) != (b[2] > NEAR_M):
            points.append(a + (b - a) * ((NEAR_M - a[2]) / (b[2] - a[2])))
    return np.array(points)


def _reductions(xs: FloatArray, ys: FloatArray, texture_wh: FloatArray) -> tuple[int, int]:
    """How often to halve the texture so that about one of its pixels falls on one of the picture's."""
    sides = np.hypot(xs - np.roll(xs, -1), ys - np.roll(ys, -1))
    halvings = []
    for length_px, texture_px in ((max(sides[0], sides[2]), texture_wh[0]), (max(sides[1], sides[3]), texture_wh[1])):
        ratio = texture_px / max(float(length_px), 0.5)
        halvings.append(int(min(MAX_REDUCTION, max(0.0, np.log2(ratio) + 0.4))))
    return halvings[0], halvings[1]
