"""The command line: one module a command, each of which parses, calls and prints."""

from __future__ import annotations

import sys

from rich.console import Console
from typer import Typer

from contextnet.cli import data
from contextnet.cli.demo import demo
from contextnet.cli.evaluate import evaluate
from contextnet.cli.info import info
from contextnet.cli.models import models
from contextnet.cli.predict import predict
from contextnet.cli.submit import submit
from contextnet.cli.train import train
from contextnet.errors import ContextNetError

app = Typer(name="contextnet", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (demo, predict, evaluate, train, info, models, submit):
    app.command()(command)
app.add_typer(data.app, name="data")


@app.callback()
def root() -> None:
    """Real-time semantic segmentation of street images."""


def main() -> None:
    """Run the command line; a fault that the user can mend is one sentence and exit code 2."""
    try:
        app()
    except ContextNetError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
