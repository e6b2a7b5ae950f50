"""The options of ``contextnet prune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

Start = Annotated[
    str,
    Argument(metavar="RECIPE|WEIGHTS", help="A shipped network, a weights file, or with --schedule a recipe."),
]
Output = Annotated[Path, Option(help="Folder for the networks of all steps; a chain that was begun there goes on.")]
TargetText = Annotated[
    str | None, Option(metavar="UNIT=NUMBER", help="params=490459, macs=2e9, latency_ms=20 or width=0.75.")
]
Schedule = Annotated[
    str | None, Option(metavar="WIDTH,WIDTH", help="Widths to go through, in the paper's: 1.5,1.25,1.")
]
Steps = Annotated[int, Option(min=1, max=20, help="In how many steps of equal factors the target is reached.")]
StepsOnly = Annotated[bool, Option("--steps-only", help="Prune without training in between.")]
RecipeName = Annotated[
    str | None, Option(help="The recipe to train by; that of the network's name, or beside its weights, if left out.")
]
Epochs = Annotated[int, Option(min=1, help="Epochs after each step.")]
LastEpochs = Annotated[
    int | None, Option(min=1, help="Epochs after the last step; as after the others if left out.", show_default=False)
]
Wide = Annotated[float, Option(help="The width to begin with, where a recipe is given.")]
WideEpochs = Annotated[int, Option(min=1, help="Epochs of that network.")]
Direct = Annotated[
    bool, Option("--direct", help="Train a network of the final size from scratch as well, for all epochs together.")
]
Int8 = Annotated[bool, Option("--int8", help="Make every network's INT8 form too.")]
Int8Epochs = Annotated[
    int,
    Option(min=0, help="Epochs of training with INT8's rounding, for the last network and the one trained directly."),
]
Changes = Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one value of the recipe.")]
Data = Annotated[str | None, Option(metavar="KIND:ROOT", help="Data to train and score on; the recipe's if left out.")]
Split = Annotated[str, Option(help="The split to score on.")]
Scope = Annotated[
    Literal["local", "global"], Option(help="Cut all layers alike, or the weakest channels wherever they are.")
]
Criterion = Annotated[
    Literal["l1", "l1-folded"], Option(help="Rank filters by their weights, or with batch norm folded in.")
]
Multiple = Annotated[
    int | None, Option(min=1, max=64, help="Round widths to multiples; where time counts, some are tried.")
]
Size = Annotated[str, Option(metavar="HEIGHTxWIDTH", help="Image size for multiply-adds, time and memory.")]
TimedEngine = Annotated[Literal["openvino", "onnxruntime"], Option(help="The engine that is timed.")]
