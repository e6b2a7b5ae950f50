"""A stream: frames from a source, labelled, drawn, and given to sinks, every step at the same time as the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from contextnet.runtime.pending import PendingSegmentation
from contextnet.runtime.regrouping import Regrouping
from contextnet.runtime.segmentation import Segmentation
from contextnet.runtime.segmenter import Segmenter
from contextnet.runtime.smoothing.smoother import Smoother
from contextnet.streaming.drawing import OverlayPainter
from contextnet.streaming.figures import StreamFigures
from contextnet.streaming.frame import Frame
from contextnet.streaming.pipeline import Pipeline, Stage
from contextnet.streaming.sinks.sink import Interactive, Sink
from contextnet.streaming.sources.source import Source
from contextnet.streaming.statistics import StreamStatistics

LIVE_FRAMES = 1
"""Two at a time make a tenth more frames on two cores, and every result a fifth older."""

WAITING_FRAMES = 4
"""Recorded frames on their way beside those that the engine computes: one for each stage around it."""

MAX_GAP_S = 1.0
"""What was to be seen longer ago says nothing of the present."""


@dataclass(frozen=True)
class StreamOptions:
    """What is done to every result: smoothed over time, its classes merged, its confidence given."""

    smoother: Smoother | None = None
    regrouping: Regrouping | None = None
    confidence: bool = False


class LabelStream:
    """Labels a source's frames and gives the results to sinks, in threads, while it is entered as a context.

    Leaving the context ends the source and finishes every sink, after an error too, and raises the first error of any
    part that ``wait`` has not raised. Of a live source one frame is on its way, and the newest follows it; of a
    recorded one every frame comes out, in order. Nobody else may use the segmenter meanwhile. A part that is
    blocked is waited for no longer after an error, an interrupt that follows ``stop``, or ``stop`` with a limit.
    """

    def __init__(
        self, segmenter: Segmenter, source: Source, sinks: Sequence[Sink], options: StreamOptions | None = None
    ) -> None:
        self._statistics = StreamStatistics(source)
        self._sinks = sinks
        is_live = source.info.is_live
        steps = _Steps(segmenter, options or StreamOptions(), is_one_of_several=not is_live)
        draws = any(sink.needs_picture for sink in sinks)
        self._pipeline = Pipeline(
            (_Passage(frame) for frame in source),
            steps.stages(draws=draws),
            [_end(sink) for sink in sinks] or [Stage("results", lambda passage: None)],
            capacity=LIVE_FRAMES if is_live else segmenter.images_on_their_way() + WAITING_FRAMES,
            on_done=self._note,
            stop_source=source.close,
        )

    @property
    def is_blocked(self) -> bool:
        """Tell whether a part is still at work; behind the context it is one that is waited for no longer."""
        return self._pipeline.is_blocked

    def stop(self, within_s: float | None = None) -> None:
        """End the source; what is on its way is still finished, in so many seconds where a limit is given.

        Any thread may call it.
        """
        self._pipeline.stop(within_s)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the end, at most so long, and tell whether it has come; raises the first error of any part."""
        self._heed_users()
        has_ended = self._pipeline.wait(timeout_s)
        if has_ended:
            self._statistics.end()
        return has_ended

    def figures(self) -> StreamFigures:
        """Give the figures so far; any thread may ask."""
        return self._statistics.figures(self._pipeline.clocks)

    def __enter__(self) -> Self:
        self._statistics.begin()
        self._pipeline.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._pipeline.__exit__(kind, error, trace)
        finally:
            self._statistics.end()

    def _note(self, passage: _Passage) -> None:
        self._statistics.note(passage.frame.arrived_s)
        self._heed_users()

    def _heed_users(self) -> None:
        if any(isinstance(sink, Interactive) and sink.asks_to_stop for sink in self._sinks):
            self.stop()


@dataclass
class _Passage:
    """What one frame has become so far."""

    frame: Frame
    pending: PendingSegmentation | None = None
    smoothed: NDArray[np.float32] | None = None
    result: Segmentation | None = None
    picture: VideoFrame | None = None


class _Steps:
    """The work on each frame between source and sinks."""

    def __init__(self, segmenter: Segmenter, options: StreamOptions, *, is_one_of_several: bool) -> None:
        self._segmenter = segmenter
        self._options = options
        self._is_one_of_several = is_one_of_several
        self._last_time_s = -1e9
        regrouping = options.regrouping
        self._painter = OverlayPainter(segmenter.label_set if regrouping is None else regrouping.target)

    def stages(self, *, draws: bool) -> list[Stage[_Passage]]:
        """Give the steps in their order; two bear the network's name, one beginning and one waiting for its calls."""
        stages = [Stage("prepare", self._prepare), Stage("network", self._begin), Stage("network", self._wait)]
        if self._options.smoother is not None:
            stages.append(Stage("smooth", self._smooth))
        stages.append(Stage("labels", self._label))
        if draws:
            stages.append(Stage("draw", self._draw))
        return stages

    def _prepare(self, passage: _Passage) -> None:
        # The first look at the image converts it.
        assert passage.frame.image.size

    def _begin(self, passage: _Passage) -> None:
        passage.pending = self._segmenter.begin(passage.frame, is_one_of_several=self._is_one_of_several)

    def _wait(self, passage: _Passage) -> None:
        assert passage.pending is not None
        passage.pending.scores()

    def _smooth(self, passage: _Passage) -> None:
        assert passage.pending is not None
        assert self._options.smoother is not None
        time_s = passage.frame.time_s
        if not 0 <= time_s - self._last_time_s <= MAX_GAP_S:
            self._options.smoother.reset()
        self._last_time_s = time_s
        passage.smoothed = self._options.smoother.smooth(passage.pending.scores(), passage.frame.image)

    def _label(self, passage: _Passage) -> None:
        assert passage.pending is not None
        result = passage.pending.result(confidence=self._options.confidence, scores_CHW=passage.smoothed)
        passage.result = result if self._options.regrouping is None else result.regrouped(self._options.regrouping)

    def _draw(self, passage: _Passage) -> None:
        assert passage.result is not None
        passage.picture = self._painter.draw(passage.frame.video, passage.result.labels)


def _end(sink: Sink) -> Stage[_Passage]:
    def write(passage: _Passage) -> None:
        assert passage.result is not None
        sink.write(passage.result, passage.picture)

    return Stage(sink.name, write, sink.close)
