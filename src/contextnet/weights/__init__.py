"""The shipped networks: their names, where their files lie, and what their headers say. Never imports PyTorch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from contextnet.errors import WeightsError

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class WeightsSummary:
    """What a weights file says of itself without being loaded; ``miou`` is 0..1 as measured when it was written."""

    name: str
    variant: str
    num_classes: int
    label_set: str
    trained_on: str
    validated_on: str
    miou: float | None
    file_bytes: int
    licence: str
    spec: dict[str, Any]


def weights_names() -> list[str]:
    """Names of the shipped networks."""
    return sorted(path.stem for path in _FOLDER.glob("*.safetensors"))


def find_weights(name_or_path: str) -> Path:
    """Give the file of a shipped network, or the path as it is; raises ``WeightsError`` for neither."""
    if name_or_path in weights_names():
        return _FOLDER / f"{name_or_path}.safetensors"
    path = Path(name_or_path)
    if path.is_dir():
        raise WeightsError(f"'{name_or_path}' is a folder; give the weights file in it")
    if not path.is_file():
        raise WeightsError(
            f"'{name_or_path}' is neither a file nor a shipped network ({', '.join(weights_names()) or 'none'})"
        )
    return path


def summarize_weights(path: Path) -> WeightsSummary:
    """Read the header of a weights file; raises ``WeightsError`` naming the file when it has none of this project."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        spec, labels, training = (json.loads(metadata[key]) for key in ("spec", "labels", "training"))
        return WeightsSummary(
            path.stem,
            spec["name"],
            spec["num_classes"],
            labels["name"],
            training.get("trained_on", ""),
            training.get("validated_on", ""),
            training.get("miou"),
            path.stat().st_size,
            json.loads(metadata["licence"]),
            spec,
        )
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WeightsError(f"{path}: no weights file of this project: {error!r}") from None
