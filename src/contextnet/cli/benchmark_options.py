"""What the commands of ``contextnet benchmark`` share: options, and how a measurement is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from typer import Argument, Option

from contextnet.cli.options import emit_json

Network = Annotated[str, Argument(metavar="[WEIGHTS]", help="A shipped network or a model file.")]
Size = Annotated[str, Option(metavar="HEIGHTxWIDTH", help="Size of the drawn images.")]
# Fewer rounds show no spread.
Rounds = Annotated[int, Option(min=3, help="Rounds, in which what is measured takes turns.")]

DEFAULT_SIZE = "1024x2048"


def tell(measured: Any, json_file: str | None, show: Callable[[], None]) -> None:
    """Write a measurement, in JSON values, where that is asked for; show it unless standard output is taken by that."""
    if json_file:
        emit_json(measured, json_file)
    if json_file != "-":
        show()
