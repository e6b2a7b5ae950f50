"""``contextnet submit``: label images for the Cityscapes test server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Option

from contextnet.cli.evaluate import require_same_classes
from contextnet.cli.networks import open_predictor
from contextnet.cli.options import Device
from contextnet.cli.progress import progress_bar
from contextnet.data.sources import open_data
from contextnet.evaluation.submission import write_submission


def submit(
    weights: Annotated[str, Argument(help="A network with Cityscapes' 19 classes: shipped, weights or a model file.")],
    data: Annotated[str, Argument(metavar="KIND:ROOT", help="The data set, as in cityscapes:/data/cityscapes.")],
    output: Annotated[Path, Option(help="A new or empty folder for the PNGs.")],
    split: Annotated[str, Option(help="The split to label.")] = "test",
    device: Device = "cpu",
) -> None:
    """Write one PNG of labelIds an image, named as the Cityscapes test server wants them."""
    samples = open_data(data, split, allow_missing=True)
    predictor, labels = open_predictor(weights, "auto", device, "submit")
    require_same_classes(labels, samples, weights)
    with progress_bar(f"labelling {samples.name}") as progress:
        count = write_submission(predictor, samples, output, progress)
    Console().print(f"{count} files in {output}: zip the folder and upload it", highlight=False, soft_wrap=True)
