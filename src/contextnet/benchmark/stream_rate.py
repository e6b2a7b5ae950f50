"""How fast a video becomes a labelled video on this machine, beside the fastest that the machine allows.

The stages alone set the bound: a stream is no faster than its slowest stage, and no faster than the processor's cores,
which need so much time for a frame, summed over the stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from contextnet.benchmark.film import film_street
from contextnet.benchmark.machine import Machine, describe_machine
from contextnet.benchmark.noise import await_quiet, find_noise
from contextnet.benchmark.own_process import draw_apart
from contextnet.benchmark.stream_stages import STAGES, StageCost, measure_stages
from contextnet.benchmark.turns import Progress
from contextnet.runtime.engines.cores import usable_threads
from contextnet.runtime.segmenter import Segmenter
from contextnet.streaming.sinks.video import VideoSink
from contextnet.streaming.sources.video import VideoSource
from contextnet.streaming.stream import LabelStream

ROUNDS = 5


@dataclass(frozen=True)
class StreamRound:
    """One round: the stages alone, then the stream, whose ``rate`` is in frames a second and counts all of its time."""

    stages: dict[str, StageCost]
    rate: float

    def bound(self, cores: int) -> float:
        """Give the highest rate that the stages allow on so many cores."""
        slowest_ms = max(cost.wall_ms for cost in self.stages.values())
        processor_ms = sum(cost.processor_ms for cost in self.stages.values())
        return min(1e3 / slowest_ms, cores * 1e3 / processor_ms)


@dataclass(frozen=True)
class StreamRate:
    """What was measured, round by round, and on what; ``others_share`` is what other processes took of a core."""

    engine: str
    size_hw: tuple[int, int]
    frames: int
    cores: int
    rounds: tuple[StreamRound, ...]
    others_share: float | None
    machine: Machine

    @property
    def rate(self) -> float:
        """Frames a second of the stream, the median over the rounds."""
        return median(each.rate for each in self.rounds)

    @property
    def bound(self) -> float:
        """The highest rate that the stages allow, the median over the rounds."""
        return median(each.bound(self.cores) for each in self.rounds)

    @property
    def share_of_bound(self) -> float:
        """How much of its bound the stream reaches, the median over the rounds, each with its own bound."""
        return median(each.rate / each.bound(self.cores) for each in self.rounds)

    @property
    def stages(self) -> dict[str, StageCost]:
        """What each stage takes alone, medians over the rounds."""
        return {name: _median_cost([each.stages[name] for each in self.rounds]) for name in STAGES}

    @property
    def noise(self) -> str | None:
        """Why this is no result, or None if it is one."""
        low, high = np.quantile([each.rate for each in self.rounds], (0.25, 0.75))
        return find_noise(self.others_share, {"stream": float(high - low) / self.rate})

    def to_json(self) -> dict[str, Any]:
        """Describe the figures as plain JSON values: frames a second, and milliseconds a frame."""
        return {
            "engine": self.engine,
            "size_hw": list(self.size_hw),
            "frames": self.frames,
            "stream_fps": self.rate,
            "bound_fps": self.bound,
            "share_of_bound": self.share_of_bound,
            "stages": {name: asdict(cost) for name, cost in self.stages.items()},
            "cores": self.cores,
            "rounds": len(self.rounds),
            "is_result": self.noise is None,
            "noise": self.noise,
            "machine": asdict(self.machine),
        }


def measure_stream(
    segmenter: Segmenter,
    size_hw: tuple[int, int],
    video: Path | None = None,
    *,
    rounds: int = ROUNDS,
    progress: Progress | None = None,
) -> StreamRate:
    """Time the stages alone and the whole stream in turns, on ``video`` or on a drawn one of ``size_hw``.

    At least three rounds show how much they differ. Raises ``ContextNetError`` when the video cannot be used.
    """
    with TemporaryDirectory(prefix="contextnet-") as folder:
        film = video or draw_apart(size_hw, film_street, size_hw, Path(folder) / "film.mp4")
        output = Path(folder) / "labelled.mp4"
        first = next(iter(VideoSource(film)))
        _stream_s(segmenter, film, output)
        others_share = await_quiet()
        measured = []
        for number in range(rounds):
            stages = measure_stages(segmenter, film, output)
            frames, seconds = _stream_s(segmenter, film, output)
            measured.append(StreamRound(stages, frames / seconds))
            if progress:
                progress(number + 1, rounds)
        return StreamRate(
            engine=str(segmenter),
            size_hw=first.size_hw,
            frames=frames,
            cores=usable_threads(None),
            rounds=tuple(measured),
            others_share=others_share,
            machine=describe_machine(),
        )


def _stream_s(segmenter: Segmenter, video: Path, output: Path) -> tuple[int, float]:
    """Stream a video into another; give the number of frames and the seconds from the first step to the last."""
    source = VideoSource(video)
    with LabelStream(segmenter, source, [VideoSink(output, source.info.rate)]) as stream:
        stream.wait()
    figures = stream.figures()
    return figures.frames, figures.seconds


def _median_cost(costs: Sequence[StageCost]) -> StageCost:
    return StageCost(median(cost.wall_ms for cost in costs), median(cost.processor_ms for cost in costs))
