from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextnet.benchmark.live_stream import EXCESS, LoopedFilm, measure_live_stream
from contextnet.runtime.segmenter import Segmenter
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
    assert record.source_rate == pytest.approx(EXCESS * record.machine_rate)
    assert figures.frames + figures.counts.dropped == pytest.approx(8 * record.source_rate, rel=0.2)
    assert figures.counts.dropped > 0.1 * figures.frames
    assert figures.age_ms is not None
    # With as many frames on their way as a recording has, it would be eight and more.
    assert record.age_in_latencies["p50"] < 5
    assert record.memory_growth is None or record.memory_growth <= 0.05
    assert json.loads(json.dumps(record.to_json()))["stream"]["is_live"] is True
