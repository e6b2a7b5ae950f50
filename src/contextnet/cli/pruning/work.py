"""The work of ``contextnet prune``: what is asked for is checked, the networks are made, and a report tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from rich.console import Console

from contextnet.benchmark.side_by_side import Candidate
from contextnet.cli.evaluate import require_same_classes
from contextnet.cli.options import require_device
from contextnet.cli.pruning.chain import Chain
from contextnet.cli.pruning.report import Report, measure
from contextnet.cli.pruning.start import (
    epochs_of,
    find_start,
    find_training_recipe,
    name_of,
    refuse_untrained_recipe,
    require_wide_enough,
)
from contextnet.cli.pruning.training import Trainings
from contextnet.compression.pruning.chain import between, keep_targets
from contextnet.compression.pruning.latency import Timing
from contextnet.compression.pruning.pruner import PruneOptions, Target, cost_of, parse_target, width_of
from contextnet.data.sample import SegmentationData
from contextnet.data.sources import open_data
from contextnet.errors import CompressionError
from contextnet.models.storage import read_weights
from contextnet.network_spec import require_contextnet
from contextnet.stop_signals import ending_on_sigterm


@dataclass(frozen=True)
class Aim:
    """Where the chain goes: to a target in so many steps, or along a schedule of widths; texts as they are given."""

    target: str | None
    schedule: str | None
    steps: int

    def widths(self) -> Sequence[Target]:
        """Read the schedule; none where a target is given. Raises ``CompressionError`` for both and neither."""
        if (self.target is None) == (self.schedule is None):
            raise CompressionError("give --target UNIT=NUMBER or --schedule WIDTH,WIDTH, one of them")
        if self.schedule is None:
            self.end()
            return []
        try:
            widths = [parse_target(f"width={width.strip()}") for width in self.schedule.split(",")]
        except CompressionError:
            expected = "widths above 0 in parts of the paper's, as in 1.5,1.25,1"
            raise CompressionError(f"schedule '{self.schedule}': expected {expected}") from None
        if any(later.value >= earlier.value for earlier, later in pairwise(widths)):
            raise CompressionError(f"schedule '{self.schedule}': each width has to be less than the one before")
        return widths

    def end(self) -> Target:
        """Read the target. Raises ``CompressionError`` when it says nothing."""
        return parse_target(self.target or "")

    def targets(self, start: Path, folder: Path, timing: Timing) -> Sequence[Target]:
        """Give the targets of all steps from a network on, the same ones where the folder holds the chain already."""
        if widths := self.widths():
            return keep_targets(folder, start, ", ".join(map(str, widths)), lambda: widths)
        end = self.end()
        asked = f"{end} in {self.steps} steps"
        if end.unit in {"macs", "latency_ms"}:
            asked += f" for {timing}"
        return keep_targets(
            folder, start, asked, lambda: between(cost_of(read_weights(start), end.unit, timing), end, self.steps)
        )


@dataclass(frozen=True)
class TrainingWishes:
    """How networks are trained: the recipe, or None for the network's own, its changes, and the epochs of each kind."""

    recipe: str | None
    changes: tuple[str, ...]
    epochs: int
    last_epochs: int
    wide: float
    wide_epochs: int
    device: str


@dataclass(frozen=True)
class Forms:
    """What is made beside the steps: a network trained directly, and INT8 forms, None for none of these."""

    direct: bool
    int8_epochs: int | None


@dataclass(frozen=True)
class Scoring:
    """The data set, ``KIND:ROOT``, that networks are scored on, None for the recipe's, and the split."""

    data: str | None
    split: str


def prune_and_report(
    start: str,
    output: Path,
    aim: Aim,
    training: TrainingWishes | None,
    forms: Forms,
    options: PruneOptions,
    scoring: Scoring,
    json_file: str | None,
) -> None:
    """Make the networks, or go on with making them, and tell of them; nothing is done where something does not fit.

    Raises ``ContextNetError`` for that.
    """
    if output.exists() and not output.is_dir():
        raise CompressionError(f"{output}: is a file; give a folder for the networks")
    options.timing.require_engine()
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    widths = aim.widths()
    source = find_start(start, widths)
    trainings = None if training is None else _trainings(start, source, training, console)
    data = scoring.data or (trainings.plan.data.source if trainings else None)
    samples = None if data is None else open_data(data, scoring.split)
    if forms.int8_epochs is not None:
        _require_calibration(data)
    wide = training.wide if training is not None and source is None else None
    _require_fit(start, source, trainings, samples, widths, wide)
    with ending_on_sigterm():
        begin = _begin(source, output / "wide", training, trainings)
        targets = aim.targets(begin.path, output, options.timing)
        chain = Chain(begin, targets, output, f"{name_of(start)}-pruned", trainings, console)
        candidates = chain.run(options, wide)
        if forms.direct:
            candidates.append(chain.train_directly(candidates[-1]))
        if forms.int8_epochs is not None and data is not None:
            finals, others = candidates[len(targets) :], candidates[: len(targets)]
            candidates += chain.quantize(finals, others, data, forms.int8_epochs)
        measured = measure(candidates, options.timing, samples)
        report = Report(measured, measured.rows[len(targets)], options.timing, samples.name if samples else None)
        report.keep(output)
    report.tell(output, json_file)


def _require_calibration(data: str | None) -> None:
    """Raise ``ContextNetError`` when no INT8 forms could be made in the end."""
    if data is None:
        raise CompressionError("--int8 needs --data KIND:ROOT: its train split calibrates, its val split judges")
    if len(open_data(data, "train")) == 0:
        raise CompressionError(f"--int8: the train split of {data} is empty, and calibrates")


def _require_fit(
    start: str,
    source: Path | None,
    trainings: Trainings | None,
    samples: SegmentationData | None,
    widths: Sequence[Target],
    wide: float | None,
) -> None:
    """Raise ``ContextNetError`` where network, recipe, data and schedule do not fit together."""
    if source is None:
        if trainings is None or wide is None:
            refuse_untrained_recipe(start)
        require_wide_enough(widths, wide)
        labels = trainings.labels()
        require_contextnet(trainings.plan.network.spec(labels.num_classes), "pruned")
    else:
        weights = read_weights(source)
        require_wide_enough(widths, width_of(weights.spec))
        labels = weights.labels
        if trainings is not None and trainings.labels().names != labels.names:
            raise CompressionError(f"{start}: has other classes than the data of {trainings.recipe}; give its own")
    if samples is not None:
        require_same_classes(labels, samples, start)


def _begin(
    source: Path | None, folder: Path, training: TrainingWishes | None, trainings: Trainings | None
) -> Candidate:
    """Give the network that is pruned first: given weights, or a wide one trained by the recipe."""
    if source is not None:
        return Candidate("before", source, epochs_of(read_weights(source)))
    assert training is not None, "required"
    assert trainings is not None, "required"
    path = trainings.train_wide(training.wide, training.wide_epochs, folder)
    return Candidate("before", path, training.wide_epochs)


def _trainings(start: str, source: Path | None, wishes: TrainingWishes, console: Console) -> Trainings:
    require_device(wishes.device)
    recipe = find_training_recipe(start, source, wishes.recipe)
    return Trainings(recipe, wishes.changes, wishes.epochs, wishes.last_epochs, torch.device(wishes.device), console)
