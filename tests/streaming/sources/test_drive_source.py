from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from contextnet.data.synthetic.drive import Drive
from contextnet.streaming.sources.drive import DriveSource


@pytest.mark.parametrize(("rate", "fraction"), [(17.0, Fraction(17)), (30 / 1.001, Fraction(30_000, 1001))])
def test_the_frames_are_those_of_the_drive(rate: float, fraction: Fraction) -> None:
    drive = Drive(3, (32, 64), frame_count=4, frames_per_s=rate)
    source = DriveSource(drive)
    assert (source.info.name, source.info.is_live) == ("synthetic drive 3", False)
    assert (source.info.rate, source.info.frame_count) == (fraction, 4)
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, drive.frame(index).image)
        assert frame.video.pts == round(90_000 * index / rate)
    assert source.counts.damaged == source.counts.dropped == 0


def test_closing_ends_the_frames() -> None:
    source = DriveSource(Drive(3, (32, 64), frame_count=50))
    frames = iter(source)
    assert next(frames).index == 0
    source.close()
    source.close()
    assert list(frames) == []
