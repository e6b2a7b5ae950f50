"""Time the network's forward pass on a CUDA GPU: batch 1, batch norm folded, eager, channels last; prints JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from contextnet.models.contextnet import ContextNet
from contextnet.models.folding import fold_batch_norm
from contextnet.spec import variant
from scripts.gpu.machine import say

VARIANT = "cn14"
NUM_CLASSES = 19
SIZES_HW = ((1024, 2048), (512, 1024))
PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
WARM_UP, RUNS = 50, 200


@dataclass(frozen=True)
class LatencyFigure:
    """Median and 90th percentile of ``runs`` forward passes, from the uint8 image on the GPU to scores at 1/8."""

    network: str
    size_hw: tuple[int, int]
    precision: str
    median_ms: float
    p90_ms: float
    runs: int


def inference_case(size_hw: tuple[int, int], precision: str, device: str) -> tuple[ContextNet, Tensor]:
    """Make a folded network and one uint8 image (1, 3, H, W), both channels last, on the device."""
    torch.manual_seed(0)
    network = fold_batch_norm(ContextNet(variant(VARIANT, NUM_CLASSES)).eval())
    network = network.to(device, PRECISIONS[precision]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.randint(0, 256, (1, 3, *size_hw), dtype=torch.uint8, device=device)
    return network, image.contiguous(memory_format=torch.channels_last)


def latencies_ms(network: ContextNet, image: Tensor) -> list[float]:
    """Time forward passes one by one with CUDA events, after a warm-up."""
    for _ in range(WARM_UP):
        network(image)
    times = []
    for _ in range(RUNS):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        before.record()
        network(image)
        after.record()
        after.synchronize()
        times.append(before.elapsed_time(after))
    return times


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest value that at least ``share`` of the values do not exceed (nearest rank)."""
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


@torch.inference_mode()
def measure() -> list[LatencyFigure]:
    """Time every size in every precision."""
    figures = []
    for size_hw in SIZES_HW:
        for precision in PRECISIONS:
            times = latencies_ms(*inference_case(size_hw, precision, "cuda"))
            median_ms, p90_ms = percentile(times, 0.5), percentile(times, 0.9)
            figures.append(LatencyFigure(VARIANT, size_hw, precision, round(median_ms, 3), round(p90_ms, 3), RUNS))
    return figures


if __name__ == "__main__":
    say(json.dumps([asdict(figure) for figure in measure()]))
