"""``contextnet prune``: from a network to a smaller one that keeps a budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from contextnet.cli.optional import require_nncf, require_torch
from contextnet.cli.options import (
    Device,
    JsonFile,
    Precision,
    emit_json,
    override,
    parse_size,
    require_device,
    require_json_target,
)
from contextnet.cli.prune_options import (
    Changes,
    Criterion,
    Data,
    Direct,
    Epochs,
    Int8,
    Int8Epochs,
    Multiple,
    Output,
    RecipeName,
    Schedule,
    Scope,
    Size,
    Split,
    Start,
    Steps,
    StepsOnly,
    TargetText,
    TimedEngine,
    Wide,
    WideEpochs,
)
from contextnet.data.sources import open_data
from contextnet.errors import CompressionError
from contextnet.recipes.catalogue import find_recipe
from contextnet.runtime.engines.choice import WEIGHTS_SUFFIX
from contextnet.weights.catalogue import find_weights

if TYPE_CHECKING:
    from contextnet.benchmark.side_by_side import Candidate
    from contextnet.cli.prune_training import Trainings
    from contextnet.compression.pruning.latency import Timing
    from contextnet.compression.pruning.pruner import Target


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
    int8: Int8 = False,
    int8_epochs: Int8Epochs = 10,
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

    What comes out is an ordinary network: it trains, exports, quantizes and runs like any other. The output folder
    keeps the networks of all steps, and a report that puts them side by side.
    """
    require_torch("prune", extra="export")
    from contextnet.cli.prune_chain import Chain
    from contextnet.cli.prune_report import Report, measure
    from contextnet.compression.pruning.latency import Timing
    from contextnet.compression.pruning.pruner import PruneOptions

    require_json_target(json_file)
    _require_sense(direct=direct, steps_only=steps_only, int8=int8, data=data)
    samples = None if data is None else open_data(data, split)
    timing = Timing(parse_size(size), engine, precision)
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    widths = _read_schedule(target, schedule)
    changes = [*(set_ or []), *override("data.source", data)]
    trainings = None if steps_only else _trainings(recipe or start, changes, epochs, device, console)
    begin = _begin(start, output / "wide", trainings, wide, wide_epochs) if schedule else _given(find_weights(start))
    targets = widths or _targets(begin.path, target or "", steps, timing)
    chain = Chain(begin, targets, output, f"{Path(start).stem}-pruned", trainings, console)
    candidates = chain.run(PruneOptions(scope, criterion, multiple, timing))
    if direct:
        candidates.append(chain.train_directly(candidates[-1]))
    if int8 and data is not None:
        candidates += chain.quantize(candidates[len(targets) :], candidates[: len(targets)], data, int8_epochs)
    result = candidates[len(targets)]
    rows = measure(candidates, timing, samples)
    report = Report(rows, result.path, timing, samples.name if samples else None)
    report.keep(output)
    if json_file:
        emit_json(report.to_json(), json_file)
    if json_file != "-":
        report.print()


def _require_sense(*, direct: bool, steps_only: bool, int8: bool, data: str | None) -> None:
    """Raise ``ContextNetError`` for what could only fail in the end; called before any training."""
    if direct and steps_only:
        raise CompressionError("--direct trains, and --steps-only does not; give one of them")
    if int8:
        require_nncf("prune --int8")
    if int8 and data is None:
        raise CompressionError("--int8 needs --data KIND:ROOT: its train split calibrates, its val split judges")


def _begin(start: str, folder: Path, trainings: Trainings | None, width: float, epochs: int) -> Candidate:
    """Give the network that a schedule starts from: given weights, or a wide one trained by a recipe."""
    from contextnet.benchmark.side_by_side import Candidate

    if start.endswith(WEIGHTS_SUFFIX):
        return _given(find_weights(start))
    if trainings is None:
        raise CompressionError("--steps-only: there is nothing to prune before a recipe is trained; give weights")
    return Candidate("before", trainings.train_wide(width, epochs, folder), epochs)


def _given(path: Path) -> Candidate:
    from contextnet.benchmark.side_by_side import Candidate
    from contextnet.models.storage import read_weights

    return Candidate("before", path, int(read_weights(path).training.get("epochs", 0)))


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
