"""Training state on disk: what a run needs to go on exactly where it stopped, in one checksummed safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from contextnet.errors import RunError, TrainingError, WeightsError
from contextnet.models.storage import load_strictly, read_tensors, write_tensors

FORMAT = "contextnet-training-state-1"


@dataclass(frozen=True)
class Progress:
    """How far a run has come: epochs and steps done, seconds trained, and the best validation so far.

    ``validated_epoch`` is the newest epoch that was validated; ``skipped_steps`` counts the steps whose loss was not
    finite. All random choices are functions of the recipe's seed and the step, so no generator state is kept.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_miou: float = -1.0
    best_epoch: int = -1
    validated_epoch: int = -1
    skipped_steps: int = 0


def save_state(
    path: Path,
    network: nn.Module,
    averaged: Mapping[str, Tensor] | None,
    optimizer: Optimizer,
    progress: Progress,
) -> None:
    """Write network, averaged weights, optimizer and progress atomically.

    Raises ``TrainingError`` when a tensor holds NaN or infinity: the state before stays what can be resumed.
    """
    tensors = {f"network.{n}": t for n, t in network.state_dict().items()}
    tensors |= {f"averaged.{n}": t for n, t in (averaged or {}).items()}
    for index, parameter in enumerate(_parameters(optimizer)):
        slots = optimizer.state.get(parameter, {})
        tensors |= {f"optimizer.{index}.{key}": slot for key, slot in slots.items()}
    broken = [n for n, t in tensors.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if broken:
        raise TrainingError(f"{path}: not written: '{broken[0]}' holds NaN or infinity; lower the learning rate")
    metadata = {"progress": json.dumps(asdict(progress)), "optimizer": type(optimizer).__name__}
    write_tensors(path, tensors, metadata, FORMAT)


def load_state(path: Path, network: nn.Module, averaged: dict[str, Tensor] | None, optimizer: Optimizer) -> Progress:
    """Load what ``save_state`` wrote into the same parts and return the progress.

    Raises ``WeightsError`` when the file is damaged or the network differs, ``RunError`` when the recipe changed what
    is averaged or the optimizer.
    """
    tensors, metadata = read_tensors(path, FORMAT)
    stored = _below(tensors, "averaged.")
    if bool(stored) != (averaged is not None):
        raise RunError(f"{path}: 'ema_decay' was switched since; resume with the run's own recipe")
    stored_kind, kind = metadata.get("optimizer", ""), type(optimizer).__name__
    if stored_kind not in {"", kind}:
        raise RunError(f"{path}: was written with {stored_kind}, not {kind}; resume with the run's own recipe")
    load_strictly(network, _below(tensors, "network."), str(path))
    for name, tensor in (averaged or {}).items():
        if name not in stored:
            raise WeightsError(f"{path}: the averaged '{name}' is missing; it was written by another version")
        tensor.copy_(stored[name])
    for index, parameter in enumerate(_parameters(optimizer)):
        slots = _below(tensors, f"optimizer.{index}.")
        if slots:
            optimizer.state[parameter] = {key: _like(parameter, slot) for key, slot in slots.items()}
    try:
        return Progress(**json.loads(metadata["progress"]))
    except (KeyError, TypeError, ValueError):
        raise WeightsError(f"{path}: its progress cannot be read; it was written by another version") from None


def _like(parameter: Tensor, slot: Tensor) -> Tensor:
    """Put a slot on its parameter's device in the parameter's memory layout; step counters stay as they are."""
    if slot.ndim == 0:
        return slot
    return torch.empty_like(parameter, dtype=slot.dtype, memory_format=torch.preserve_format).copy_(slot)


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
