"""Results of `contextnet reproduce` that are given instead of measured."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from contextnet.benchmark.turns import Timings
from contextnet.evaluation.scores import Scores
from contextnet.reproduce.accuracy import Result
from contextnet.reproduce.budget import Budget
from contextnet.reproduce.speed import Speed, SpeedRun, Way
from contextnet.reproduce.trainings import Subject, Trained, subject_of
from contextnet.runtime.engines.engine import EngineInfo

NAN = math.nan
FACTS = {"data": "streets/val", "recipe": "plain-camvid", "machine": "2 cores of a CPU", "budget_minutes": 2.0}


def scores_of(class_iou: dict[str, float], category_iou: dict[str, float]) -> Scores:
    count = len(class_iou)
    confusion = np.eye(count, count + 1, dtype=np.int64)
    nothing = (NAN,) * count
    names, categories = tuple(class_iou), tuple(category_iou)
    values = tuple(class_iou.values())
    return Scores(names, values, nothing, categories, tuple(category_iou.values()), (NAN,) * len(categories), confusion)


def result(network: str, class_iou: dict[str, float], category_iou: dict[str, float] | None = None) -> Result:
    """Scores of a network that was trained for three epochs in 1.8 of 2 minutes."""
    trained = Trained(subject_of(network), Path("best.safetensors"), Budget(2.0, 0.5, 3, 120), 1.8)
    return Result(network, trained, scores_of(class_iou, category_iou or {"all": 0.5}))


def untrained(network: str, remark: str = "not trained: one epoch takes 9.0 minutes here") -> Result:
    trained = Trained(Subject(network, ()), None, Budget(2.0, 9.0, 0, 120), None, remark)
    return Result(network, trained, None, remark)


def timings(*rounds_ms: float) -> Timings:
    """One run in each round."""
    return Timings(tuple((time_ms / 1e3,) for time_ms in rounds_ms))


def speed(network: str, *rounds_ms: float, noise: dict[Way, str] | None = None) -> Speed:
    """The network alone in half the time, pipelined in a quarter."""
    half, quarter = (timings(*(time_ms / part for time_ms in rounds_ms)) for part in (2, 4))
    ways: dict[Way, Timings] = {"everything": timings(*rounds_ms), "network": half, "pipelined": quarter}
    return Speed(network, 1_234_567, 2_500_000_000, ways, noise or {})


def speed_run(
    *speeds: Speed, size_hw: tuple[int, int] = (512, 1024), device: str = "cpu", refused: dict[str, str] | None = None
) -> SpeedRun:
    engine = EngineInfo("openvino", "2026.1", device, "fp32", 1)
    return SpeedRun(size_hw, engine, 3, speeds, refused or {})
