"""Whether a live source that is too fast for this machine is kept up with: how old results get, how memory grows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
from av import VideoFrame

from contextnet.benchmark.film import CAMERA_OPTIONS, FRAMES, film_street
from contextnet.benchmark.machine import Machine, describe_machine, held_memory_mb
from contextnet.benchmark.own_process import draw_apart
from contextnet.benchmark.turns import Progress
from contextnet.errors import ContextNetError
from contextnet.runtime.segmenter import Segmenter
from contextnet.streaming.figures import StreamFigures
from contextnet.streaming.frame import CLOCK, Frame
from contextnet.streaming.sinks.video import VideoSink
from contextnet.streaming.sources.decoding import LIVE_THREADS, decode_pictures, read_packets
from contextnet.streaming.sources.newest import Newest
from contextnet.streaming.sources.paced import Paced
from contextnet.streaming.sources.source import SourceCounts, SourceInfo
from contextnet.streaming.sources.video import VideoSource
from contextnet.streaming.stream import LabelStream

WARM_UP_SHARE = 0.2
"""So much of the time memory may still grow, into what decoder, encoder and engine keep for good."""

LATENCY_S = 10.0
IDLE_SHARE = 0.3
"""A source at so much of the machine's rate leaves each frame the machine to itself."""

EXCESS = 2.0
LEAST_EXCESS = 1.9
"""A source that has to decode may fall short of what is asked of it."""

MAX_LATENCIES = 3.0
MAX_GROWTH = 0.05


@dataclass(frozen=True)
class LiveRecord:
    """What a live source that gave ``source_rate`` frames a second led to, on a machine that takes ``machine_rate``.

    ``idle_latency_ms`` is one frame's from its arrival to its results with the machine to itself, the median;
    ``figures`` are those of the fast source. Memory is in 10⁶ bytes, after the warm-up and at its highest after that.
    """

    size_hw: tuple[int, int]
    engine: str
    machine_rate: float
    source_rate: float
    idle_latency_ms: float
    figures: StreamFigures
    memory_mb: int | None
    highest_memory_mb: int | None
    machine: Machine

    @property
    def age_in_latencies(self) -> dict[str, float]:
        """How old the newest result gets, p50, p99 and max, in latencies of a frame of the same stream, the median."""
        assert self.figures.latency_ms is not None
        return self._age_in(self.figures.latency_ms["p50"])

    @property
    def age_in_idle_latencies(self) -> dict[str, float]:
        """The same in latencies of a frame that has the machine to itself.

        Where frames wait for each other, every latency of the stream grows with their number, and this one does not.
        """
        return self._age_in(self.idle_latency_ms)

    def _age_in(self, latency_ms: float) -> dict[str, float]:
        assert self.figures.age_ms is not None
        return {name: age_ms / latency_ms for name, age_ms in self.figures.age_ms.items()}

    @property
    def memory_growth(self) -> float | None:
        """By which share the memory grew after the warm-up."""
        if self.memory_mb is None or self.highest_memory_mb is None:
            return None
        return self.highest_memory_mb / self.memory_mb - 1

    @property
    def keeps_up(self) -> bool:
        """Whether results stay young, and memory within 5 %, of a source that is nearly twice too fast.

        99 results of 100 have to be younger than three latencies of the stream, and half of them than three latencies
        of a frame that has the machine to itself.
        """
        is_too_fast = self.source_rate >= LEAST_EXCESS * self.machine_rate
        is_current = self.age_in_latencies["p99"] < MAX_LATENCIES and self.age_in_idle_latencies["p50"] < MAX_LATENCIES
        return is_too_fast and is_current and (self.memory_growth or 0.0) <= MAX_GROWTH

    def to_json(self) -> dict[str, Any]:
        """Describe the record as plain JSON values."""
        return {
            "size_hw": list(self.size_hw),
            "engine": self.engine,
            "machine_fps": self.machine_rate,
            "source_fps": self.source_rate,
            "idle_latency_ms": self.idle_latency_ms,
            "age_in_latencies": self.age_in_latencies,
            "age_in_idle_latencies": self.age_in_idle_latencies,
            "memory_mb": self.memory_mb,
            "highest_memory_mb": self.highest_memory_mb,
            "memory_growth": self.memory_growth,
            "keeps_up": self.keeps_up,
            "stream": self.figures.to_json(),
            "machine": asdict(self.machine),
        }


