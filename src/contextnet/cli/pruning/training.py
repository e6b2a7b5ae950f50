"""The trainings of ``contextnet prune``: of the wide network, after each step, and of the same size from scratch."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer
from rich.console import Console

from contextnet.cli.progress import progress_bar
from contextnet.errors import CompressionError
from contextnet.labels import LabelSet
from contextnet.models.storage import Weights, read_weights
from contextnet.network_spec import NetworkSpec
from contextnet.training.datasets import open_validation_data
from contextnet.training.recipe.recipe import Recipe, parse_recipe, read_recipe
from contextnet.training.recipe.values import read_values
from contextnet.training.run_folder import RunFolder, check_run_folder
from contextnet.training.session import Display, train_in_folder

INT8_RATE = 0.1
"""The learning rate of training for INT8, in those of the recipe."""

FREE_KEYS = {"init_from", "execution", "checkpoints", "validate_every", "tensorboard"}
"""What may change while a run is gone on with: where a chain's folder lies is no matter."""

SHORT = 60
"""So many characters of a value are quoted."""


@dataclass(frozen=True)
class Trainings:
    """Runs by one recipe, which differ in their network, in where it starts from, and in their epochs.

    ``overrides`` change the recipe as ``--set`` does; ``epochs`` are those after a step, ``last_epochs`` after the last
    one. A run that lies in its folder already is gone on with, or left as it is when it has ended; one by another
    recipe is refused.
    """

    recipe: Path
    overrides: Sequence[str]
    epochs: int
    last_epochs: int
    device: torch.device
    console: Console

    @property
    def plan(self) -> Recipe:
        """The recipe as it is given. Raises ``RecipeError`` when it cannot be read."""
        return parse_recipe(self._values(), str(self.recipe))

    def labels(self) -> LabelSet:
        """Give the classes that are trained; raises ``DataError`` when the recipe's data cannot be opened."""
        return open_validation_data(self.plan.data).labels

    def train_wide(self, width: float, epochs: int, folder: Path) -> Path:
        """Train the recipe's own network at another width, and give the file of the best weights."""
        name, values = self.plan.name, self._values()
        values["network"] = {**values.get("network", {}), "width": width}
        return self._run({**values, "name": f"{name}-x{width:g}", "epochs": epochs}, folder)

    def fine_tune(self, weights: Weights, path: Path, folder: Path, is_last: bool) -> Path:
        """Train a pruned network on, from its file."""
        epochs = self.last_epochs if is_last else self.epochs
        return self._run({**self._described(weights.spec), **_start(path), "epochs": epochs}, folder)

    def train_directly(self, spec: NetworkSpec, epochs: int, folder: Path) -> Path:
        """Train a network of the same size from scratch."""
        changes = {"name": f"{spec.name}-direct", "epochs": epochs, "init_from": None}
        return self._run({**self._described(spec), **changes}, folder)

    def tune_for_int8(self, path: Path, epochs: int, folder: Path) -> Path:
        """Train a network on with INT8's rounding in the forward pass, at a tenth of the recipe's rate."""
        values = self._described(read_weights(path).spec)
        optimizer = self.plan.optimizer
        slow = {**optimizer.model_dump(), "learning_rate": INT8_RATE * optimizer.learning_rate}
        schedule = {**values.get("schedule", {}), "warmup_steps": 0}
        changes = {**_start(path), "epochs": epochs, "quantization_aware": True}
        return self._run({**values, **changes, "optimizer": slow, "schedule": schedule}, folder)

    def _values(self) -> dict[str, Any]:
        return read_values(self.recipe, self.overrides)

    def _described(self, spec: NetworkSpec) -> dict[str, Any]:
        values = self._values()
        network = values.get("network", {})
        kept = {key: network[key] for key in ("auxiliary", "dropout") if key in network}
        values["network"] = {**kept, "architecture": spec.to_json()}
        return {**values, "name": spec.name}

    def _run(self, values: Mapping[str, Any], root: Path) -> Path:
        recipe = parse_recipe(values, str(self.recipe))
        resume = bool(RunFolder(root).state_files())
        if resume:
            _require_same_run(RunFolder(root), recipe)
        # One that was killed before its first state begins anew.
        folder = check_run_folder(root, resume=resume, overwrite=not resume)
        result = train_in_folder(
            recipe,
            folder,
            self.device,
            Display(self.console, progress_bar),
            command=shlex.join(["contextnet", *sys.argv[1:]]),
            resume=resume,
            overwrite=not resume,
        )
        if result.stopped_by is not None:
            self.console.print("the same command goes on")
            raise typer.Exit(128 + result.stopped_by)
        return folder.best_weights


def _start(path: Path) -> dict[str, str]:
    """Give the place of weights so that it is the same wherever the command is called from."""
    return {"init_from": str(path.resolve())}


def _require_same_run(folder: RunFolder, recipe: Recipe) -> None:
    """Raise ``CompressionError`` where a run was begun by a recipe that makes another network of it."""
    stored, wanted = (value.model_dump(mode="json") for value in (read_recipe(folder.recipe), recipe))
    for key, value in wanted.items():
        if key not in FREE_KEYS and stored[key] != value:
            raise CompressionError(
                f"{folder.root}: was begun with '{key}' {_short(stored[key])}, now it is {_short(value)}; give another "
                "--output, or go on as it was begun"
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"
