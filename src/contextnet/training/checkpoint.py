"""Training state on disk: what a run needs to go on exactly where it stopped, in one checksummed safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer

from contextnet.errors import RunError
from contextnet.models.storage import load_strictly, read_tensors, write_tensors

FORMAT = "contextnet-training-state-1"


@dataclass(frozen=True)
class Progress:
    """How far a run has come: epochs and steps done, seconds trained, and the best validation so far.

    ``skipped_steps`` counts the steps whose loss was not finite. All random choices are functions of the recipe's
    seed and the step, so no generator state is kept.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_miou: float = -1.0
    best_epoch: int = -1
    skipped_steps: int = 0


def save_state(
    path: Path,
    network: nn.Module,
    averaged: Mapping[str, Tensor] | None,
    optimizer: Optimizer,
    progress: Progress,
) -> None:
    """Write network, averaged weights, optimizer and progress atomically."""
    tensors = {f"network.{n}": t for n, t in network.state_dict().items()}
    tensors |= {f"averaged.{n}": t for n, t in (averaged or {}).items()}
    for index, parameter in enumerate(_parameters(optimizer)):
        slots = optimizer.state.get(parameter, {})
        tensors |= {f"optimizer.{index}.{key}": slot for key, slot in slots.items()}
    write_tensors(path, tensors, {"progress": json.dumps(asdict(progress))}, FORMAT)


def load_state(
    path: Path, network: nn.Module, averaged: dict[str, Tensor] | None, optimizer: Optimizer
) -> Progress:
    """Load what ``save_state`` wrote into the same parts and return the progress.

    Raises ``WeightsError`` when the file is damaged or the network differs, ``RunError`` when the recipe changed what
    is averaged.
    """
    tensors, metadata = read_tensors(path, FORMAT)
    load_strictly(network, _below(tensors, "network."), str(path))
    stored = _below(tensors, "averaged.")
    if bool(stored) != (averaged is not None):
        raise RunError(f"{path}: 'ema_decay' was switched since; resume with the run's own recipe")
    if averaged is not None:
        averaged.update(stored)
    for index, parameter in enumerate(_parameters(optimizer)):
        slots = _below(tensors, f"optimizer.{index}.")
        if slots:
            optimizer.state[parameter] = {key: slot.to(parameter.device) if slot.ndim else slot for key, slot in slots.items()}
    return Progress(**json.loads(metadata["progress"]))


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
