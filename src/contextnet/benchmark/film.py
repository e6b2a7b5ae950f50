"""The video that is streamed to measure: a drive through a drawn street, there and back again."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
from av import VideoFrame

from contextnet.benchmark.street import require_drawable
from contextnet.data.synthetic.dataset import drives_for

DRAWN_FRAMES = 16
FRAMES = 240
RATE = 25
FILM_OPTIONS = {"preset": "veryfast", "crf": "21"}
"""As a recording is made, with what makes decoding take its usual time."""

CAMERA_OPTIONS = FILM_OPTIONS | {"bf": "0"}
"""As a camera sends it: no picture waits for a later one."""


def film_street(
    size_hw: tuple[int, int], path: Path, frames: int = FRAMES, options: Mapping[str, str] = FILM_OPTIONS
) -> Path:
    """Film a drawn street in H.264: the first frames of a drive forwards, backwards, and so on.

    Drawing takes far longer than labelling, so that few frames have to serve several times. Raises ``ContextNetError``
    for a size that no street is drawn in.
    """
    require_drawable(size_hw)
    drive = drives_for("demo", 1, size_hw, DRAWN_FRAMES, frames_per_s=float(RATE))[0]
    pictures = [VideoFrame.from_ndarray(frame.image, format="rgb24") for frame in drive]
    there_and_back = [*pictures, *pictures[-2:0:-1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=dict(options))
        stream.height, stream.width = (side + side % 2 for side in size_hw)
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            picture = there_and_back[index % len(there_and_back)]
            picture.pts, picture.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path
