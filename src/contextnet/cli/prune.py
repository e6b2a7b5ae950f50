"""``contextnet prune``: from a network to a smaller one that keeps a budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from contextnet.cli.optional import require_torch
from contextnet.cli.options import (
    Device,
    JsonFile,
    Precision,
    emit_json,
    parse_size,
    require_device,
    require_json_target,
)
from contextnet.cli.progress import progress_bar
from contextnet.errors import CompressionError
from contextnet.recipes.catalogue import find_recipe
from contextnet.runtime.engines.choice import WEIGHTS_SUFFIX
from contextnet.weights.catalogue import find_weights

if TYPE_CHECKING:
    from contextnet.cli.prune_training import Trainings
    from contextnet.compression.pruning.comparison import NetworkRow
    from contextnet.compression.pruning.latency import Timing
    from contextnet.compression.pruning.pruner import PruneOptions, Target


Start = Annotated[
    str,
    Argument(metavar="RECIPE|WEIGHTS", help="A shipped network or a weights file; with --schedule also a recipe."),
]
Output = Annotated[Path, Option(help="Folder for the networks of all steps; a chain that was begun there goes on.")]
TargetText = Annotated[
    str | None, Option(metavar="UNIT=NUMBER", help="params=490459, macs=2e9, latency_ms=20 or width=0.75.")
]
Schedule = Annotated[
    str | None, Option(metavar="WIDTH,WIDTH", help="Widths to go through, in the paper's: 1.5,1.25,1.")
]
Steps = Annotated[int, Option(min=1, max=20, help="In how many steps of equal factors the target is reached.")]
StepsOnly = Annotated[bool, Option("--steps-only", help="Prune without training in between.")]
RecipeName = Annotated[
    str | None, Option(help="The recipe to train by after each step; the one of the network's name if left out.")
]
Epochs = Annotated[int, Option(min=1, help="Epochs after each step.")]
Wide = Annotated[float, Option(help="The width to begin with, where a recipe is given.")]
WideEpochs = Annotated[int, Option(min=1, help="Epochs of that network.")]
Direct = Annotated[
    bool, Option("--direct", help="Train a network of the final size from scratch as well, for all epochs together.")
]
Changes = Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe.")]
Data = Annotated[str | None, Option(metavar="KIND:ROOT", help="The data set to score on, and to train on.")]
Split = Annotated[str, Option(help="The split to score on.")]
Scope = Annotated[
    Literal["local", "global"], Option(help="Cut all layers alike, or the weakest channels wherever they are.")
]
Criterion = Annotated[
    Literal["l1", "l1-folded"], Option(help="Rank filters by their weights, or with batch norm folded in.")
]
Multiple = Annotated[
    int | None, Option(min=1, max=64, help="Round widths to multiples; where time counts, some are tried.")
]
Size = Annotated[str, Option(metavar="HEIGHTxWIDTH", help="Image size for multiply-adds and time.")]
TimedEngine = Annotated[str, Option(help="The engine that is timed: openvino or onnxruntime.")]


def prune(
    start: Start,
    output: Output,
    target: TargetText = None,
    schedule: Schedule = None,
    steps: Steps = 1,
    steps_only: StepsOnly = False,
    recipe: RecipeName = None,
    epochs: Epochs = 20,
    wide: Wide = 2.0,
    wide_epochs: WideEpochs = 60,
    direct: Direct = False,
    set_: Changes = None,
    data: Data = None,
    split: Split = "val",
    scope: Scope = "local",
    criterion: Criterion = "l1",
    multiple: Multiple = None,
    size: Size = "1024x2048",
    engine: TimedEngine = "openvino",
    precision: Precision = None,
    device: Device = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Make a network smaller by whole feature maps: to a width, or to a budget of parameters, multiply-adds or time.

    What comes out is an ordinary network: it trains, exports, quantizes and runs like any other.
    """
    require_torch("prune", extra="export")
    from contextnet.compression.pruning.latency import Timing
    from contextnet.compression.pruning.pruner import PruneOptions

    require_json_target(json_file)
    timing = Timing(parse_size(size), engine, precision)
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    widths = _read_schedule(target, schedule)
    changes = [*(set_ or []), *_data_override(data)]
    trainings = None if steps_only else _trainings(recipe or start, changes, epochs, device, console)
    if schedule is not None and not start.endswith(WEIGHTS_SUFFIX):
        if trainings is None:
            raise CompressionError("--steps-only: there is nothing to prune before a recipe is trained; give weights")
        begin, spent = trainings.train_wide(wide, wide_epochs, output / "wide"), wide_epochs
    else:
        begin, spent = find_weights(start), 0
    targets = widths or _targets(begin, target or "", steps, timing)
    chain = _Chain(begin, targets, output, f"{Path(start).stem}-pruned", trainings, console)
    files = chain.run(PruneOptions(scope, criterion, multiple, timing))
    if direct and trainings is not None:
        files.append(chain.train_directly(files[-1][1], spent + epochs * len(targets)))
    rows = _measure(files, timing, data, split)
    if json_file:
        emit_json({**rows[len(targets)].to_json(), "rows": [row.to_json() for row in rows]}, json_file)
    if json_file != "-":
        _print(rows, timing)


