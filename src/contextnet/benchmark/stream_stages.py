"""The stages of a stream, each run alone over the same frames, so that the machine is all its own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from contextnet.runtime.pending import PendingSegmentation
from contextnet.runtime.segmenter import Segmenter
from contextnet.streaming.drawing import OverlayPainter
from contextnet.streaming.frame import Frame
from contextnet.streaming.sinks.video import VideoSink
from contextnet.streaming.sources.video import VideoSource

STAGES = ("decode", "prepare", "network", "labels", "draw", "encode")

KEPT_FRAMES = 24
"""So many frames at a time are held in memory while a stage works on them."""


@dataclass(frozen=True)
class StageCost:
    """What a stage takes alone, a frame: ``wall_ms`` from begin to end, ``processor_ms`` summed over all threads."""

    wall_ms: float
    processor_ms: float


class _Stopwatch:
    """Adds up the time of a stage, by the clock and of the processor."""

    def __init__(self) -> None:
        self._wall_s = self._processor_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what is done inside."""
        wall_s, processor_s = time.perf_counter(), time.process_time()
        yield
        self._wall_s += time.perf_counter() - wall_s
        self._processor_s += time.process_time() - processor_s

    def cost(self, frames: int) -> StageCost:
        """Give what was counted, a frame."""
        return StageCost(1e3 * self._wall_s / frames, 1e3 * self._processor_s / frames)


def measure_stages(segmenter: Segmenter, video: Path, output: Path) -> dict[str, StageCost]:
    """Run each stage alone over all frames of ``video``, some at a time; the last stage writes ``output``."""
    watches = {name: _Stopwatch() for name in STAGES}
    decode, prepare, network, labels, draw, encode = watches.values()
    with decode.running():
        deque(VideoSource(video), maxlen=0)
    source, painter = VideoSource(video), OverlayPainter(segmenter.label_set)
    sink, count = VideoSink(output, source.info.rate), 0
    for frames in _batches(source):
        count += len(frames)
        with prepare.running():
            for frame in frames:
                assert frame.image.size, "the first look at the image converts it"
        with network.running():
            scored = list(_scored(segmenter, frames))
        with labels.running():
            results = [pending.result() for pending in scored]
        with draw.running():
            pictures = [painter.draw(f.video, r.labels) for f, r in zip(frames, results, strict=True)]
        with encode.running():
            for result, picture in zip(results, pictures, strict=True):
                sink.write(result, picture)
    with encode.running():
        sink.close()
    return {name: watch.cost(count) for name, watch in watches.items()}


def _batches(source: VideoSource) -> Iterator[list[Frame]]:
    frames = iter(source)
    while batch := list(islice(frames, KEPT_FRAMES)):
        yield batch


def _scored(segmenter: Segmenter, frames: list[Frame]) -> Iterator[PendingSegmentation]:
    """Have the network score the frames, as many at a time as a stream does."""
    limit = segmenter.images_on_their_way()
    on_their_way: deque[PendingSegmentation] = deque()
    for frame in frames:
        on_their_way.append(segmenter.begin(frame, is_one_of_several=True))
        if len(on_their_way) == limit:
            yield _finished(on_their_way.popleft())
    yield from map(_finished, on_their_way)


def _finished(pending: PendingSegmentation) -> PendingSegmentation:
    pending.scores()
    return pending
