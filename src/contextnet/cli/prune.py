"""``contextnet prune``: from a network to a smaller one that keeps a budget."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from contextnet.cli.evaluate import require_same_classes
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
from contextnet.stop_signals import ending_on_sigterm

if TYPE_CHECKING:
    from contextnet.benchmark.side_by_side import Candidate
    from contextnet.cli.prune_training import Trainings
    from contextnet.compression.pruning.latency import Timing
    from contextnet.compression.pruning.pruner import Target
    from contextnet.data.sample import SegmentationData


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
    from contextnet.cli.prune_start import find_start
    from contextnet.compression.pruning.latency import Timing
    from contextnet.compression.pruning.pruner import PruneOptions

    require_json_target(json_file)
    _require_sense(output, direct=direct, steps_only=steps_only, trains=bool(recipe or set_ or device != "cpu"))
    timing = Timing(parse_size(size), engine, precision)
    timing.require_engine()
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    widths = _read_schedule(target, schedule)
    source = find_start(start, widths)
    changes = [*(set_ or []), *override("data.source", data)]
    trainings = None if steps_only else _trainings(start, source, recipe, changes, epochs, device, console)
    data = data or (trainings.plan.data.source if trainings else None)
    samples = None if data is None else open_data(data, split)
    if int8:
        _require_calibration(data)
    _require_fit(start, source, trainings, samples, widths, wide)
    with ending_on_sigterm():
        begin = _begin(source, output / "wide", trainings, wide, wide_epochs)
        targets = _targets(begin.path, widths, target or "", steps, output, timing)
        chain = Chain(begin, targets, output, f"{Path(start).stem}-pruned", trainings, console)
        candidates = chain.run(PruneOptions(scope, criterion, multiple, timing), None if source else wide)
        if direct:
            candidates.append(chain.train_directly(candidates[-1]))
        if int8 and data is not None:
            candidates += chain.quantize(candidates[len(targets) :], candidates[: len(targets)], data, int8_epochs)
        rows = measure(candidates, timing, samples)
        report = Report(rows, rows[len(targets)], timing, samples.name if samples else None)
        report.keep(output)
    if json_file:
        emit_json(report.to_json(output), json_file)
    if json_file != "-":
        report.print(output)


def _require_sense(output: Path, *, direct: bool, steps_only: bool, trains: bool) -> None:
    """Raise ``CompressionError`` for options that contradict each other, and a place where nothing can be kept."""
    if direct and steps_only:
        raise CompressionError("--direct trains, and --steps-only does not; give one of them")
    if trains and steps_only:
        raise CompressionError("--recipe, --set and --device are for training, and --steps-only does not train")
    if output.exists() and not output.is_dir():
        raise CompressionError(f"{output}: is a file; give a folder for the networks")


def _require_calibration(data: str | None) -> None:
    """Raise ``ContextNetError`` when no INT8 forms could be made in the end."""
    require_nncf("prune --int8")
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
    wide: float,
) -> None:
    """Raise ``ContextNetError`` where network, recipe, data and schedule do not fit together."""
    from contextnet.cli.prune_start import require_wide_enough
    from contextnet.compression.pruning.pruner import width_of
    from contextnet.models.storage import read_weights

    if source is None:
        if trainings is None:
            raise CompressionError("--steps-only: there is nothing to prune before a recipe is trained; give weights")
        require_wide_enough(widths, wide)
        labels = trainings.labels()
    else:
        weights = read_weights(source)
        require_wide_enough(widths, width_of(weights.spec))
        labels = weights.labels
        if trainings is not None and trainings.labels().names != labels.names:
            raise CompressionError(f"{start}: has other classes than the data of {trainings.recipe}; give its own")
    if samples is not None:
        require_same_classes(labels, samples, start)


def _begin(source: Path | None, folder: Path, trainings: Trainings | None, width: float, epochs: int) -> Candidate:
    """Give the network that is pruned first: given weights, or a wide one trained by the recipe."""
    from contextnet.benchmark.side_by_side import Candidate
    from contextnet.cli.prune_start import epochs_of
    from contextnet.models.storage import read_weights

    if source is not None:
        return Candidate("before", source, epochs_of(read_weights(source)))
    assert trainings is not None, "required"
    return Candidate("before", trainings.train_wide(width, epochs, folder), epochs)


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


def _targets(
    start: Path, widths: Sequence[Target], target: str, steps: int, output: Path, timing: Timing
) -> Sequence[Target]:
    """Give the targets of the steps: the schedule's, or by equal factors from what the network costs."""
    from contextnet.compression.pruning.chain import between, keep_targets
    from contextnet.compression.pruning.pruner import cost_of, parse_target
    from contextnet.models.storage import read_weights

    if widths:
        return keep_targets(output, start, ", ".join(map(str, widths)), lambda: widths)
    aim = parse_target(target)

    def by_equal_factors() -> Sequence[Target]:
        return between(cost_of(read_weights(start), aim.unit, timing), aim, steps)

    place = f" for {timing}" if aim.unit in {"macs", "latency_ms"} else ""
    return keep_targets(output, start, f"{aim} in {steps} steps{place}", by_equal_factors)


def _trainings(
    start: str,
    source: Path | None,
    recipe: str | None,
    overrides: Sequence[str],
    epochs: int,
    device: str,
    console: Console,
) -> Trainings:
    import torch

    from contextnet.cli.prune_start import find_training_recipe
    from contextnet.cli.prune_training import Trainings

    require_device(device)
    return Trainings(find_training_recipe(start, source, recipe), overrides, epochs, torch.device(device), console)
