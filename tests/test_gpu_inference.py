"""The figures of inference on a GPU: how they are summed up, counted and shown; measured here on the CPU alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from contextnet.models.contextnet import ContextNet
from contextnet.models.engine import build_engine
from contextnet.runtime.engines.engine import EngineInfo, Images, Labels, Scores
from contextnet.spec import variant

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.gpu import inference, report, traffic  # noqa: E402


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.99, 5.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        (range(1, 11), 0.9, 9),
        (range(1, 301), 0.99, 297),
        ([1, 2], 0.5, 1),
    ],
)
def test_percentile_is_by_nearest_rank(values: Sequence[float], share: float, expected: float) -> None:
    assert inference.percentile(values, share) == expected


def test_a_timing_has_the_rate_of_all_its_images() -> None:
    assert inference.timing_of([4.0, 1.0, 2.0], 0.5) == inference.Timing(2.0, 4.0, 6.0, 3)


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_the_eager_network_is_folded_and_scores_in_its_precision(precision: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = inference.eager_network(ContextNet(variant("cn14", 19)).eval(), torch.device("cpu"), dtype)
    assert not [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert inference.PRECISIONS["cuda"][precision] is dtype
    image = torch.randint(0, 256, (1, 64, 128, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    with torch.inference_mode():
        scores = network(image).scores
    assert (scores.shape, scores.dtype) == ((1, 19, 8, 16), dtype)
    assert scores.is_contiguous(memory_format=torch.channels_last)


class CountingEngine:
    """Counts the calls that are on their way, each until its labels are taken."""

    def __init__(self, in_flight: int) -> None:
        self.info = EngineInfo("counting", "0", "none", "fp32", in_flight)
        self.counts: list[int] = []
        self.taken: list[int] = []

    def submit(self, images: Images) -> CountingInference:
        number = len(self.counts)
        self.counts.append(number + 1 - len(self.taken))
        return CountingInference(self.taken, number)

    def close(self) -> None:
        raise NotImplementedError


class CountingInference:
    def __init__(self, taken: list[int], number: int) -> None:
        self._taken = taken
        self._number = number

    def scores(self) -> Scores:
        raise NotImplementedError

    def labels(self) -> Labels:
        self._taken.append(self._number)
        return np.zeros((1, 1, 1), np.uint8)


@pytest.mark.parametrize(
    ("in_flight", "runs", "counts"),
    [(1, 4, [1, 1, 1, 1]), (3, 6, [1, 2, 3, 3, 3, 3]), (3, 2, [1, 2])],
    ids=["sequential", "pipelined", "fewer than fit"],
)
def test_calls_are_kept_in_flight_and_taken_in_order(in_flight: int, runs: int, counts: list[int]) -> None:
    engine = CountingEngine(in_flight)
    timing = inference.time_calls(engine, np.zeros((1, 1, 1, 3), np.uint8), runs)
    assert timing.runs == runs
    assert engine.counts[inference.WARM_UP :] == counts
    assert engine.taken == list(range(inference.WARM_UP + runs))


def test_calls_of_a_real_engine_are_timed() -> None:
    torch.manual_seed(0)
    engine = build_engine(ContextNet(variant("cn14", 5, width=0.125)), torch.device("cpu"), "fp32")
    timing = inference.time_calls(engine, np.zeros((1, 33, 65, 3), np.uint8), 5)
    assert 0 < timing.p50_ms <= timing.p99_ms
    assert timing.images_per_s > 0
    assert timing.runs == 5


def test_bytes_moved_by_hand() -> None:
    # The detail branch as a network of its own, at 64×64: two bytes a value behind the uint8 image.
    image = 3 * 64 * 64
    convert = image + 2 * image
    scale = 2 * (image + image)
    # In, out, kernel and bias of the stem, of three times depth-wise and 1×1, and of the classifier.
    stem = image + 32 * 32**2 + (32 * 3 * 9 + 32)
    first = (32 * 32**2 + 32 * 16**2 + 32 * (9 + 1)) + (32 * 16**2 + 64 * 16**2 + 64 * (32 + 1))
    second = (64 * 16**2 + 64 * 8**2 + 64 * (9 + 1)) + (64 * 8**2 + 128 * 8**2 + 128 * (64 + 1))
    third = (128 * 8**2 + 128 * 8**2 + 128 * (9 + 1)) + (128 * 8**2 + 128 * 8**2 + 128 * (128 + 1))
    classifier = 128 * 8**2 + 19 * 8**2 + 19 * (128 + 1)
    # ReLU6 behind the stem and behind each 1×1, in place: read and written.
    relu = 2 * (32 * 32**2 + 64 * 16**2 + 128 * 8**2 + 128 * 8**2)
    expected = convert + scale + 2 * (stem + first + second + third + classifier + relu)
    spec = variant("cn14-detail", 19)
    assert traffic.moved_bytes(spec, (64, 64), torch.float16) == expected
    assert traffic.moved_bytes(spec, (64, 64), torch.bfloat16) == expected


def test_figures_are_shown_with_their_floor() -> None:
    timing = {"p50_ms": 0.51234, "p99_ms": 0.6, "images_per_s": 1951.6, "runs": 300}
    case = {
        "network": "cn14",
        "size_hw": [1024, 2048],
        "precision": "fp16",
        "moved_mb": 932.1,
        "floor_ms": 0.2168,
        "timings": {"labels": timing},
    }
    figures = {"weights": "cn14-synthetic", "bandwidth_gb_s": 4299.7, "in_flight": 3, "cases": [case]}
    assert report.render_inference(figures).splitlines() == [
        "| size | precision | what | p50 ms | p99 ms | images/s |",
        "| --- | --- | --- | --: | --: | --: |",
        "| 1024×2048 | fp16 | floor, 932 MB | 0.217 | – | – |",
        "| 1024×2048 | fp16 | labels | 0.512 | 0.600 | 1952 |",
        "",
        "cn14-synthetic; memory copied at 4300 GB/s; 3 calls in flight when pipelined.",
        "",
    ]
