from __future__ import annotations

import json
from pathlib import Path

import pytest

from contextnet.benchmark.machine import describe_machine
from contextnet.benchmark.stream_rate import StreamRate, StreamRound, measure_stream
from contextnet.benchmark.stream_stages import STAGES, StageCost, measure_stages
from contextnet.errors import ContextNetError
from contextnet.runtime.segmenter import Segmenter
from counted_videos import write_counted_video


def a_round(rate: float, *costs_ms: tuple[float, float]) -> StreamRound:
    padded = [*costs_ms, *[(0.0, 0.0)] * (len(STAGES) - len(costs_ms))]
    return StreamRound(dict(zip(STAGES, [StageCost(*cost) for cost in padded], strict=True)), rate)


@pytest.mark.parametrize(
    ("costs_ms", "cores", "bound"),
    [
        ([(10, 10), (20, 20)], 2, 50.0),  # the slowest stage, 1000 / 20
        ([(10, 20), (20, 40)], 2, 2000 / 60),  # two cores share 60 ms
        ([(10, 20), (20, 40)], 8, 50.0),
        ([(10, 10), (20, 20)], 1, 1000 / 30),
    ],
)
def test_the_bound_is_the_slowest_stage_or_the_cores(
    costs_ms: list[tuple[float, float]], cores: int, bound: float
) -> None:
    assert a_round(1.0, *costs_ms).bound(cores) == pytest.approx(bound)


def rate_of(rounds: list[StreamRound], others_share: float | None = 0.0) -> StreamRate:
    return StreamRate("engine", (8, 8), 10, 2, tuple(rounds), others_share, describe_machine())


def test_medians_are_over_the_rounds_and_the_share_within_each() -> None:
    rate = rate_of([a_round(40, (20, 20)), a_round(30, (25, 25)), a_round(20, (40, 40))])
    assert (rate.rate, rate.bound) == (30, 40)
    # 40 of 50, 30 of 40, 20 of 25
    assert rate.share_of_bound == pytest.approx(0.8)
    assert rate.stages["decode"] == StageCost(25, 25)


@pytest.mark.parametrize(
    ("rates", "others_share", "noise"),
    [
        ([30, 30, 30, 30], 0.0, None),
        ([30, 30, 30, 30], None, None),
        ([20, 30, 40, 50], 0.0, "the stream figure varied"),
        ([20, 30, 40], 0.0, "the stream figure varied"),
        ([30, 30, 30, 30], 0.9, "other processes took 90% of a core"),
    ],
)
def test_a_noisy_run_is_no_result(rates: list[float], others_share: float | None, noise: str | None) -> None:
    rate = rate_of([a_round(each, (20, 20)) for each in rates], others_share)
    found = rate.to_json()
    assert found["is_result"] is (noise is None)
    assert found["noise"] is None if noise is None else noise in found["noise"]


def test_every_stage_runs_over_every_frame(tmp_path: Path) -> None:
    video = write_counted_video(tmp_path / "in.mp4", range(30))
    costs = measure_stages(Segmenter.load("cn14-camvid-int8"), video, tmp_path / "out.mp4")
    assert tuple(costs) == STAGES
    assert all(cost.wall_ms > 0 and cost.processor_ms >= 0 for cost in costs.values())
    assert write_counted_video(tmp_path / "again.mp4", range(30)).exists()


def test_a_stream_is_measured_beside_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contextnet.benchmark.stream_rate.await_quiet", lambda: 0.0)
    video = write_counted_video(tmp_path / "in.mp4", range(150))
    told: list[tuple[int, int]] = []
    rate = measure_stream(
        Segmenter.load("cn14-camvid-int8"), (1, 1), video, rounds=7, progress=lambda done, of: told.append((done, of))
    )
    assert (rate.size_hw, rate.frames, len(rate.rounds)) == ((64, 96), 150, 7)
    assert told == [(done, 7) for done in range(1, 8)]
    assert rate.rate > 1
    # Of rounds long enough, other work slows a stream and its stages alike.
    assert 0 < rate.share_of_bound < 1.5
    assert json.loads(json.dumps(rate.to_json()))["stages"].keys() == set(STAGES)


def test_a_video_that_is_not_there_is_named() -> None:
    with pytest.raises(ContextNetError, match=r"none\.mp4: does not exist"):
        measure_stream(Segmenter.load("cn14-camvid-int8"), (64, 96), Path("none.mp4"))
