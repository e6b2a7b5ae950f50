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
from contextnet.models.storage import Weights, read_weights
from contextnet.spec import ContextNetSpec
from contextnet.training.recipe.recipe import parse_recipe
from contextnet.training.recipe.values import read_values
from contextnet.training.run_folder import RunFolder, check_run_folder
from contextnet.training.session import Display, train_in_folder

INT8_RATE = 0.1
"""The learning rate of training for INT8, in those of the recipe."""


@dataclass(frozen=True)
class Trainings:
    """Runs by one recipe, which differ in their network, in where it starts from, and in their epochs.

    ``overrides`` change the recipe as ``--set`` does. A run that lies in its folder already is gone on with, or left
    as it is when it has ended.
    """

    recipe: Path
    overrides: Sequence[str]
    epochs: int
    device: torch.device
    console: Console

    def train_wide(self, width: float, epochs: int, folder: Path) -> Path:
        """Train the recipe's own network at another width, and give the file of the best weights."""
        values = self._values()
        values["network"] = {**values.get("network", {}), "width": width}
        return self._run({**values, "name": f"{values['name']}-x{width:g}", "epochs": epochs}, folder)

    def fine_tune(self, weights: Weights, path: Path, folder: Path) -> Path:
        """Train a pruned network on, from its file."""
        values = self._described(weights.spec)
        return self._run({**values, "init_from": str(path), "epochs": self.epochs}, folder)

    def train_directly(self, spec: ContextNetSpec, epochs: int, folder: Path) -> Path:
        """Train a network of the same size from scratch."""
        values = self._described(spec)
        return self._run({**values, "name": f"{values['name']}-direct", "epochs": epochs}, folder)

    def tune_for_int8(self, path: Path, epochs: int, folder: Path) -> Path:
        """Train a network on with INT8's rounding in the forward pass, at a tenth of the recipe's rate."""
        values = self._described(read_weights(path).spec)
        optimizer = parse_recipe(values, str(self.recipe)).optimizer
        slow = {**optimizer.model_dump(), "learning_rate": INT8_RATE * optimizer.learning_rate}
        schedule = {**values.get("schedule", {}), "warmup_steps": 0}
        changes = {"init_from": str(path), "epochs": epochs, "quantization_aware": True}
        return self._run({**values, **changes, "optimizer": slow, "schedule": schedule}, folder)

    def _values(self) -> dict[str, Any]:
        return read_values(self.recipe, self.overrides)

    def _described(self, spec: ContextNetSpec) -> dict[str, Any]:
        values = self._values()
        network = values.get("network", {})
        kept = {key: network[key] for key in ("auxiliary", "dropout") if key in network}
        values["network"] = {**kept, "architecture": spec.to_json()}
        return {**values, "name": spec.name}

    def _run(self, values: Mapping[str, Any], root: Path) -> Path:
        recipe = parse_recipe(values, str(self.recipe))
        resume = bool(RunFolder(root).state_files())
        folder = check_run_folder(root, resume=resume, overwrite=False)
        result = train_in_folder(
            recipe,
            folder,
            self.device,
            Display(self.console, progress_bar),
            command=shlex.join(["contextnet", *sys.argv[1:]]),
            resume=resume,
        )
        if result.stopped_by is not None:
            raise typer.Exit(128 + result.stopped_by)
        return folder.best_weights
