"""Pruning step by step, with training in between: each step begins where the one before it ended, and so does a chain
that was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contextnet.compression.pruning.pruner import PruneOptions, Target, prune_weights
from contextnet.errors import CompressionError
from contextnet.files import file_checksum
from contextnet.models.storage import Weights, read_weights, write_weights

FineTune = Callable[[Weights, Path, Path], Path]
"""Trains a pruned network on, from the file that it lies in, in a run's folder, and gives the file of the best weights.

Called again for a run that was interrupted, it goes on with that; for one that has ended it only gives the file.
"""

Say = Callable[[str], None]


@dataclass(frozen=True)
class ChainStep:
    """A step that is done: its target, the network as it was pruned, and as it was trained after that, if it was."""

    target: Target
    pruned: Path
    tuned: Path | None

    @property
    def weights(self) -> Path:
        """The file of the network as the step left it."""
        return self.tuned or self.pruned


def prune_in_steps(
    start: Path,
    targets: Sequence[Target],
    folder: Path,
    name: str,
    options: PruneOptions,
    fine_tune: FineTune | None = None,
    say: Say = lambda line: None,
) -> tuple[ChainStep, ...]:
    """Prune the network in ``start`` to one target after the other; what each step leaves lies in ``folder``.

    ``name`` is what the networks are called, with the target of each behind it, but for the last. Without ``fine_tune``
    they are not trained. Steps that lie in the folder already are not made again. Raises ``CompressionError`` where
    those came from another network or were chosen otherwise, and what ``prune_weights`` and ``fine_tune`` raise.
    """
    steps: list[ChainStep] = []
    previous = start
    for number, target in enumerate(targets, start=1):
        place = folder / f"{number}-{target.slug}"
        pruned = place / "pruned.safetensors"
        origin = _origin(previous, target, options)
        if not pruned.is_file():
            place.mkdir(parents=True, exist_ok=True)
            say(f"step {number} of {len(targets)}: {target}")
            called = name if number == len(targets) else f"{name}-{target.slug}"
            smaller = prune_weights(read_weights(previous), target, called, options)
            write_weights(pruned, replace(smaller, training=_kept(smaller.training) | origin))
        weights = read_weights(pruned)
        if any(weights.training.get(key) != value for key, value in origin.items()):
            raise CompressionError(f"{pruned}: was pruned from another network, or otherwise; give another folder")
        tuned = fine_tune(weights, pruned, place / "run") if fine_tune else None
        steps.append(ChainStep(target, pruned, tuned))
        previous = steps[-1].weights
    return tuple(steps)


def between(start: float, target: Target, steps: int) -> tuple[Target, ...]:
    """Give the targets of so many steps from what a network costs to what it is to cost, by equal factors.

    Raises ``CompressionError`` when it costs no more than that already.
    """
    if start <= target.value:
        raise CompressionError(f"{target}: the network has {start:.6g} already; give less")
    factor = (target.value / start) ** (1 / steps)
    return (*(replace(target, value=start * factor**number) for number in range(1, steps)), target)


def _origin(source: Path, target: Target, options: PruneOptions) -> dict[str, object]:
    """Say how a pruned network came to be."""
    return {
        "pruned_from": source.stem,
        "pruned_from_sha256": file_checksum(source),
        "pruned_to": str(target),
        "pruned_by": f"{options.scope} {options.criterion}",
    }


def _kept(training: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not the pruned network's own: the score of the one before, and the command that trained it."""
    return {key: value for key, value in training.items() if key not in {"miou", "command"}}
