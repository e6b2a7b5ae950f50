"""Training states on disk: what a run needs to go on exactly where it stopped, each one checksummed safetensors file.

A run keeps its newest states, so that one that was damaged on disk costs no more than the steps since the one before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import dropwhile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from contextnet.errors import DamagedError, RunError, TrainingError, WeightsError
from contextnet.models.storage import load_strictly, read_tensors, write_tensors
from contextnet.training.run_folder import RunFolder

FORMAT = "contextnet-training-state-1"


@dataclass(frozen=True)
class Progress:
    """How far a run has come: whole epochs and steps done, seconds trained, and the best validation so far.

    ``validated_epoch`` is the newest epoch that was validated; ``skipped_steps`` counts the steps whose loss was not
    finite, ``nonfinite_in_a_row`` the newest of them. ``loss_sum`` and ``loss_count`` are those of the epoch that is
    under way. ``loss_scale`` and ``scale_growth`` are those of training in float16. ``seed``, ``batch_size`` and
    ``samples`` are those of the run, None where the file does not say: every random choice is a function of them and
    the step, so no generator state is kept.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_miou: float = -1.0
    best_epoch: int = -1
    validated_epoch: int = -1
    skipped_steps: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    nonfinite_in_a_row: int = 0
    loss_scale: float | None = None
    scale_growth: int = 0
    seed: int | None = None
    batch_size: int | None = None
    samples: int | None = None


@dataclass(frozen=True)
class Checkpoints:
    """The newest ``keep`` training states in the folder of a run, which has one writer."""

    folder: Path
    keep: int

    def save(
        self, network: nn.Module, averaged: Mapping[str, Tensor] | None, optimizer: Optimizer, progress: Progress
    ) -> Path:
        """Write the state of ``progress.step``, then remove the oldest beyond ``keep``; give the file.

        Newer states do not count: where there are any, they were found damaged and the run has come back to an older
        one, and each is replaced when its step comes again. Raises ``RunError`` when the folder cannot be made,
        ``ContextNetError`` when the state cannot be written, and ``TrainingError`` as ``save_state`` does; the states
        before stay.
        """
        assert self.keep >= 1
        folder = RunFolder(self.folder)
        path = folder.state(progress.step)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{path.parent}: cannot be made: {error.strerror}; give another folder") from None
        _try_to_remove(folder.state_leftovers())
        save_state(path, network, averaged, optimizer, progress)
        not_newer = tuple(dropwhile(lambda state: state != path, folder.state_files()))
        _try_to_remove(not_newer[self.keep :])
        return path

    def files(self) -> tuple[Path, ...]:
        """Give the states, the newest step first."""
        return RunFolder(self.folder).state_files()

    def newest_sound(self, say: Callable[[str], None]) -> Path:
        """Give the newest state whose checksum is right; ``say`` is told of each newer one that is damaged.

        Raises ``RunError`` when there is no state, ``DamagedError`` when all are damaged, and ``WeightsError`` for a
        file that is none of this project's.
        """
        states, faults = RunFolder(self.folder).states, list[DamagedError]()
        for path in self.files():
            try:
                read_tensors(path, FORMAT)
            except DamagedError as error:
                faults.append(error)
                continue
            for fault in faults:
                say(f"{fault.file}: {fault.detail}; '{path.name}' is used instead")
            return path
        if not faults:
            raise RunError(f"{states}: holds no state to resume; start the run without --resume")
        raise DamagedError.at(
            states,
            f"none of {len(faults)} states is sound, the newest is {Path(faults[0].file).name}: {faults[0].detail}",
            "put a copy of one back, or start anew with --overwrite",
        )


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

    Raises ``DamagedError`` when the file is damaged, ``WeightsError`` when the network differs, ``RunError`` when the
    recipe changed what is averaged or the optimizer. Progress that an older version wrote gets the defaults for what
    it lacks.
    """
    tensors, metadata = read_tensors(path, FORMAT)
    try:
        progress = Progress(**json.loads(metadata["progress"]))
    except (KeyError, TypeError, ValueError):
        raise WeightsError(f"{path}: its progress cannot be read; it was written by another version") from None
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
    return progress


def _try_to_remove(paths: Iterable[Path]) -> None:
    """Remove files where that works: one too many is no reason to end a run."""
    for path in paths:
        with suppress(OSError):
            path.unlink()


def _like(parameter: Tensor, slot: Tensor) -> Tensor:
    """Put a slot on its parameter's device in the parameter's memory layout; step counters stay as they are."""
    if slot.ndim == 0:
        return slot
    return torch.empty_like(parameter, dtype=slot.dtype, memory_format=torch.preserve_format).copy_(slot)


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
