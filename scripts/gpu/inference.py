"""Time cn14 on a CUDA GPU, one image at a time: the kernels alone, from image to labels, and the floor; prints JSON."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.backends import cudnn

from contextnet.models.contextnet import ContextNet
from contextnet.models.cuda_graph import CapturedGraph
from contextnet.models.engine import PRECISIONS, build_engine
from contextnet.models.folding import fold_batch_norm
from contextnet.models.gpu_network import gpu_network, score_and_label, score_cells
from contextnet.models.storage import read_weights
from contextnet.runtime.engines.engine import Engine, Inference
from contextnet.weights import find_weights
from scripts.gpu.machine import say
from scripts.gpu.traffic import moved_bytes

WEIGHTS = "cn14-synthetic"
"""cn14 with 19 classes; trained, since the arithmetic of a network that dies out on the way may be faster."""
SIZES_HW = ((1024, 2048), (512, 1024))
IN_FLIGHT = 3
WARM_UP, RUNS, EAGER_RUNS = 30, 300, 100
COPIED_BYTES, COPIES = 1 << 30, 20


@dataclass(frozen=True)
class Timing:
    """Median and 99th percentile of ``runs`` images, each timed by itself, and how many were done in a second."""

    p50_ms: float
    p99_ms: float
    images_per_s: float
    runs: int


@dataclass(frozen=True)
class InferenceFigure:
    """What one size and precision take.

    ``moved_mb`` are the bytes of ``scripts.gpu.traffic`` in units of 10^6, ``floor_ms`` what moving them takes. Of
    ``timings``, ``scores`` and ``labels`` are graphs replayed back to back on an image that is on the GPU, without and
    with the labels; ``eager`` is the network launched layer by layer, to scores; ``sequential`` and ``pipelined`` go
    from an image in the host's memory to labels there, with one call and with ``IN_FLIGHT`` calls in flight.
    """

    network: str
    size_hw: tuple[int, int]
    precision: str
    moved_mb: float
    floor_ms: float
    timings: dict[str, Timing]


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that at least ``share`` of the values do not exceed (nearest rank)."""
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def timing_of(times_ms: Sequence[float], total_s: float) -> Timing:
    """Sum up the times of single images and of all of them."""
    p50_ms, p99_ms = percentile(times_ms, 0.5), percentile(times_ms, 0.99)
    return Timing(round(p50_ms, 4), round(p99_ms, 4), round(len(times_ms) / total_s, 1), len(times_ms))


def time_launches(launch: Callable[[], object], runs: int) -> Timing:
    """Time what ``launch`` puts on the current stream: each by events around it, the rate with nothing in between."""
    for _ in range(WARM_UP):
        launch()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(runs + 2)]  # type: ignore[no-untyped-call]
    first, *others, last = events
    first.record()
    for event in others:
        launch()
        event.record()
    # The last of the others ends the runs that were timed one by one and begins those that are timed together.
    for _ in range(runs):
        launch()
    last.record()
    last.synchronize()
    times_ms = [before.elapsed_time(after) for before, after in zip((first, *others), others, strict=False)]
    return timing_of(times_ms, others[-1].elapsed_time(last) / 1000)


def time_calls(engine: Engine, images: NDArray[np.uint8], runs: int) -> Timing:
    """Time an engine from images in the host's memory to labels there, with as many calls in flight as it takes."""
    for _ in range(WARM_UP):
        engine.submit(images).labels()
    times_ms: list[float] = []
    waiting: deque[tuple[float, Inference]] = deque()
    began_s = time.perf_counter()
    for number in range(runs + engine.info.in_flight):
        if number >= engine.info.in_flight:
            submitted_s, inference = waiting.popleft()
            inference.labels()
            times_ms.append(1000 * (time.perf_counter() - submitted_s))
        if number < runs:
            waiting.append((time.perf_counter(), engine.submit(images)))
    return timing_of(times_ms, time.perf_counter() - began_s)


def time_graph(function: Callable[[Tensor], tuple[Tensor, ...]], images_NHW3: Tensor) -> Timing:
    """Time the replays of a function's graph; the image stays where it is."""
    stream = torch.cuda.Stream(images_NHW3.device)  # type: ignore[no-untyped-call]
    graph = CapturedGraph(function, images_NHW3, stream)
    with torch.cuda.stream(stream):
        return time_launches(graph.replay, RUNS)


def eager_network(network: ContextNet, device: torch.device, dtype: torch.dtype) -> ContextNet:
    """Copy a network to the device with the help that costs nothing: batch norm folded, channels last."""
    folded = fold_batch_norm(network).to(device, dtype)
    return folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def measure_bandwidth(device: torch.device) -> float:
    """Measure bytes per second of a large copy from the GPU's memory to itself, each byte read and written."""
    source = torch.randint(0, 256, (COPIED_BYTES,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES * time_launches(lambda: target.copy_(source), COPIES).images_per_s


def measure_case(network: ContextNet, size_hw: tuple[int, int], precision: str, bandwidth: float) -> InferenceFigure:
    """Time one size in one precision on the first GPU."""
    device, dtype = torch.device("cuda", 0), PRECISIONS["cuda"][precision]
    images = np.random.default_rng(0).integers(0, 256, (1, *size_hw, 3), np.uint8)
    on_gpu = torch.from_numpy(images).to(device)
    arranged, eager = gpu_network(network, device, dtype), eager_network(network, device, dtype)
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    timings = {
        "scores": time_graph(lambda given: (score_cells(arranged, given, side),), on_gpu),
        "labels": time_graph(lambda given: score_and_label(arranged, given, side), on_gpu),
    }
    with torch.inference_mode(), cudnn.flags(enabled=True, benchmark=True):
        timings["eager"] = time_launches(lambda: eager(on_gpu.permute(0, 3, 1, 2)), EAGER_RUNS)
    for name, in_flight in (("sequential", 1), ("pipelined", IN_FLIGHT)):
        with closing(build_engine(network, device, precision, in_flight)) as engine:
            timings[name] = time_calls(engine, images, RUNS)
    moved = moved_bytes(network.spec, size_hw, dtype)
    floor_ms = round(1000 * moved / bandwidth, 4)
    return InferenceFigure(network.spec.name, size_hw, precision, round(moved / 1e6, 1), floor_ms, timings)


def measure() -> dict[str, object]:
    """Time every size in every precision."""
    network = read_weights(find_weights(WEIGHTS)).build()
    bandwidth = measure_bandwidth(torch.device("cuda", 0))
    cases = [measure_case(network, size_hw, name, bandwidth) for size_hw in SIZES_HW for name in PRECISIONS["cuda"]]
    return {
        "weights": WEIGHTS,
        "bandwidth_gb_s": round(bandwidth / 1e9, 1),
        "in_flight": IN_FLIGHT,
        "cases": [asdict(case) for case in cases],
    }


if __name__ == "__main__":
    say(json.dumps(measure()))
