"""``contextnet stream``: label a camera, a video or a folder as it comes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live
from typer import Argument, Option

from contextnet.cli.options import (
    Engine,
    EngineDevice,
    JsonFile,
    Precision,
    emit_json,
    parse_size,
    require_json_target,
)
from contextnet.cli.stream_table import live_line, stream_table
from contextnet.errors import ContextNetError
from contextnet.stop_signals import heed_signals

if TYPE_CHECKING:
    from contextnet.runtime.segmenter import Segmenter
    from contextnet.streaming.figures import StreamFigures
    from contextnet.streaming.sinks.sink import Sink
    from contextnet.streaming.stream import LabelStream, StreamOptions

REFRESH_S = 0.25
STANDARD_OUTPUT = "-"


def stream(
    source: Annotated[
        str,
        Argument(
            metavar="SOURCE",
            help="A video, a folder of images, a camera (0), an address (rtsp://…), - or synthetic:HEIGHTxWIDTH.",
        ),
    ],
    weights: Annotated[str, Option(help="A shipped network or a model file.")] = "cn14-camvid-int8",
    output: Annotated[
        list[str] | None,
        Option(
            metavar="FILE",
            help="Where results go, several times if wanted: x.mp4, x.jsonl, x.npz, FOLDER/ for label PNGs, "
            "http://localhost:8080 for a browser, window, or - for JSON lines. Files that are there are overwritten.",
        ),
    ] = None,
    live: Annotated[bool, Option("--live", help="Play a recording at its own pace, as a camera would.")] = False,
    classes: Annotated[str | None, Option(metavar="NAME,NAME", help="Only these classes; the rest is void.")] = None,
    smooth: Annotated[str, Option(help="Steady the labels over time: none, exponential or motion.")] = "none",
    size: Annotated[
        str | None, Option(metavar="HEIGHTxWIDTH", help="Of a camera's pictures, or of raw RGB on standard input.")
    ] = None,
    rate: Annotated[float | None, Option(min=0.01, help="Frames a second of a camera, a folder or raw pixels.")] = None,
    json_: JsonFile = None,
    engine: Engine = "auto",
    device: EngineDevice = "auto",
    precision: Precision = None,
) -> None:
    """Label a camera, a video or a folder: every frame of a recording, the newest of what is live.

    Ctrl-C ends it: what was begun is finished, files are closed and the figures shown.
    """
    from contextnet.runtime.segmenter import Segmenter
    from contextnet.streaming.sources.choice import SourceWishes, open_source
    from contextnet.streaming.stream import LabelStream

    require_json_target(json_)
    targets = output or []
    _require_distinct(source, targets, json_)
    wishes = SourceWishes(live, parse_size(size) if size else None, _rate(rate))
    with ExitStack() as stack:
        segmenter = stack.enter_context(Segmenter.load(weights, engine=engine, device=device, precision=precision))
        options = _options(segmenter, classes, smooth)
        opened = stack.enter_context(closing(open_source(source, wishes)))
        sinks = _open_sinks(targets, opened.info.rate)
        console = Console(stderr=True, highlight=False)
        if not targets:
            console.print("nothing is kept: give --output x.mp4, or --output http://localhost:8080 to watch")
        running = LabelStream(segmenter, opened, sinks, options)
        stopped_by, failure = _run(running, console)
    _tell(running.figures(), json_, console if STANDARD_OUTPUT in (json_, *targets) else Console(highlight=False))
    if failure is not None:
        raise failure
    if stopped_by is not None:
        raise typer.Exit(128 + stopped_by)


def _tell(figures: StreamFigures, json_file: str | None, console: Console) -> None:
    if json_file:
        emit_json(figures.to_json(), json_file)
    console.print(stream_table(figures))


def _run(running: LabelStream, console: Console) -> tuple[int | None, ContextNetError | None]:
    """Run to the end and show how it goes; give the signal that ended it, and the fault that did."""
    failure = None
    with heed_signals() as request:
        try:
            with running, Live(console=console, auto_refresh=False, transient=True) as display:
                while not running.wait(REFRESH_S):
                    display.update(live_line(running.figures()), refresh=console.is_terminal)
                    if request.signal_number is not None:
                        running.stop()
        except ContextNetError as error:  # the figures are shown first
            failure = error
    return request.signal_number, failure


def _open_sinks(targets: Sequence[str], rate: Fraction | None) -> list[Sink]:
    from contextnet.streaming.sinks.choice import open_sink

    sinks: list[Sink] = []
    try:
        for target in targets:
            sinks.append(open_sink(target, rate))
    except ContextNetError:
        for sink in sinks:
            sink.close()
        raise
    return sinks


def _options(segmenter: Segmenter, classes: str | None, smooth: str) -> StreamOptions:
    from contextnet.runtime.regrouping import regroup
    from contextnet.runtime.smoothing.choice import open_smoother
    from contextnet.streaming.stream import StreamOptions

    regrouping = None
    if classes is not None:
        names = [name.strip() for name in classes.split(",")]
        regrouping = regroup(segmenter.label_set, {name: [name] for name in names}, keep_others=False)
    return StreamOptions(open_smoother(smooth), regrouping)


def _rate(rate: float | None) -> Fraction | None:
    # 29.97 means 30000/1001.
    return None if rate is None else Fraction(rate).limit_denominator(1001)


def _require_distinct(source: str, targets: Sequence[str], json_file: str | None) -> None:
    """Refuse to write over what is read, and to write two things into one place."""
    written = [*targets, *([json_file] if json_file else [])]
    if repeated := [target for target in written if written.count(target) > 1 and target != "none"]:
        raise ContextNetError(f"{repeated[0]}: is given for two outputs; give each its own")
    if source == STANDARD_OUTPUT:
        return
    for target in written:
        if Path(target).exists() and Path(source).exists() and Path(target).samefile(source):
            raise ContextNetError(f"{target}: is the source itself; give another output")
