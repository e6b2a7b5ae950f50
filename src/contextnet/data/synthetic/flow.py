"""True picture motion between two frames, from depth, camera poses and the tracks of moving things."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from contextnet.data.synthetic.bodies import Thing
from contextnet.data.synthetic.camera import Camera, FloatArray, Pose
from contextnet.data.synthetic.ids import INSTANCE_STEP


def backward_flow(
    camera: Camera,
    poses: tuple[Pose, Pose],
    times_s: tuple[float, float],
    depth_HW: NDArray[np.float32],
    ids_HW: NDArray[np.int32],
    movers: Sequence[Thing],
) -> NDArray[np.float32]:
    """Flow float32 (H, W, 2) as (dy, dx) from the first of ``poses`` to the second; NaN outside that picture.

    ``depth_HW`` is along the viewing axis, inf for points at infinity.
    """
    height, width = camera.size_hw
    now, before = poses
    rays = _rays(camera)
    far = ~np.isfinite(depth_HW)
    scale = np.where(far, 1.0, depth_HW).astype(np.float32)
    points = rays * scale[..., None]
    turn = (before.rotation @ now.rotation.T).astype(np.float32)
    shift = (before.rotation @ (now.position - before.position)).astype(np.float32)
    moved = points @ turn.T + np.where(far, 0.0, 1.0).astype(np.float32)[..., None] * shift
    for thing in movers:
        if thing.track.moves:
            _move_back(
                moved, points, np.isin(ids_HW, [i for i in thing.ids if i >= INSTANCE_STEP]), thing, poses, times_s
            )
    depth = moved[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        flow = moved[..., 1::-1] / depth[..., None] - rays[..., 1::-1]
    flow *= np.float32(camera.focal_px)
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5 + flow[..., 0]
    columns = np.arange(width, dtype=np.float32)[None] + 0.5 + flow[..., 1]
    outside = (depth <= 0) | (rows < 0) | (rows > height) | (columns < 0) | (columns > width)
    flow[outside] = np.nan
    return flow.astype(np.float32, copy=False)


def _rays(camera: Camera) -> NDArray[np.float32]:
    height, width = camera.size_hw
    rays = np.ones((height, width, 3), np.float32)
    rays[..., 0] = ((np.arange(width) + 0.5 - width / 2) / camera.focal_px)[None]
    rays[..., 1] = ((np.arange(height) + 0.5 - height / 2) / camera.focal_px)[:, None]
    return rays


def _move_back(
    moved: NDArray[np.float32],
    points: NDArray[np.float32],
    mask: NDArray[np.bool_],
    thing: Thing,
    poses: tuple[Pose, Pose],
    times_s: tuple[float, float],
) -> None:
    """Put the masked points where the rigid thing had them at the second time, in that view's axes."""
    if not mask.any():
        return
    now, before = poses
    (here, heading), (there, heading_before) = thing.track.at(times_s[0]), thing.track.at(times_s[1])
    world = points[mask].astype(np.float64) @ now.rotation + now.position
    back = world - np.array(here)
    back = back @ _turn(heading_before - heading).T + np.array(there)
    moved[mask] = ((back - before.position) @ before.rotation.T).astype(np.float32)


def _turn(angle_rad: float) -> FloatArray:
    c, s = cos(angle_rad), sin(angle_rad)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
