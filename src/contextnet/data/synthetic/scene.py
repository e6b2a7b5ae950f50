"""One drive's world, and the picture of it from one pose at one time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contextnet.data.synthetic.bodies import Thing
from contextnet.data.synthetic.camera import Camera, Pose
from contextnet.data.synthetic.canvas import Canvas
from contextnet.data.synthetic.ground import Ground
from contextnet.data.synthetic.ids import INSTANCE_STEP, LABEL_ID, label_of
from contextnet.data.synthetic.lens import seen_through_air, seen_through_lens
from contextnet.data.synthetic.light import Light
from contextnet.data.synthetic.quads import Quad, QuadSet, Vector
from contextnet.data.synthetic.sky import Sky
from contextnet.data.synthetic.texture import LitTextures

FARTHEST_M = 300.0
FARTHEST_SMALL_M = 160.0
BEHIND_M = 12.0
SHADOW_REACH_M = 4.0


@dataclass(frozen=True, eq=False)
class World:
    """What stands and moves in a drive's street.

    ``fixed`` are surfaces that never move, ``decals`` lie on the ground, ``flats`` stand but turn to the camera,
    ``movers`` are solid or move.
    """

    light: Light
    ground: Ground
    fixed: tuple[Quad, ...]
    decals: tuple[Quad, ...]
    flats: tuple[Thing, ...]
    movers: tuple[Thing, ...]


@dataclass(frozen=True, eq=False)
class View:
    """What the camera records: ``image`` uint8 (H, W, 3), ``ids`` int32 (H, W), ``inverse_depth`` float32 (H, W)."""

    image: NDArray[np.uint8]
    ids: NDArray[np.int32]
    inverse_depth: NDArray[np.float32]


class Scene:
    """Draws a world; keeps lit textures and arrays of the fixed surfaces between frames."""

    def __init__(self, world: World, camera: Camera, sky: Sky, noise_seed: int) -> None:
        self.world = world
        self._camera = camera
        self._sky = sky
        self._noise_seed = noise_seed
        self._textures = LitTextures(world.light)
        self._fixed = QuadSet(world.fixed, world.light)
        self._decals = QuadSet(world.decals, world.light)
        self._flats_z = np.array([thing.track.at(0.0)[0][2] for thing in world.flats])

    def view(self, pose: Pose, time_s: float, index: int) -> View:
        """Draw what ``pose`` sees at ``time_s``; ``index`` seeds the sensor's noise."""
        canvas = self._backdrop(pose)
        light = self.world.light
        eye = (pose.x_m, pose.y_m, pose.z_m)
        movers = [thing for thing in self.world.movers if self._in_sight(thing, time_s, pose)]
        shadows = QuadSet([quad for thing in movers for quad in thing.shadows(time_s)], light)
        for decals in (self._decals, shadows):
            for visible in decals.visible(self._camera, pose, FARTHEST_SMALL_M):
                canvas.draw(visible, self._textures)
        loose = QuadSet(self._standing(pose, eye) + [q for thing in movers for q in thing.quads(time_s, eye)], light)
        shown = self._fixed.visible(self._camera, pose, FARTHEST_M) + loose.visible(self._camera, pose, FARTHEST_M)
        for visible in sorted(shown, key=lambda v: -v.centre_m):
            canvas.draw(visible, self._textures)
        hazy = seen_through_air(canvas.colors, canvas.inverse_depth_HW, light)
        image = seen_through_lens(hazy, light, self._noise_seed + index)
        return View(image, canvas.ids_HW, canvas.inverse_depth_HW)

    def _backdrop(self, pose: Pose) -> Canvas:
        height, width = self._camera.size_hw
        colors_HW = np.frombuffer(self._sky.view(pose).tobytes(), np.uint32).reshape(height, width).copy()
        ids_HW = np.full((height, width), LABEL_ID["sky"], np.int32)
        inverse_depth_HW = np.zeros((height, width), np.float32)
        self.world.ground.draw(self._camera, pose, colors_HW, ids_HW, inverse_depth_HW)
        colors = Image.frombuffer("RGBX", (width, height), colors_HW.tobytes(), "raw", "RGBX", 0, 1)
        return Canvas(colors.copy(), ids_HW, inverse_depth_HW)

    def _in_sight(self, thing: Thing, time_s: float, pose: Pose) -> bool:
        """Whether a thing, its shadow included, may touch the picture; spares drawing people whom nobody sees."""
        position, _ = thing.track.at(time_s)
        side, _, ahead = pose.rotation @ (np.array(position) - pose.position)
        reach = thing.body.radius_m + SHADOW_REACH_M
        half_width = self._camera.size_hw[1] / 2 / self._camera.focal_px
        return bool(
            -reach < ahead < FARTHEST_SMALL_M + reach and abs(side) < half_width * max(ahead, 0.0) + 1.5 * reach
        )

    def _standing(self, pose: Pose, eye: Vector) -> list[Quad]:
        ahead = self._flats_z - pose.z_m
        kept = np.flatnonzero((ahead > -BEHIND_M) & (ahead < FARTHEST_M)).tolist()
        return [quad for i in kept for quad in self.world.flats[i].quads(0.0, eye)]


_LABEL_OF = np.array([label_of(number) for number in range(40 * INSTANCE_STEP)]).astype(np.uint8)


def labels_of(ids: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Label ids (uint8) of instance ids (int32), any shape."""
    labels: NDArray[np.uint8] = _LABEL_OF[ids]
    return labels
