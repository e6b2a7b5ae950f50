"""``contextnet evaluate``: score a network on a split."""

from __future__ import annotations

import time
from typing import Annotated, Any

from rich.console import Console
from typer import Argument, Option

from contextnet.cli.networks import open_predictor
from contextnet.cli.options import Device, Engine, JsonFile, emit_json, parse_size, require_json_target
from contextnet.cli.progress import progress_bar
from contextnet.data.sample import SegmentationData
from contextnet.data.sources import open_data
from contextnet.errors import ContextNetError, DataError
from contextnet.evaluation.evaluator import evaluate as run_evaluation
from contextnet.evaluation.predictor import Predictor
from contextnet.evaluation.scoring import DEFAULT_OVERLAP, Scoring
from contextnet.evaluation.table import scores_table
from contextnet.labels import LabelSet
from contextnet.runtime.segmenter import Segmenter


def evaluate(
    weights: Annotated[str, Argument(metavar="NETWORK", help="A shipped network, a weights file or a model file.")],
    data: Annotated[str, Argument(metavar="KIND:ROOT", help="The data set, as in camvid:/data/camvid.")],
    split: Annotated[str, Option(help="The split to score, or a part of it: SPLIT@PART.")] = "val",
    scales: Annotated[str, Option(help="Average over these sizes of the image, as in 0.75,1,1.25.")] = "1",
    flip: Annotated[bool, Option("--flip", help="Average over the mirrored image as well.")] = False,
    window: Annotated[
        str | None,
        Option(metavar="HxW", help="Label the image in windows of this size; multiples of 32 need no padding."),
    ] = None,
    overlap: Annotated[
        float | None, Option(help=f"Share of a window's side that neighbours overlap; {DEFAULT_OVERLAP} if not given.")
    ] = None,
    json_file: JsonFile = None,
    engine: Engine = "auto",
    device: Device = "cpu",
) -> None:
    """Score a network: class, category and instance IoU at full label resolution; one scale, no flip by default.

    Weights are scored by PyTorch in float32; model files, and weights with another engine, as they would be run.
    """
    require_json_target(json_file)
    scoring = read_scoring(scales, flip, window, overlap)
    samples = open_data(data, split)
    network, labels = open_predictor(weights, engine, device, "evaluate")
    require_same_classes(labels, samples, weights)
    predictor = _presented(network, scoring)
    computed_by = str(network) if isinstance(network, Segmenter) else "pytorch (fp32)"
    started = time.perf_counter()
    with progress_bar(f"scoring {samples.name}") as progress:
        scores = run_evaluation(predictor, samples, progress).scores
    seconds = time.perf_counter() - started
    if json_file:
        facts: dict[str, Any] = {"weights": weights, "computed_by": computed_by}
        facts |= {"data": samples.name, "images": len(samples), "seconds": round(seconds, 2)}
        emit_json({**facts, "scoring": scoring.to_json(), **scores.to_json()}, json_file)
    if json_file != "-":
        title = f"{weights} on {samples.name}, {len(samples)} images, {scoring.describe()}, {computed_by}"
        Console().print(scores_table(scores, title))


def read_scoring(scales: str, flip: bool, window: str | None, overlap: float | None) -> Scoring:
    """Read the options that say how an image is shown to the network. Raises ``ContextNetError`` naming the option."""
    try:
        factors = tuple(float(scale) for scale in scales.split(","))
    except ValueError:
        raise ContextNetError(f"scales '{scales}': expected numbers and commas, as in 0.75,1,1.25") from None
    if overlap is not None and window is None:
        raise ContextNetError(f"overlap {overlap:g}: there are no windows to overlap; give --window HxW as well")
    size_hw = None if window is None else parse_size(window)
    return Scoring(factors, flip, size_hw, DEFAULT_OVERLAP if overlap is None else overlap)


def require_same_classes(labels: LabelSet, samples: SegmentationData, weights: str) -> None:
    """Raise ``DataError`` when a network names other classes than the data has."""
    if labels.names != samples.labels.names:
        raise DataError(
            f"'{weights}' labels the {labels.num_classes} classes of '{labels.name}', but '{samples.name}' has the "
            f"{samples.labels.num_classes} of '{samples.labels.name}'; evaluate it on data with its own classes"
        )


def _presented(network: Predictor, scoring: Scoring) -> Predictor:
    """Wrap a network in the windows and the scales that were asked for; every scale is cut into windows."""
    if isinstance(network, Segmenter):
        if scoring.window_hw or scoring.is_multi_view:
            raise ContextNetError("a model file is scored as it is run; --scales, --flip and --window take weights")
        return network
    from contextnet.models.multiscale import MultiScalePredictor
    from contextnet.models.predictor import NetworkPredictor
    from contextnet.models.sliding import SlidingPredictor

    assert isinstance(network, NetworkPredictor), "weights are opened as one"
    source: NetworkPredictor | SlidingPredictor = network
    if scoring.window_hw:
        source = SlidingPredictor(network, scoring.window_hw, scoring.overlap)
    return MultiScalePredictor(source, scoring.scales, scoring.flip) if scoring.is_multi_view else source
