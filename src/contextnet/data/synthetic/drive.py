"""A drive: a seeded street, filmed frame by frame by a camera that moves through it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from contextnet.data.synthetic.camera import Camera, Pose
from contextnet.data.synthetic.flow import backward_flow
from contextnet.data.synthetic.scene import Scene, labels_of
from contextnet.data.synthetic.world import scene_for, street_for
from contextnet.errors import DataError

FOCAL_PER_HEIGHT = 2.2
MAX_SIDE_PX = 8192
MIN_SIDE_PX = 16
MAX_FRAMES = 2000


@dataclass(frozen=True, eq=False)
class StreetFrame:
    """One picture of a drive with its complete ground truth.

    ``image`` is uint8 (H, W, 3) RGB. ``label_ids`` is uint8 (H, W) Cityscapes label ids, of the 19 evaluated classes
    only. ``instance_ids`` is int32 (H, W): label id × 1000 + number for classes with single objects, else the label
    id. ``depth_m`` is float32 (H, W), the distance along the viewing axis, inf for the sky.
    """

    image: NDArray[np.uint8]
    label_ids: NDArray[np.uint8]
    instance_ids: NDArray[np.int32]
    depth_m: NDArray[np.float32]
    index: int
    time_s: float


class Drive:
    """A film of ``frame_count`` frames through the street that ``seed`` draws.

    Streets are busy, with all classes in view, or ``varied``: each of its own character, many nearly empty.
    Frame i is a pure function of what the drive is given and of i: any order, any process, the same pixels. Other
    sizes of the same shape (H : W) show the same view, coarser or finer. The street is drawn when the first frame is
    asked for and kept until ``release``; threads may ask for frames at the same time. Raises ``DataError`` when an
    argument is out of range.
    """

    def __init__(
        self,
        seed: int,
        size_hw: tuple[int, int] = (1024, 2048),
        frame_count: int = 30,
        frames_per_s: float = 17.0,
        varied: bool = False,
    ) -> None:
        _check(seed, size_hw, frame_count, frames_per_s)
        self.seed = seed
        self.size_hw = size_hw
        self.frame_count = frame_count
        self.frames_per_s = frames_per_s
        self.varied = varied
        self._street = street_for(seed, frame_count / frames_per_s, varied)
        self._scene: Scene | None = None
        self._scene_lock = Lock()

    def __reduce__(self) -> tuple[type[Drive], tuple[int, tuple[int, int], int, float, bool]]:
        return Drive, (self.seed, self.size_hw, self.frame_count, self.frames_per_s, self.varied)

    def __len__(self) -> int:
        return self.frame_count

    def __iter__(self) -> Iterator[StreetFrame]:
        return (self.frame(index) for index in range(self.frame_count))

    @property
    def camera(self) -> Camera:
        """The pinhole camera: principal point in the middle, focal length in pixels, no distortion."""
        height, width = self.size_hw
        focal_px = FOCAL_PER_HEIGHT * self._street.zoom * min(height, width / 2)
        return Camera(self.size_hw, focal_px)

    def time_s(self, index: int) -> float:
        """Time of frame ``index`` in seconds after the first."""
        return index / self.frames_per_s

    def pose(self, index: int) -> Pose:
        """Position and heading of the camera at frame ``index``."""
        return self._street.path.pose(self.time_s(index))

    def frame(self, index: int) -> StreetFrame:
        """Draw frame ``index``, 0-based. Raises ``IndexError`` beyond the drive's end."""
        if not 0 <= index < self.frame_count:
            raise IndexError(f"frame {index} of a drive of {self.frame_count} frames")
        view = self._opened().view(self.pose(index), self.time_s(index), index)
        with np.errstate(divide="ignore"):
            depth_m = np.reciprocal(view.inverse_depth)
        return StreetFrame(view.image, labels_of(view.ids), view.ids, depth_m, index, self.time_s(index))

    def motion(self, index: int) -> NDArray[np.float32]:
        """Backward flow (H, W, 2) of frame ``index``; draws the frame to know its depth (see ``motion_of``)."""
        return self.motion_of(self.frame(index))

    def motion_of(self, frame: StreetFrame) -> NDArray[np.float32]:
        """Backward flow float32 (H, W, 2) as (dy, dx) in pixels: where each pixel's surface point was one frame before.

        A pixel (y, x) shows what stood at (y + dy, x + dx) in the frame before, if nothing hid it there. NaN in frame
        0 and where the point lay outside the previous picture. The sky moves by the camera's rotation alone.
        """
        if frame.index == 0:
            return np.full((*self.size_hw, 2), np.nan, np.float32)
        poses = self.pose(frame.index), self.pose(frame.index - 1)
        times = frame.time_s, self.time_s(frame.index - 1)
        return backward_flow(self.camera, poses, times, frame.depth_m, frame.instance_ids, self._opened().world.movers)

    def release(self) -> None:
        """Free the drawn street; the next frame draws it again."""
        self._scene = None

    def _opened(self) -> Scene:
        with self._scene_lock:
            # What is returned stays drawn for its caller, also when another thread releases it meanwhile.
            scene = self._scene
            if scene is None:
                scene = self._scene = scene_for(self._street, self.camera)
            return scene


def _check(seed: int, size_hw: tuple[int, int], frame_count: int, frames_per_s: float) -> None:
    if seed < 0:
        raise DataError(f"seed {seed} of a drive is negative; use 0 or more")
    if min(size_hw) < MIN_SIDE_PX or max(size_hw) > MAX_SIDE_PX:
        raise DataError(f"size_hw {size_hw} of a drive is out of range; each side is {MIN_SIDE_PX} to {MAX_SIDE_PX} px")
    if not 1 <= frame_count <= MAX_FRAMES:
        raise DataError(f"frame_count {frame_count} of a drive is out of range; use 1 to {MAX_FRAMES}")
    if not 1.0 <= frames_per_s <= 1000.0:
        raise DataError(f"frames_per_s {frames_per_s} of a drive is out of range; use 1 to 1000")
