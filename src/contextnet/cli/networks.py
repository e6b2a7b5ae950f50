"""Opening a network for a command: by its shipped name, as a model file, or as weights."""

from __future__ import annotations

from pathlib import Path

from contextnet.cli.optional import has_torch, require_torch
from contextnet.cli.options import require_device
from contextnet.evaluation.predictor import Predictor
from contextnet.labels import LabelSet
from contextnet.runtime.segmenter import Segmenter
from contextnet.weights.catalogue import find_weights, weights_names

WEIGHTS_SUFFIX = ".safetensors"


def open_predictor(name_or_path: str, engine: str, device: str, command: str) -> tuple[Predictor, LabelSet]:
    """Open a network to be scored, and give its label set.

    Weights are scored by PyTorch in float32, as they were trained, unless ``engine`` names another one. Model files are
    scored by the engine that would run them, and so are shipped networks where PyTorch is not installed. Raises
    ``ContextNetError`` when the network cannot be used.
    """
    is_weights_file = Path(name_or_path).suffix == WEIGHTS_SUFFIX
    is_shipped_weights = name_or_path in weights_names() and (has_torch() or engine == "pytorch")
    if engine not in {"auto", "pytorch"} or not (is_weights_file or is_shipped_weights):
        segmenter = Segmenter.load(name_or_path, engine=engine, device=device)
        return segmenter, segmenter.label_set
    path = find_weights(name_or_path)
    require_torch(command)
    require_device(device)
    from contextnet.models.predictor import NetworkPredictor
    from contextnet.models.storage import read_weights

    weights = read_weights(path)
    return NetworkPredictor(weights.build(), device), weights.labels
