"""A drawn drive through a street as a source."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from contextnet.data.synthetic.drive import Drive
from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.source import SourceCounts, SourceInfo


class DriveSource:
    """The frames of a synthetic drive, drawn one by one as they are asked for."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._counts = SourceCounts()
        self._is_closed = False

    @property
    def info(self) -> SourceInfo:
        """The drive's seed, rate and length."""
        rate = Fraction(self._drive.frames_per_s).limit_denominator(1001)
        return SourceInfo(f"synthetic drive {self._drive.seed}", False, rate, self._drive.frame_count)

    @property
    def counts(self) -> SourceCounts:
        """Nothing is lost of a drive."""
        return self._counts

    def __iter__(self) -> Iterator[Frame]:
        """Draw the frames."""
        for index in range(self._drive.frame_count):
            if self._is_closed:
                return
            yield Frame.of_image(self._drive.frame(index).image, index, self._drive.time_s(index))

    def close(self) -> None:
        """End the frames with the next one."""
        self._is_closed = True