@dataclass(frozen=True)
class _Chain:
    """The steps from one network to the smallest, and where they lie."""

    begin: Path
    targets: Sequence[Target]
    output: Path
    name: str
    trainings: Trainings | None
    console: Console

    def run(self, options: PruneOptions) -> list[tuple[str, Path]]:
        """Take all steps, and give each network's role and file, the one before them first."""
        from contextnet.compression.pruning.chain import prune_in_steps

        fine_tune = self.trainings.fine_tune if self.trainings else None
        done = prune_in_steps(self.begin, self.targets, self.output, self.name, options, fine_tune, self.console.print)
        return [("before", self.begin), *((f"pruned to {step.target}", step.weights) for step in done)]

    def train_directly(self, pruned: Path, epochs: int) -> tuple[str, Path]:
        """Train a network of the pruned one's size from scratch, and give its role and file."""
        from contextnet.models.storage import read_weights

        assert self.trainings is not None
        spec = read_weights(pruned).spec
        return "trained directly", self.trainings.train_directly(spec, epochs, self.output / "direct")


def _read_schedule(target: str | None, schedule: str | None) -> Sequence[Target]:
    """Read the widths of a schedule; none where a target is given. Raises ``CompressionError`` for both and neither."""
    from contextnet.compression.pruning.pruner import parse_target

    if (target is None) == (schedule is None):
        raise CompressionError("give --target UNIT=NUMBER or --schedule WIDTH,WIDTH, one of them")
    if schedule is None:
        return []
    widths = [parse_target(f"width={width.strip()}") for width in schedule.split(",")]
    if any(later.value >= earlier.value for earlier, later in pairwise(widths)):
        raise CompressionError(f"schedule '{schedule}': each width has to be less than the one before")
    return widths


def _targets(start: Path, target: str, steps: int, timing: Timing) -> Sequence[Target]:
    from contextnet.compression.pruning.chain import between
    from contextnet.compression.pruning.pruner import cost_of, parse_target
    from contextnet.models.storage import read_weights

    aim = parse_target(target)
    return between(cost_of(read_weights(start), aim.unit, timing), aim, steps)


def _trainings(recipe: str, overrides: Sequence[str], epochs: int, device: str, console: Console) -> Trainings:
    require_torch("prune")
    import torch

    from contextnet.cli.prune_training import Trainings

    require_device(device)
    return Trainings(find_recipe(recipe), overrides, epochs, torch.device(device), console)


def _data_override(data: str | None) -> list[str]:
    return [] if data is None else [f"data.source={json.dumps(data)}"]


def _measure(files: Sequence[tuple[str, Path]], timing: Timing, data: str | None, split: str) -> list[NetworkRow]:
    from contextnet.cli.evaluate import require_same_classes
    from contextnet.compression.pruning.comparison import measure_row
    from contextnet.data.sources import open_data
    from contextnet.models.storage import read_weights

    samples = None if data is None else open_data(data, split)
    rows = []
    for role, path in files:
        if samples is not None:
            require_same_classes(read_weights(path).labels, samples, str(path))
        with progress_bar(f"measuring {role}") as progress:
            rows.append(measure_row(role, path, timing, samples, progress))
    return rows


def _print(rows: Sequence[NetworkRow], timing: Timing) -> None:
    size = "×".join(map(str, timing.size_hw))
    table = Table("network", "parameters", "multiply-adds", "latency", "activations", "file", "mIoU", title=size)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(
            row.role,
            f"{row.parameters:,}",
            f"{row.macs / 1e9:.2f} G",
            f"{row.latency_ms:.1f} ms",
            f"{row.peak_activation_mb:.0f} MB",
            f"{row.file_mb:.2f} MB",
            "–" if row.miou is None else f"{100 * row.miou:.1f} %",
        )
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(table)
    console.print(f"{rows[-1].path}")
