"""``contextnet stream``: label a camera, a video or a folder as it comes."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
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
from contextnet.stop_signals import HANG_UP, StopRequest, Terminals, heed_signals

if TYPE_CHECKING:
    from contextnet.runtime.segmenter import Segmenter
    from contextnet.streaming.figures import StreamFigures
    from contextnet.streaming.sinks.sink import Sink
    from contextnet.streaming.stream import LabelStream, StreamOptions

REFRESH_S = 0.25
STANDARD_INPUT = STANDARD_OUTPUT = "-"
FINISHING_S = 10.0
"""How long a stream may take to finish after SIGTERM, or when its terminal was closed: nobody can interrupt it then."""


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
    rate: Annotated[
        float | None,
        Option(min=0.01, max=1000, help="Frames a second of a camera, a folder, a drawn drive or raw pixels."),
    ] = None,
    json_: JsonFile = None,
    engine: Engine = "auto",
    device: EngineDevice = "auto",
    precision: Precision = None,
) -> None:
    """Label a camera, a video or a folder: every frame of a recording, the newest of what is live.

    Ctrl-C ends it: what was begun is finished, files are closed and the figures shown. A second one leaves at once.
    """
    from contextnet.runtime.segmenter import Segmenter
    from contextnet.streaming.arenas import share_arenas
    from contextnet.streaming.sources.choice import SourceWishes, open_source
    from contextnet.streaming.stream import LabelStream

    share_arenas()
    targets = output or []
    _require_places(source, targets, json_)
    wishes = SourceWishes(live, parse_size(size) if size else None, _rate(rate))
    with ExitStack() as stack, ExitStack() as unused:
        segmenter = stack.enter_context(Segmenter.load(weights, engine=engine, device=device, precision=precision))
        options = _options(segmenter, classes, smooth)
        opened = stack.enter_context(closing(open_source(source, wishes)))
        running = LabelStream(segmenter, opened, _open_sinks(targets, opened.info.rate, unused), options)
        unused.pop_all()  # the stream closes its sinks itself
        end = _run(running, Console(stderr=True, highlight=False))
    end.conclude(running.figures(), json_, is_output_taken=STANDARD_OUTPUT in (json_, *targets))


@dataclass(frozen=True)
class _End:
    """How a stream ended: by which signal, by which fault, or by itself; and whether a part of it is blocked."""

    signal_number: int | None
    fault: ContextNetError | None
    is_blocked: bool

    def conclude(self, figures: StreamFigures, json_file: str | None, *, is_output_taken: bool) -> None:
        """Tell the figures, unless no frame came; then raise the fault, or leave with the code of the signal."""
        code = 2 if self.fault is not None else 128 + (self.signal_number or signal.SIGTERM)
        if self.is_blocked:
            # A thread that is blocked in a write would keep the interpreter from ending.
            atexit.register(os._exit, code)
        if json_file:
            emit_json(figures.to_json(), json_file)
        if self.fault is None or figures.frames:
            Console(stderr=is_output_taken, highlight=False).print(stream_table(figures))
        if self.fault is not None:
            raise self.fault
        if self.signal_number is not None:
            raise typer.Exit(code)


def _run(running: LabelStream, console: Console) -> _End:
    """Run to the end and show how it goes."""
    fault: ContextNetError | None = None
    with heed_signals() as request:
        try:
            with running, Live(console=console, auto_refresh=False, transient=True) as display:
                _follow(running, request, display)
        except ContextNetError as error:  # the figures are shown first
            # What goes to a terminal that was closed may fail before the signal that says so.
            fault = None if request.signal_number == HANG_UP else error
        except KeyboardInterrupt:  # the second one; threads that are blocked could keep the interpreter from ending
            os._exit(128 + signal.SIGINT)
    return _End(request.signal_number, fault, running.is_blocked)


def _follow(running: LabelStream, request: StopRequest, display: Live) -> None:
    """Show how it goes until the end, which a signal brings about."""
    terminals = Terminals()
    try:
        while not running.wait(REFRESH_S):
            terminals.leave_closed()
            display.update(live_line(running.figures()), refresh=display.console.is_terminal)
            if request.signal_number is not None:
                running.stop(None if request.signal_number == signal.SIGINT else FINISHING_S)
    except KeyboardInterrupt:
        running.stop()
        raise
    finally:
        terminals.leave_closed()


def _open_sinks(targets: Sequence[str], rate: Fraction | None, unused: ExitStack) -> list[Sink]:
    """Open the sinks; ``unused`` closes them again if there will be no stream."""
    from contextnet.streaming.sinks.choice import open_sink

    console = Console(stderr=True, highlight=False)
    if not targets:
        console.print("nothing is kept: give --output x.mp4, or --output http://localhost:8080 to watch")
    sinks: list[Sink] = []
    for target in targets:
        sinks.append(unused.enter_context(closing(open_sink(target, rate))))
        if target.startswith("http://"):
            console.print(f"to be watched at {sinks[-1].name}", markup=False, soft_wrap=True)
    return sinks


def _options(segmenter: Segmenter, classes: str | None, smooth: str) -> StreamOptions:
    from contextnet.runtime.class_lookup import find_train_id
    from contextnet.runtime.regrouping import regroup
    from contextnet.runtime.smoothing.choice import open_smoother
    from contextnet.streaming.stream import StreamOptions

    regrouping = None
    if classes is not None:
        names = [name.strip() for name in classes.split(",") if name.strip()]
        if not names:
            raise ContextNetError.at(
                "--classes", "names no class", f"give some of {', '.join(segmenter.label_set.names)}"
            )
        for name in names:
            find_train_id(segmenter.label_set, name)
        regrouping = regroup(segmenter.label_set, {name: [name] for name in names}, keep_others=False)
    return StreamOptions(open_smoother(smooth, segmenter.spec.output_stride), regrouping)


def _rate(rate: float | None) -> Fraction | None:
    # 29.97 means 30000/1001.
    return None if rate is None else Fraction(rate).limit_denominator(1001)


def _require_places(source: str, targets: Sequence[str], json_file: str | None) -> None:
    """Refuse what cannot be written, to write over what is read, and to write two things into one place."""
    from contextnet.streaming.sinks.choice import check_target

    require_json_target(json_file)
    written = [*targets, *([json_file] if json_file else [])]
    places = [target if "://" in target else os.path.realpath(target) for target in written]
    for target, place in zip(written, places, strict=True):
        if places.count(place) > 1 and target != "none":
            raise ContextNetError(f"{target}: is given for two outputs; give each its own")
    # A shell may have opened a file as standard input.
    read = Path("/dev/stdin" if source == STANDARD_INPUT else source)
    for target in written:
        if Path(target).exists() and read.exists() and read.samefile(target):
            raise ContextNetError(f"{target}: is the source itself; give another output")
    for target in targets:
        check_target(target)
