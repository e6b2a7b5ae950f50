"""``contextnet benchmark robustness``: how well does a network still label when images get worse?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from typer import Argument, Option

from contextnet.cli.benchmark_options import tell
from contextnet.cli.condition_sheet import condition_sheet
from contextnet.cli.evaluate import require_same_classes
from contextnet.cli.networks import open_predictor
from contextnet.cli.options import Device, Engine, JsonFile, require_json_target
from contextnet.cli.progress import progress_bar
from contextnet.cli.robustness_table import robustness_table
from contextnet.data.conditions.catalogue import find_conditions
from contextnet.data.relabel import without_instances
from contextnet.data.sources import open_data
from contextnet.evaluation.robustness import measure_robustness
from contextnet.images import write_png
from contextnet.runtime.segmenter import Segmenter


def robustness(
    weights: Annotated[str, Argument(metavar="NETWORK", help="A shipped network, a weights file or a model file.")],
    data: Annotated[str, Argument(metavar="KIND:ROOT", help="The data set, as in camvid:/data/camvid.")],
    split: Annotated[str, Option(help="The split to score.")] = "val",
    severity: Annotated[str, Option(help="weak, medium or strong.")] = "medium",
    conditions: Annotated[
        str | None, Option(metavar="NAME,NAME", help="Conditions, as in defocus,rain; all if left out.")
    ] = None,
    sheet: Annotated[
        Path | None, Option(metavar="FILE", help="First draw the split's middle image under each condition (PNG).")
    ] = None,
    json_file: JsonFile = None,
    engine: Engine = "auto",
    device: Device = "cpu",
) -> None:
    """Score a network under blur, noise, bad light and weather, compression, other sizes and dirt, beside clean images.

    Every network sees the same pixels; labels are scored at the size of the ground truth.
    """
    chosen = find_conditions(severity, None if conditions is None else tuple(conditions.split(",")))
    require_json_target(json_file)
    samples = without_instances(open_data(data, split))
    network, labels = open_predictor(weights, engine, device, "benchmark robustness")
    require_same_classes(labels, samples, weights)
    if sheet is not None:
        write_png(sheet, condition_sheet(network, samples, chosen))
        said = Console(stderr=json_file == "-", highlight=False, markup=False, soft_wrap=True)
        said.print(f"{sheet}: an image of {samples.name} under each condition, its labels below it")
    computed_by = str(network) if isinstance(network, Segmenter) else "pytorch (fp32)"
    started = time.perf_counter()
    with progress_bar(f"scoring {samples.name}") as progress:
        measured = measure_robustness(network, samples, chosen, progress)
    seconds = time.perf_counter() - started
    facts: dict[str, Any] = {"weights": weights, "computed_by": computed_by, "data": samples.name}
    facts |= {"images": len(samples), "severity": severity, "seconds": round(seconds, 2)}
    title = f"{weights} on {samples.name}, {len(samples)} images, {severity}, {computed_by}"
    tell({**facts, **measured.to_json()}, json_file, lambda: Console().print(robustness_table(measured, title)))
