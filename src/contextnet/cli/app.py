"""The commands in one place, and how a fault ends the process."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from typer import Option, Typer

from contextnet import __version__
from contextnet.cli import benchmark, data
from contextnet.cli.demo import demo
from contextnet.cli.evaluate import evaluate
from contextnet.cli.export import export
from contextnet.cli.info import info
from contextnet.cli.models import models
from contextnet.cli.predict import predict
from contextnet.cli.prune import prune
from contextnet.cli.report import report
from contextnet.cli.reproduce import reproduce
from contextnet.cli.stream import stream
from contextnet.cli.submit import submit
from contextnet.cli.train import train
from contextnet.errors import ContextNetError

app = Typer(name="contextnet", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (demo, predict, stream, evaluate, train, prune, export, report, reproduce, info, models, submit):
    app.command()(command)
app.add_typer(data.app, name="data")
app.add_typer(benchmark.app, name="benchmark")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"contextnet {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Real-time semantic segmentation of street images."""


def main() -> None:
    """Run the command line; a fault that the user can mend is one sentence and exit code 2."""
    try:
        app()
    except ContextNetError as error:
        _stop(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except (MemoryError, RuntimeError) as error:
        if not _tells_of_memory(error):
            raise
        _stop("not enough memory; use smaller images, crops or batches")
    except OSError as error:
        _stop(f"{error.filename or 'standard output or a file'}: {error.strerror or error}")


def _tells_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Tell whether memory has run out; PyTorch says so by errors of its own."""
    words = str(error)
    return isinstance(error, MemoryError) or "can't allocate memory" in words or "out of memory" in words


def _stop(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"error: {message}", style="red", markup=False, highlight=False)
    sys.exit(2)
