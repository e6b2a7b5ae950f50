"""An engine that labels each picture with the number it shows, and what else a stream without a network needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from threading import Event

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from contextnet.runtime.engines.engine import EngineInfo
from contextnet.runtime.engines.opening import OpenedEngine
from contextnet.runtime.segmentation import Segmentation
from contextnet.runtime.segmenter import EngineChoice, Segmenter
from contextnet.spec import variant
from contextnet.streaming.frame import Frame
from contextnet.streaming.sources.source import SourceCounts, SourceInfo
from counted_videos import SIZE_HW, counted_picture, number_in
from lively_networks import CLASSES, some_labels

SPEC, LABELS = variant("cn14", CLASSES), some_labels(CLASSES)


def ignore_number(number: int) -> None:
    """Do nothing about a picture."""


@dataclass(frozen=True)
class CountedInference:
    """The call for one picture, of a number."""

    number: int
    size_hw: tuple[int, int]
    on_scores: Callable[[int], None]

    def scores(self) -> NDArray[np.float32]:
        """One class is far ahead everywhere: the number's remainder by the classes."""
        self.on_scores(self.number)
        height, width = (-(-side // 8) for side in self.size_hw)
        scores = np.zeros((1, CLASSES, height, width), np.float32)
        scores[:, self.number % CLASSES] = 10 + self.number
        return scores

    def labels(self) -> NDArray[np.uint8]:
        return np.full((1, *self.size_hw), self.number % CLASSES, np.uint8)


@dataclass(frozen=True)
class CountingEngine:
    """Computes nothing; ``on_submit`` and ``on_scores`` are told each number and may fail or wait."""

    in_flight: int
    on_submit: Callable[[int], None]
    on_scores: Callable[[int], None]

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("counting", "1", "cpu", "fp32", self.in_flight)

    def submit(self, images: NDArray[np.uint8]) -> CountedInference:
        number = number_in(images[0])
        self.on_submit(number)
        return CountedInference(number, images.shape[1:3], self.on_scores)

    def close(self) -> None:
        """There is nothing to give back."""


@dataclass(frozen=True)
class CountingChoice(EngineChoice):
    """The choice of a counting engine."""

    on_submit: Callable[[int], None] = ignore_number
    on_scores: Callable[[int], None] = ignore_number

    def open(self, source: Path, in_flight: int) -> OpenedEngine:
        return OpenedEngine(CountingEngine(in_flight, self.on_submit, self.on_scores), SPEC, LABELS, "to count")


def counting_segmenter(
    on_submit: Callable[[int], None] = ignore_number, on_scores: Callable[[int], None] = ignore_number
) -> Segmenter:
    return Segmenter(Path("counting"), CountingChoice(on_submit=on_submit, on_scores=on_scores))


class CountedSource:
    """Frames whose pictures show their index; ``length`` None goes on until it is closed."""

    def __init__(
        self, length: int | None, *, is_live: bool = False, sizes_hw: tuple[tuple[int, int], ...] = (SIZE_HW,)
    ) -> None:
        self.info = SourceInfo("counted", is_live, Fraction(25), length)
        self.counts = SourceCounts()
        self.given = 0
        self.closed = Event()
        self._sizes_hw = sizes_hw

    def __iter__(self) -> Iterator[Frame]:
        while self.given != self.info.frame_count and not self.closed.is_set():
            number = self.given
            self.given += 1
            image = counted_picture(number % 256, self._sizes_hw[number % len(self._sizes_hw)])
            yield Frame.of_image(image, number, Fraction(number, 25))

    def close(self) -> None:
        self.closed.set()


@dataclass
class Keeping:
    """A sink that keeps what it gets, and does with each number what ``on_write`` does."""

    needs_picture: bool = False
    name: str = "kept"
    on_write: Callable[[int], None] = ignore_number
    results: list[Segmentation] = field(default_factory=list)
    pictures: list[VideoFrame | None] = field(default_factory=list)
    closed: int = 0

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        assert result.frame is not None
        self.on_write(result.frame.index)
        self.results.append(result)
        self.pictures.append(picture)

    def close(self) -> None:
        self.closed += 1
