"""Opening a network for a command: by its shipped name or from a file."""

from __future__ import annotations

from contextnet.cli.optional import require_torch
from contextnet.cli.options import require_device
from contextnet.evaluation.predictor import Predictor
from contextnet.labels import LabelSet
from contextnet.weights.catalogue import find_weights


def open_network(name_or_path: str, device: str, command: str) -> tuple[Predictor, LabelSet]:
    """Load weights as a predictor and give its label set.

    Raises ``WeightsError`` when the weights cannot be used, ``MissingDependencyError`` when PyTorch is missing.
    """
    path = find_weights(name_or_path)
    require_torch(command)
    require_device(device)
    from contextnet.models.predictor import NetworkPredictor
    from contextnet.models.storage import read_weights

    weights = read_weights(path)
    return NetworkPredictor(weights.build(), device), weights.labels
