"""``contextnet demo``: draw a street, segment it with shipped weights, score it, and leave the pictures."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from typer import Option

from contextnet.cli.evaluate import require_same_classes
from contextnet.cli.options import Engine, EngineDevice, JsonFlag, parse_size
from contextnet.cli.prediction import write_results
from contextnet.cli.progress import progress_bar
from contextnet.data.sample import Sample
from contextnet.data.synthetic import SyntheticStreets, drives_for
from contextnet.evaluation.evaluator import evaluate
from contextnet.evaluation.scores import Scores
from contextnet.evaluation.table import scores_table
from contextnet.images import write_png
from contextnet.runtime.drawing import captioned, contact_sheet, overlay, with_legend
from contextnet.runtime.segmentation import Segmentation
from contextnet.runtime.segmenter import Segmenter

DEMO_WEIGHTS = "cn14-synthetic"
SHEET_FRAMES = 3
SHEET_CELL_HW = (340, 640)


class _Remembering:
    """A predictor that remembers its results."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self.results: list[Segmentation] = []

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        result = self._segmenter.predict(image_HW3)
        self.results.append(result)
        return result.labels


def demo(
    output: Annotated[Path, Option(help="Folder for the pictures.")] = Path("demo"),
    drives: Annotated[int, Option(min=1, max=100, help="How many streets.")] = 2,
    frames: Annotated[int, Option(min=1, max=200, help="Frames a street.")] = 6,
    size: Annotated[str, Option(help="Image size, HEIGHTxWIDTH.")] = "1024x2048",
    weights: Annotated[str, Option(help="A network with Cityscapes' 19 classes.")] = DEMO_WEIGHTS,
    as_json: JsonFlag = False,
    engine: Engine = "auto",
    device: EngineDevice = "auto",
) -> None:
    """Segment synthetic streets that no training has seen, score them against their ground truth, write pictures."""
    console = Console(stderr=as_json, soft_wrap=True, highlight=False, markup=False)
    size_hw = parse_size(size)
    segmenter = Segmenter.load(weights, engine=engine, device=device)
    console.print(f"drawing {drives} streets of {frames} frames at {size_hw[0]}×{size_hw[1]}")
    streets = SyntheticStreets(drives_for("demo", drives, size_hw, frames, frames_per_s=1.0), split="demo")
    require_same_classes(segmenter.label_set, streets, weights)
    console.print(segmenter.reason)
    predictor = _Remembering(segmenter)
    started = time.perf_counter()
    with progress_bar("drawing, segmenting, scoring") as progress:
        scores = evaluate(predictor, streets, progress).scores
    seconds = time.perf_counter() - started
    sheet = _write_pictures(streets, predictor.results, output)
    median_ms = statistics.median(result.latency_ms for result in predictor.results)
    if as_json:
        facts = {"frames": len(streets), "seconds": seconds, "median_latency_ms": median_ms, "sheet": str(sheet)}
        print(json.dumps({"weights": weights, **facts, **scores.to_json()}, indent=2))  # noqa: T201
        return
    console.print(scores_table(scores, f"{weights} on {len(streets)} frames of streets it was not trained on"))
    _say(console, scores, len(streets), seconds, median_ms, output, sheet)


def _say(
    console: Console, scores: Scores, frames: int, seconds: float, median_ms: float, output: Path, sheet: Path
) -> None:
    console.print(f"mIoU {100 * scores.miou:.1f} %, {100 * scores.pixel_accuracy:.1f} % of the pixels right")
    console.print(
        f"{frames} frames drawn, segmented and scored in {seconds:.0f} s; {median_ms:.0f} ms a frame to segment, with "
        "the next one being drawn beside it ('contextnet benchmark' has the machine to itself)"
    )
    console.print(f"overlays and label PNGs: {output}/")
    console.print(f"look at {sheet} first: image, ground truth, ContextNet")


def _write_pictures(streets: SyntheticStreets, results: list[Segmentation], output: Path) -> Path:
    """Write every result, and a sheet whose rows are image, ground truth and result of a few frames."""
    on_sheet = set(np.linspace(0, len(results) - 1, min(SHEET_FRAMES, len(results))).round().astype(int).tolist())
    tiles, shown = [], []
    for index, result in enumerate(results):
        sample = streets[index]
        write_results(result, sample.image, Path(*sample.image_path.parts[1:]), output)
        if index in on_sheet:
            tiles += _row(sample, result)
            shown.append(result.labels)
    sheet = output / "sheet.png"
    picture = contact_sheet(tiles, columns=3, cell_hw=SHEET_CELL_HW)
    write_png(sheet, with_legend(picture, np.concatenate(shown), streets.labels))
    return sheet


def _row(sample: Sample, result: Segmentation) -> list[NDArray[np.uint8]]:
    assert sample.label is not None
    truth = overlay(sample.image, sample.label, result.label_set, opacity=0.7)
    found = overlay(sample.image, result.labels, result.label_set, opacity=0.7)
    return [
        captioned(sample.image, "/".join(sample.image_path.parts[1:])),
        captioned(truth, "ground truth"),
        captioned(found, "ContextNet"),
    ]
