"""Pruning step by step, with training in between: each step begins where the one before it ended, and so does a chain
that was interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contextnet.compression.pruning.latency import Timing
from contextnet.compression.pruning.pruner import PruneOptions, Target, prune_weights
from contextnet.errors import CompressionError
from contextnet.files import file_checksum, write_json
from contextnet.models.storage import Weights, read_weights, write_weights

FineTune = Callable[[Weights, Path, Path, bool], Path]
"""Trains a pruned network on, from the file that it lies in, in a run's folder, and gives the file of the best weights.

It is told whether the network is the last of the chain.

Called again for a run that was interrupted, it goes on with that; for one that has ended it only gives the file.
"""

Say = Callable[[str], None]

REMEDY = "give another folder"

PRUNED_FILE = "pruned.safetensors"
"""What a step leaves of its network before it is trained on."""


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
    width: float | None = None,
) -> tuple[ChainStep, ...]:
    """Prune the network in ``start`` to one target after the other; what each step leaves lies in ``folder``.

    ``name`` is what the networks are called, with the target of each behind it, but for the last. Without ``fine_tune``
    they are not trained. ``width`` is that of the first in widths of the paper's, where it is known. Steps that lie in
    the folder already are not made again. Raises ``CompressionError`` where those came from another network or were
    chosen otherwise, and what ``prune_weights`` and ``fine_tune`` raise.
    """
    steps: list[ChainStep] = []
    previous = start
    for number, target in enumerate(targets, start=1):
        place = folder / f"{number}-{target.slug}"
        pruned = place / PRUNED_FILE
        origin = _origin(previous, target, options)
        if not pruned.is_file():
            say(f"step {number} of {len(targets)}: {target}")
            called = name if number == len(targets) else f"{name}-{target.slug}"
            smaller = prune_weights(read_weights(previous), target, called, options, width)
            place.mkdir(parents=True, exist_ok=True)
            write_weights(pruned, replace(smaller, training=_kept(smaller.training) | origin))
        weights = read_weights(pruned)
        if any(weights.training.get(key) != value for key, value in origin.items()):
            raise CompressionError(f"{pruned}: was pruned from another network, or otherwise; {REMEDY}")
        tuned = fine_tune(weights, pruned, place / "run", number == len(targets)) if fine_tune else None
        steps.append(ChainStep(target, pruned, tuned))
        previous = steps[-1].weights
        width = target.value if target.unit == "width" else None
    return tuple(steps)


def keep_targets(folder: Path, start: Path, asked: str, targets: Callable[[], Sequence[Target]]) -> Sequence[Target]:
    """Give the targets of a chain's steps, as they were when the chain was begun in ``folder``.

    ``targets`` works them out for a new one: what the network costs may be measured, and come out differently each
    time. ``asked`` says in words what the chain was asked for. Raises ``CompressionError`` where the folder holds a
    network of a chain from another one or to another target, and what ``targets`` raises.
    """
    kept = folder / "targets.json"
    origin = {"from_sha256": file_checksum(start), "asked": asked}
    found = _read_targets(kept) if kept.is_file() else None
    if found is not None and found[0] == origin:
        return found[1]
    if any(folder.glob(f"*/{PRUNED_FILE}")):
        raise CompressionError(f"{folder}: holds a chain from another network, or to another target; {REMEDY}")
    values = targets()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CompressionError(f"{folder}: cannot be made: {error.strerror}; {REMEDY}") from None
    steps = [{"unit": target.unit, "value": target.value} for target in values]
    write_json(kept, {"origin": origin, "steps": steps})
    return values


def _read_targets(path: Path) -> tuple[dict[str, Any], list[Target]] | None:
    """Read what ``keep_targets`` wrote; None where the file is damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return values["origin"], [Target(step["unit"], step["value"]) for step in values["steps"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def between(start: float, target: Target, steps: int) -> tuple[Target, ...]:
    """Give the targets of so many steps from what a network costs to what it is to cost, by equal factors.

    Raises ``CompressionError`` when it costs no more than that already.
    """
    if start <= target.value:
        raise CompressionError(f"{target}: the network has {replace(target, value=start).number} already; give less")
    factor = (target.value / start) ** (1 / steps)
    return (*(replace(target, value=start * factor**number) for number in range(1, steps)), target)


def _origin(source: Path, target: Target, options: PruneOptions) -> dict[str, object]:
    """Say how a pruned network came to be."""
    return {
        "pruned_from": source.stem,
        "pruned_from_sha256": file_checksum(source),
        "pruned_to": str(target),
        "pruned_by": f"{options.scope} {options.criterion}",
        "pruned_to_multiples_of": options.multiple,
        **_measured_by(target, options.timing),
    }


def _measured_by(target: Target, timing: Timing) -> dict[str, object]:
    """Say what a target's unit depends on beside the network; None where it does not."""
    has_size, has_engine = target.unit in {"macs", "latency_ms"}, target.unit == "latency_ms"
    return {
        "pruned_for_size": list(timing.size_hw) if has_size else None,
        "pruned_for_engine": [timing.engine, timing.precision, timing.threads] if has_engine else None,
    }


def _kept(training: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not the pruned network's own: the score of the one before, and the command that trained it."""
    return {key: value for key, value in training.items() if key not in {"miou", "command", "of_epochs"}}
