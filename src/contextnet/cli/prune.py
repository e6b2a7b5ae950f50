"""``contextnet prune``: from a network to a smaller one that keeps a budget."""

from __future__ import annotations

from contextnet.cli.optional import require_nncf, require_torch
from contextnet.cli.options import Device, JsonFile, Precision, override, parse_size, require_json_target
from contextnet.cli.pruning.options import (
    Changes,
    Criterion,
    Data,
    Direct,
    Epochs,
    Int8,
    Int8Epochs,
    LastEpochs,
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
from contextnet.errors import CompressionError


def prune(
    start: Start,
    output: Output,
    target: TargetText = None,
    schedule: Schedule = None,
    steps: Steps = 1,
    steps_only: StepsOnly = False,
    recipe: RecipeName = None,
    epochs: Epochs = 20,
    last_epochs: LastEpochs = None,
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
    from contextnet.cli.pruning.work import Aim, Forms, Scoring, TrainingWishes, prune_and_report
    from contextnet.compression.pruning.latency import Timing
    from contextnet.compression.pruning.pruner import PruneOptions

    require_json_target(json_file)
    if steps_only and (direct or recipe or set_ or device != "cpu"):
        raise CompressionError("--direct, --recipe, --set and --device are for training, and --steps-only trains not")
    if int8:
        require_nncf("prune --int8")
    changes = [*(set_ or []), *override("data.source", data)]
    last_epochs = last_epochs or epochs
    training = TrainingWishes(recipe, tuple(changes), epochs, last_epochs, wide, wide_epochs, device)
    prune_and_report(
        start,
        output,
        Aim(target, schedule, steps),
        None if steps_only else training,
        Forms(direct, int8_epochs if int8 else None),
        PruneOptions(scope, criterion, multiple, Timing(parse_size(size), engine, precision)),
        Scoring(data, split),
        json_file,
    )
