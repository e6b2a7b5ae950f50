"""The segmenter: a network that labels images one by one, many at a time, or as a stream. Needs no PyTorch.

segmenter = Segmenter.load("cn14-camvid-int8")
result = segmenter.predict(image)               # uint8 (H, W, 3) RGB, or an image file
for result in segmenter.stream(frames): ...     # several on their way at a time, results in order
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import ContextNetError, ImageError
from contextnet.images import MAX_PIXELS, read_image
from contextnet.labels import LabelSet
from contextnet.network_spec import NetworkSpec
from contextnet.runtime.engines.cores import streaming_calls
from contextnet.runtime.engines.engine import Engine, EngineInfo
from contextnet.runtime.engines.opening import OpenedEngine, find_model, open_engine
from contextnet.runtime.pending import PendingSegmentation
from contextnet.runtime.segmentation import Segmentation
from contextnet.runtime.timed_image import TimedImage

Image = NDArray[np.uint8] | Path | str
"""Pixels, uint8 (H, W, 3) RGB, or the path of an image file."""


@dataclass(frozen=True)
class EngineChoice:
    """Which engine runs a network, where, in which arithmetic and on how many threads; None leaves it to the engine."""

    engine: str = "auto"
    device: str = "auto"
    precision: str | None = None
    threads: int | None = None

    def open(self, source: Path, in_flight: int) -> OpenedEngine:
        """Open a network; ``in_flight`` is how many images are computed at a time."""
        return open_engine(
            source,
            engine=self.engine,
            device=self.device,
            precision=self.precision,
            in_flight=in_flight,
            threads=self.threads,
        )


class Segmenter:
    """Labels images of any size with one network. Threads may share it; they take turns.

    ``predict`` computes one image on all cores, for the least latency. ``stream`` and ``predict_batch`` have several
    on their way, for the highest rate; for them the network is opened a second time when they are first used.
    """

    def __init__(self, source: Path, choice: EngineChoice) -> None:
        self._source = source
        self._choice = choice
        self._single = choice.open(source, in_flight=1)
        self._several: Engine | None = None
        self._is_closed = False
        self._lock = Lock()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        engine: str = "auto",
        device: str = "auto",
        precision: str | None = None,
        threads: int | None = None,
    ) -> Self:
        """Load a shipped network by name, or a model file; with PyTorch installed, weights as well.

        ``engine`` is auto, openvino, onnxruntime or pytorch; ``device`` auto, cpu or cuda; ``precision`` fp32, bf16 or
        fp16, or None for what is fastest there; ``threads`` None for all usable cores. Raises ``ContextNetError`` when
        the file cannot be used or the engine is not there.
        """
        return cls(find_model(str(name_or_path), engine), EngineChoice(engine, device, precision, threads))

    @property
    def spec(self) -> NetworkSpec:
        """The network's description; its scores have the stride ``spec.output_stride``."""
        return self._single.spec

    @property
    def label_set(self) -> LabelSet:
        """The classes that the network tells apart."""
        return self._single.labels

    @property
    def info(self) -> EngineInfo:
        """What computes, where and how."""
        return self._single.engine.info

    @property
    def reason(self) -> str:
        """Why this engine was chosen, in one sentence."""
        return self._single.reason

    def predict(self, image: Image, *, confidence: bool = False) -> Segmentation:
        """Label one image; with ``confidence``, also give the probability of each pixel's label.

        Raises ``ImageError`` when the file cannot be read or the array is not uint8 (H, W, 3).
        """
        return self.begin(image).result(confidence=confidence)

    def begin(self, image: Image | TimedImage, *, is_one_of_several: bool = False) -> PendingSegmentation:
        """Begin to label one image, and give what its result can be had from.

        Waits while the engine has as many images on their way as it takes: one, or, for one of several, the number that
        makes the highest rate. The image must not change before its result is there. Raises as ``predict`` does.
        """
        self._require_open()
        engine = self._streaming_engine() if is_one_of_several else self._single.engine
        frame = image if isinstance(image, TimedImage) else None
        pixels = _pixels(image if frame is None else frame.image)
        started_s = time.perf_counter()
        with self._lock:
            inference = engine.submit(pixels[None])
        stride = self.spec.output_stride
        return PendingSegmentation(inference, pixels.shape[:2], stride, self.label_set, started_s, frame)

    def images_on_their_way(self) -> int:
        """Give how many images make the highest rate when they are begun as some of several."""
        return self._streaming_engine().info.in_flight

    def predict_batch(self, images: Sequence[Image], *, confidence: bool = False) -> list[Segmentation]:
        """Label images, which may differ in size. Raises ``ImageError`` as ``predict`` does."""
        if isinstance(images, str | Path):
            raise ImageError.at(images, "is one image", "a batch is a list of images")
        return list(self.stream(images, confidence=confidence))

    def stream(self, frames: Iterable[Image | TimedImage], *, confidence: bool = False) -> Iterator[Segmentation]:
        """Label frames as they come, and give the results in their order; ``frames`` may be a source of a stream.

        A few are on their way at a time, one more than there are threads: a result comes when so many frames have
        been taken, or the source has ended, and a slow consumer holds the source back, so that memory stays bounded. A
        frame must not change before its result has come. What the source raises is raised after the results of the
        frames before. ``latency_ms`` of a result runs until it is taken, the wait for younger frames included.

        The frames of a source whose ``info.is_live`` is true cannot wait: each is computed as it comes, one by one.
        """
        self._require_open()
        if getattr(getattr(frames, "info", None), "is_live", False):
            for frame in frames:
                yield self.begin(frame).result(confidence=confidence)
            return
        limit = self.images_on_their_way()
        pending: deque[PendingSegmentation] = deque()
        failure = None
        try:
            for frame in frames:
                pending.append(self.begin(frame, is_one_of_several=True))
                if len(pending) >= limit:
                    yield pending.popleft().result(confidence=confidence)
        except Exception as error:  # the frames before it are on their way
            failure = error
        while pending:
            yield pending.popleft().result(confidence=confidence)
        if failure is not None:
            raise failure

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Label one image, uint8 (H, W, 3) RGB, with train ids, uint8 (H, W)."""
        return self.predict(image_HW3).labels

    def close(self) -> None:
        """Give back memory and threads; the segmenter cannot be used any more."""
        self._is_closed = True
        self._single.engine.close()
        if self._several is not None:
            self._several.close()

    def __str__(self) -> str:
        info = self.info
        return f"{info.name} ({info.precision})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_open(self) -> None:
        if self._is_closed:
            raise ContextNetError("the segmenter is closed; load the network again")

    def _streaming_engine(self) -> Engine:
        if self._several is None:
            calls = streaming_calls(self.info.device, self._choice.threads)
            self._several = replace(self._choice, engine=self.info.name).open(self._source, calls).engine
        return self._several


def _pixels(image: object) -> NDArray[np.uint8]:
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        shape = getattr(image, "shape", None)
        found = f"{image.dtype} {shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError.at("image", f"is {found}", "expected uint8 (height, width, 3), RGB of 0 to 255")
    height, width, _ = image.shape
    if not 0 < height * width <= MAX_PIXELS:
        raise ImageError.at("image", f"is {height}×{width}; 1 to {MAX_PIXELS} pixels are possible", "scale it")
    return np.ascontiguousarray(image)
