"""``contextnet evaluate``: score a network on a split."""

from __future__ import annotations

import time
from typing import Annotated

from rich.console import Console
from typer import Argument, Option

from contextnet.cli.networks import open_network
from contextnet.cli.options import Device, JsonFile, emit_json, require_json_target
from contextnet.cli.progress import progress_bar
from contextnet.data.sample import SegmentationData
from contextnet.data.sources import open_data
from contextnet.errors import DataError
from contextnet.evaluation.evaluator import evaluate as run_evaluation
from contextnet.evaluation.table import scores_table
from contextnet.labels import LabelSet


def evaluate(
    weights: Annotated[str, Argument(help="A shipped network or a weights file.")],
    data: Annotated[str, Argument(metavar="KIND:ROOT", help="The data set, as in camvid:/data/camvid.")],
    split: Annotated[str, Option(help="The split to score.")] = "val",
    json_file: JsonFile = None,
    device: Device = "cpu",
) -> None:
    """Score a network: class, category and instance IoU at full label resolution, one scale, no flipping."""
    require_json_target(json_file)
    samples = open_data(data, split)
    predictor, labels = open_network(weights, device, "evaluate")
    require_same_classes(labels, samples, weights)
    started = time.perf_counter()
    with progress_bar(f"scoring {samples.name}") as progress:
        scores = run_evaluation(predictor, samples, progress).scores
    seconds = time.perf_counter() - started
    if json_file:
        facts = {"weights": weights, "data": samples.name, "images": len(samples), "seconds": round(seconds, 2)}
        emit_json({**facts, **scores.to_json()}, json_file)
    if json_file != "-":
        Console().print(scores_table(scores, f"{weights} on {samples.name}, {len(samples)} images"))


def require_same_classes(labels: LabelSet, samples: SegmentationData, weights: str) -> None:
    """Raise ``DataError`` when a network names other classes than the data has."""
    if labels.names != samples.labels.names:
        raise DataError(
            f"'{weights}' labels the {labels.num_classes} classes of '{labels.name}', but '{samples.name}' has the "
            f"{samples.labels.num_classes} of '{samples.labels.name}'; evaluate it on data with its own classes"
        )