class LoopedFilm:
    """A video played over and over at ``rate`` frames a second for ``seconds``, decoded as what a camera sends."""

    def __init__(self, video: Path, rate: float, seconds: float) -> None:
        self._video = video
        self._rate = Fraction(rate)
        self._frames = round(rate * seconds)
        self._is_closed = False
        self.info = SourceInfo(str(video), is_live=False, rate=self._rate)
        self.counts = SourceCounts()

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames."""
        index = 0
        while not self._is_closed:
            for video in self._pictures():
                if index == self._frames:
                    return
                video.time_base, video.pts = CLOCK, round(index / self._rate / CLOCK)
                yield Frame(video, index)
                index += 1

    def close(self) -> None:
        """End the frames with the next one."""
        self._is_closed = True

    def _pictures(self) -> Iterator[VideoFrame]:
        with av.open(str(self._video)) as container:
            stream = container.streams.video[0]
            stream.thread_type = LIVE_THREADS
            packets = read_packets(container, stream, self.counts)
            for picture in decode_pictures(packets, self.counts, lambda: self._is_closed):
                yield picture.video


def measure_live_stream(
    segmenter: Segmenter,
    size_hw: tuple[int, int],
    video: Path | None = None,
    *,
    seconds: float = 180.0,
    progress: Progress | None = None,
) -> LiveRecord:
    """Play a video as a live camera, twice as fast as this machine labels it into another video.

    Raises ``ContextNetError`` when the video cannot be used.
    """
    with TemporaryDirectory(prefix="contextnet-") as folder:
        film = video or draw_apart(size_hw, film_street, size_hw, Path(folder) / "film.mp4", FRAMES, CAMERA_OPTIONS)
        output = Path(folder) / "labelled.mp4"
        machine_rate = _recorded_rate(segmenter, film, output)
        idle = _play(segmenter, film, output, rate=IDLE_SHARE * machine_rate, seconds=LATENCY_S).figures()
        assert idle.latency_ms is not None
        memory = _MemoryWatch(seconds, progress)
        busy = _play(segmenter, film, output, EXCESS * machine_rate, seconds, memory).figures()
        if busy.age_ms is None:
            raise ContextNetError(f"{seconds:g} s: this machine labels fewer than two frames in it; give more seconds")
        return LiveRecord(
            size_hw=next(iter(VideoSource(film))).size_hw,
            engine=str(segmenter),
            machine_rate=machine_rate,
            source_rate=(busy.frames + busy.counts.dropped) / busy.seconds,
            idle_latency_ms=idle.latency_ms["p50"],
            figures=busy,
            memory_mb=memory.warm_mb,
            highest_memory_mb=memory.highest_mb,
            machine=describe_machine(),
        )


class _MemoryWatch:
    """Notes the memory once a second, from when the warm-up is over."""

    def __init__(self, seconds: float, progress: Progress | None) -> None:
        self._seconds = seconds
        self._progress = progress
        self.warm_mb: int | None = None
        self.highest_mb: int | None = None

    def look(self, passed_s: float) -> None:
        """Look once more, after so many seconds."""
        if self._progress:
            self._progress(min(round(passed_s), round(self._seconds)), round(self._seconds))
        held_mb = held_memory_mb()
        if held_mb is None or passed_s < WARM_UP_SHARE * self._seconds:
            return
        self.warm_mb = self.warm_mb or held_mb
        self.highest_mb = max(self.highest_mb or 0, held_mb)


def _recorded_rate(segmenter: Segmenter, video: Path, output: Path) -> float:
    """Give the frames a second at which a recording of two frames or more is labelled into another."""
    with LabelStream(segmenter, VideoSource(video), [VideoSink(output)]) as stream:
        stream.wait()
    rate = stream.figures().rate
    if rate is None:
        raise ContextNetError(f"{video}: has one frame; a rate is measured on two or more")
    return rate


def _play(
    segmenter: Segmenter, video: Path, output: Path, rate: float, seconds: float, memory: _MemoryWatch | None = None
) -> LabelStream:
    source = Newest(Paced(LoopedFilm(video, rate, seconds)))
    with LabelStream(segmenter, source, [VideoSink(output)]) as stream:
        while not stream.wait(1.0):
            if memory:
                memory.look(stream.figures().seconds)
    return stream
