from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextnet.benchmark.live_stream import EXCESS, LiveRecord, LoopedFilm, measure_live_stream
from contextnet.benchmark.machine import describe_machine
from contextnet.runtime.segmenter import Segmenter
from contextnet.streaming.figures import StreamFigures
from contextnet.streaming.sources.source import SourceCounts
from counted_videos import number_in, write_counted_video


def test_a_looped_film_goes_on_at_its_rate(tmp_path: Path) -> None:
    film = LoopedFilm(write_counted_video(tmp_path / "in.mp4", range(4)), rate=50.0, seconds=0.2)
    frames = list(film)
    assert [number_in(frame.image) for frame in frames] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert [frame.index for frame in frames] == list(range(10))
    assert [frame.time_s for frame in frames] == pytest.approx([i / 50 for i in range(10)])


def test_a_closed_film_ends(tmp_path: Path) -> None:
    film = LoopedFilm(write_counted_video(tmp_path / "in.mp4", range(4)), rate=50.0, seconds=1e6)
    frames = iter(film)
    next(frames)
    film.close()
    assert list(frames) == []


def test_a_source_twice_too_fast_is_kept_up_with(tmp_path: Path) -> None:
    """The short form of ``contextnet benchmark live``; its bounds are wider, beside other tests."""
    video = write_counted_video(tmp_path / "in.mp4", range(25), size_hw=(256, 512))
    with Segmenter.load("cn14-camvid-int8") as segmenter:
        record = measure_live_stream(segmenter, (1, 1), video, seconds=8.0)
    figures = record.figures
    assert record.size_hw == (256, 512)
    assert record.source_rate == pytest.approx(EXCESS * record.machine_rate, rel=0.2)
    assert figures.frames + figures.counts.dropped == pytest.approx(8 * EXCESS * record.machine_rate, rel=0.2)
    assert figures.counts.dropped > 0.1 * figures.frames
    assert figures.age_ms is not None
    assert figures.latency_ms is not None
    # With as many frames on their way as a recording has, it would be eight and more.
    assert record.age_in_idle_latencies["p50"] < 5
    assert record.age_in_latencies["p50"] == pytest.approx(figures.age_ms["p50"] / figures.latency_ms["p50"])
    assert record.memory_growth is None or record.memory_growth <= 0.05
    assert json.loads(json.dumps(record.to_json()))["stream"]["is_live"] is True


def record_of(
    *, source_rate: float, idle_ms: float, latency_ms: float, age_ms: tuple[float, float], memory: tuple[int, int]
) -> LiveRecord:
    figures = StreamFigures(
        source="camera",
        is_live=True,
        frames=100,
        seconds=10.0,
        rate=10.0,
        latency_ms={"p50": latency_ms, "p99": 2 * latency_ms},
        age_ms={"p50": age_ms[0], "p99": age_ms[1], "max": 1e4},
        counts=SourceCounts(dropped=100),
        stages=(),
        processor_share=1.0,
    )
    return LiveRecord((64, 64), "engine", 10.0, source_rate, idle_ms, figures, *memory, describe_machine())


@pytest.mark.parametrize(
    ("source_rate", "idle_ms", "latency_ms", "age_ms", "memory", "keeps_up"),
    [
        (20, 35, 50, (100, 149), (500, 524), True),
        (18, 35, 50, (100, 149), (500, 524), False),  # the source was not fast enough to tell
        (20, 35, 50, (100, 151), (500, 524), False),  # one in a hundred is older than three latencies
        (20, 35, 500, (1000, 1400), (500, 500), False),  # frames wait for each other
        (20, 35, 50, (100, 149), (500, 526), False),  # memory grows
    ],
)
def test_keeping_up_is_to_stay_young_without_growing(
    source_rate: float,
    idle_ms: float,
    latency_ms: float,
    age_ms: tuple[float, float],
    memory: tuple[int, int],
    keeps_up: bool,
) -> None:
    record = record_of(source_rate=source_rate, idle_ms=idle_ms, latency_ms=latency_ms, age_ms=age_ms, memory=memory)
    assert record.keeps_up is keeps_up
