"""Networks side by side: what each costs, how fast it is on this machine, and how well it labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from contextnet.compression.pruning.latency import Timing
from contextnet.data.sample import SegmentationData
from contextnet.evaluation.evaluator import Progress, evaluate
from contextnet.models.cost import measure_cost
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import Weights, read_weights


@dataclass(frozen=True)
class NetworkRow:
    """One network: ``parameters`` as ``contextnet info`` counts them, ``macs`` and memory for one image of the size.

    ``latency_ms`` runs from a uint8 image in memory to its scores, the median; ``peak_activation_mb`` is the most that
    image, activations and scores take at once in float32, ``file_mb`` the weights file, both in 10⁶ bytes. ``miou`` is
    None where there is nothing to score it on.
    """

    role: str
    network: str
    path: Path
    parameters: int
    macs: int
    latency_ms: float
    peak_activation_mb: float
    file_mb: float
    miou: float | None

    def to_json(self) -> dict[str, Any]:
        """Describe the row as plain JSON values."""
        return asdict(self) | {"path": str(self.path)}


def measure_row(
    role: str, path: Path, timing: Timing, data: SegmentationData | None = None, progress: Progress | None = None
) -> NetworkRow:
    """Count, time and score the network of a weights file; ``role`` says what it is in the comparison."""
    weights = read_weights(path)
    cost = measure_cost(weights.spec, timing.size_hw)
    return NetworkRow(
        role=role,
        network=weights.spec.name,
        path=path,
        parameters=cost.parameters,
        macs=cost.macs,
        latency_ms=timing.measure_ms(weights),
        peak_activation_mb=cost.peak_activation_bytes / 1e6,
        file_mb=path.stat().st_size / 1e6,
        miou=None if data is None else _score(weights, data, progress),
    )


def _score(weights: Weights, data: SegmentationData, progress: Progress | None) -> float | None:
    predictor = NetworkPredictor(weights.build(), torch.device("cpu"))
    return evaluate(predictor, data, progress).scores.miou
