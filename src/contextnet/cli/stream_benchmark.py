"""``contextnet benchmark stream``, ``live``, ``steadiness``: is a stream fast, current and steady?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Option

from contextnet.cli.benchmark_options import DEFAULT_SIZE, Network, Rounds, Size, tell
from contextnet.cli.options import Engine, EngineDevice, JsonFile, Precision, parse_size, require_json_target
from contextnet.cli.progress import progress_bar
from contextnet.cli.stream_table import print_live_record, print_stream_rate, steadiness_table
from contextnet.errors import DataError
from contextnet.labels import CITYSCAPES, LabelSet

Video = Annotated[Path | None, Option(help="A video of your own in place of a drawn one.")]

DEFAULT_NETWORK = "cn14-camvid-int8"
DEFAULT_STREET_NETWORK = "cn14-synthetic-int8"


def stream(
    weights: Network = DEFAULT_NETWORK,
    size: Size = DEFAULT_SIZE,
    video: Video = None,
    rounds: Rounds = 5,
    engine: Engine = "auto",
    device: EngineDevice = "auto",
    precision: Precision = None,
    json_: JsonFile = None,
) -> None:
    """Time a video becoming a labelled video, beside each stage alone and the bound that the stages set."""
    from contextnet.benchmark.stream_rate import measure_stream
    from contextnet.runtime.segmenter import Segmenter

    size_hw = parse_size(size)
    require_json_target(json_)
    with (
        Segmenter.load(weights, engine=engine, device=device, precision=precision) as segmenter,
        progress_bar("measuring") as progress,
    ):
        rate = measure_stream(segmenter, size_hw, video, rounds=rounds, progress=progress)
    tell(rate.to_json(), json_, lambda: print_stream_rate(Console(highlight=False), rate))


def live(
    weights: Network = DEFAULT_NETWORK,
    size: Size = DEFAULT_SIZE,
    video: Video = None,
    seconds: Annotated[float, Option(min=5.0, help="How long the source plays.")] = 180.0,
    engine: Engine = "auto",
    device: EngineDevice = "auto",
    precision: Precision = None,
    json_: JsonFile = None,
) -> None:
    """Play a video as a camera twice as fast as this machine labels it: how old do results get, does memory grow?"""
    from contextnet.benchmark.live_stream import measure_live_stream
    from contextnet.runtime.segmenter import Segmenter
    from contextnet.streaming.arenas import share_arenas

    share_arenas()
    size_hw = parse_size(size)
    require_json_target(json_)
    with (
        Segmenter.load(weights, engine=engine, device=device, precision=precision) as segmenter,
        progress_bar("seconds played") as progress,
    ):
        record = measure_live_stream(segmenter, size_hw, video, seconds=seconds, progress=progress)
    tell(record.to_json(), json_, lambda: print_live_record(Console(highlight=False), record))


def steadiness(
    weights: Annotated[
        str, Argument(metavar="[WEIGHTS]", help="A network for the 19 classes of Cityscapes.")
    ] = DEFAULT_STREET_NETWORK,
    size: Size = "512x1024",
    drives: Annotated[int, Option(min=1, help="How many drawn drives.")] = 4,
    frames: Annotated[int, Option(min=2, help="Frames a drive.")] = 8,
    engine: Engine = "auto",
    device: EngineDevice = "auto",
    precision: Precision = None,
    json_: JsonFile = None,
) -> None:
    """Compare the ways of --smooth: how much labels flicker along the true motion, mIoU, time."""
    from contextnet.benchmark.steadiness import measure_steadiness
    from contextnet.data.synthetic.dataset import drives_for
    from contextnet.runtime.segmenter import Segmenter
    from contextnet.runtime.smoothing.choice import SMOOTHERS, open_smoother

    require_json_target(json_)
    filmed = drives_for("demo", drives, parse_size(size), frames)
    with Segmenter.load(weights, engine=engine, device=device, precision=precision) as segmenter:
        _require_street_classes(segmenter.label_set, weights)
        smoothers = {name: open_smoother(name, segmenter.spec.output_stride) for name in SMOOTHERS}
        rows = measure_steadiness(segmenter, filmed, smoothers)
    tell([asdict(row) for row in rows], json_, lambda: Console(highlight=False).print(steadiness_table(rows)))


def _require_street_classes(labels: LabelSet, weights: str) -> None:
    """Raise ``DataError`` when a network names other classes than the drawn streets have."""
    if labels.names != CITYSCAPES.names:
        raise DataError(
            f"'{weights}' labels the {labels.num_classes} classes of '{labels.name}', but the drawn streets have "
            f"the {CITYSCAPES.num_classes} of '{CITYSCAPES.name}'; give a network for these, such as "
            f"{DEFAULT_STREET_NETWORK}"
        )
