"""A folder of images as a source."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from contextnet.errors import ImageError, StreamError
from contextnet.images import image_files, read_image
from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.source import SourceCounts, SourceInfo
from contextnet.streaming.sources.video import DEFAULT_RATE


class FolderSource:
    """The images of a folder in the order of their names, ``rate`` a second; those that cannot be read are left out."""

    def __init__(self, folder: Path, rate: Fraction = DEFAULT_RATE) -> None:
        self._folder = folder
        self._rate = rate
        self._files = image_files(folder)
        self._counts = SourceCounts()
        self._is_closed = False

    @property
    def info(self) -> SourceInfo:
        """The folder, how many images it holds, and their rate."""
        return SourceInfo(str(self._folder), False, self._rate, len(self._files))

    @property
    def counts(self) -> SourceCounts:
        """How many images were damaged so far."""
        return self._counts

    def __iter__(self) -> Iterator[Frame]:
        """Give the images, numbered by their places in the folder. Raises ``StreamError`` when none could be read."""
        is_empty = True
        failure = None
        for number, file in enumerate(self._files):
            if self._is_closed:
                return
            try:
                image = read_image(file)
            except ImageError as error:
                failure = error
                self._counts.damaged += 1
                continue
            yield Frame.of_image(image, number, number / self._rate)
            is_empty = False
        if failure is not None and is_empty:
            raise StreamError.at(self._folder, f"holds no image that can be read; {failure.detail}", failure.remedy)

    def close(self) -> None:
        """End the frames with the next one."""
        self._is_closed = True
