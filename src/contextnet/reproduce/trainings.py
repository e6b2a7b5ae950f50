"""The trainings behind the tables: each network by the same recipe, for the same minutes, kept and gone on with.

How many epochs fit into the minutes is measured before a network is trained, and noted in its run's folder, so that a
run that was stopped goes on to the same end. A longer budget goes on from where a shorter one ended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from contextnet.benchmark.training_rate import noise_split
from contextnet.data.sources import open_data
from contextnet.errors import ContextNetError, RunError
from contextnet.files import write_json
from contextnet.models.storage import read_weights
from contextnet.recipes.catalogue import find_recipe
from contextnet.reproduce.pace import measure_step_s
from contextnet.stop_signals import Stopped
from contextnet.training.datasets import open_training_data, open_validation_data
from contextnet.training.recipe.recipe import Recipe, parse_recipe, read_recipe
from contextnet.training.recipe.values import read_values
from contextnet.training.run_folder import RunFolder, check_run_folder
from contextnet.training.session import Display, train_in_folder

RECIPES = {
    "camvid": "cn14-camvid",
    "synthetic": "cn14-synthetic",
    "cityscapes": "cn14-cityscapes",
    "cityscapes-trainids": "cn14-cityscapes",
    "cityscapes-coarse": "cn14-cityscapes-coarse",
}
"""The recipe that networks are trained by, by the kind of data; other kinds take that of CamVid."""

MOST_OVER = 2.0
"""A network of which one epoch takes more than so many budgets is not trained."""

CROP_MULTIPLE = 32

BUDGET = "budget.json"


@dataclass(frozen=True)
class Subject:
    """What is trained: ``key`` names the run's folder, ``overrides`` change the recipe as ``--set`` does.

    ``share`` is the part of the budget that it gets; ``init_from`` is where it starts, None for anew.
    """

    key: str
    overrides: tuple[str, ...]
    share: float = 1.0
    init_from: Path | None = None


def subject_of(network: str) -> Subject:
    """Describe the training of a network that has a name."""
    return Subject(network, (f"network.variant={network}",))


@dataclass(frozen=True)
class Budget:
    """What a run was given: minutes, or None for the whole recipe, and what was measured and made of it.

    ``step_s`` is the seconds of a step, None without minutes; ``epochs`` are trained, of ``recipe_epochs``.
    """

    minutes: float | None
    step_s: float | None
    epochs: int
    recipe_epochs: int


@dataclass(frozen=True)
class Trained:
    """A finished training, or the reason why there is none: then ``weights`` is None and ``remark`` says it."""

    subject: Subject
    weights: Path | None
    budget: Budget | None
    minutes: float | None
    remark: str = ""


@dataclass(frozen=True)
class Trainings:
    """Trains networks on one data set, ``KIND:ROOT``, into folders below ``runs``, each for ``minutes``.

    ``minutes`` is None for the whole recipe. ``overrides`` change the recipe for all of them. ``command`` is noted in
    the weights.
    """

    source: str
    runs: Path
    minutes: float | None
    device: torch.device
    display: Display
    overrides: tuple[str, ...] = ()
    command: str = ""

    @property
    def recipe_name(self) -> str:
        """The shipped recipe that everything is trained by."""
        return RECIPES.get(self.source.partition(":")[0], RECIPES["camvid"])

    def folder(self, subject: Subject) -> Path:
        """Give the folder of a run: by data set and subject."""
        return self.runs / slug(self.source) / subject.key

    def train(self, subject: Subject) -> Trained:
        """Train, go on with a training, or take one that has ended as it is.

        Raises ``Stopped`` when a signal ended it, and ``RunError`` where the folder holds a run of more minutes or of
        another recipe.
        """
        folder = RunFolder(self.folder(subject))
        recipe = self._recipe(subject, epochs=None)
        budget = self._budget(subject, folder, recipe)
        if budget.epochs == 0:
            assert budget.step_s is not None, "measured"
            epoch_minutes = budget.step_s * self._steps(recipe) / 60
            remark = f"not trained: one epoch takes {epoch_minutes:.1f} minutes here"
            return Trained(subject, None, budget, None, remark)
        plan = self._recipe(subject, budget.epochs)
        if not _has_ended(folder, plan):
            self._run(plan, folder)
        minutes = _minutes_trained(folder)
        return Trained(subject, folder.best_weights, budget, minutes)

    def _recipe(self, subject: Subject, epochs: int | None) -> Recipe:
        path = find_recipe(self.recipe_name)
        changes = [f"data.source={json.dumps(self.source)}", "tensorboard=false", *self.overrides, *subject.overrides]
        values = read_values(path, changes)
        values["name"] = f"{subject.key}-{slug(self.source)}"
        values["augmentation"]["crop_hw"] = self._crop_hw(values["augmentation"]["crop_hw"])
        if subject.init_from is not None:
            values["init_from"] = str(subject.init_from.resolve())
        if epochs is not None:
            schedule = values.setdefault("schedule", {})
            total = epochs * self._steps(parse_recipe(values, str(path)))
            schedule["warmup_steps"] = min(schedule.get("warmup_steps", 0), total // 10)
            values |= {"epochs": epochs, "validate_every": min(epochs, values.get("validate_every", 1) * 10)}
        return parse_recipe(values, str(path))

    def _crop_hw(self, crop_hw: Sequence[int]) -> list[int]:
        """Shrink the recipe's crop to the data's images where they are smaller: their void would cost time."""
        height, width = open_data(self.source, "val")[0].image.shape[:2]
        return [
            min(crop, -(-side // CROP_MULTIPLE) * CROP_MULTIPLE)
            for crop, side in zip(crop_hw, (height, width), strict=True)
        ]

    def _steps(self, recipe: Recipe) -> int:
        """Give the steps of an epoch."""
        samples = sum(len(source.data) * source.repeat for source in open_training_data(recipe.data))
        return max(1, samples // recipe.batch_size)

    def _budget(self, subject: Subject, folder: RunFolder, recipe: Recipe) -> Budget:
        """Take the budget that a run was begun with, or make one; one of more minutes goes on by the same pace."""
        minutes = None if self.minutes is None else self.minutes * subject.share
        known = _read_budget(folder.root / BUDGET)
        if known is not None and known.minutes == minutes:
            return known
        if known is not None and (known.minutes is None or (minutes is not None and minutes < known.minutes)):
            had = "the whole recipe" if known.minutes is None else f"{known.minutes:g} minutes"
            raise RunError(f"{folder.root}: was trained for {had}; give that --budget, more, or another --runs")
        if minutes is None:
            budget = Budget(None, None, recipe.epochs, recipe.epochs)
        else:
            step_s = known.step_s if known is not None and known.step_s else self._measure_step_s(recipe)
            epoch_minutes = step_s * self._steps(recipe) / 60
            fits = 0 if epoch_minutes > MOST_OVER * minutes else max(1, int(minutes / epoch_minutes))
            budget = Budget(minutes, step_s, min(fits, recipe.epochs), recipe.epochs)
        folder.root.mkdir(parents=True, exist_ok=True)
        write_json(folder.root / BUDGET, asdict(budget))
        return budget

    def _measure_step_s(self, recipe: Recipe) -> float:
        validation = open_validation_data(recipe.data)
        size_hw = validation[0].image.shape[:2]
        split = noise_split(validation.labels, (size_hw[0], size_hw[1]), recipe.batch_size)
        nameless = recipe.loss.model_copy(update={"class_weights": None, "distillation": None})
        warm = recipe.schedule.model_copy(update={"warmup_steps": 0})
        self.display.console.print(f"timing a step of {recipe.name}")
        plain = recipe.model_copy(update={"loss": nameless, "schedule": warm, "init_from": None})
        return measure_step_s(plain, split, self.device)

    def _run(self, plan: Recipe, folder: RunFolder) -> None:
        resume = bool(folder.state_files())
        if resume:
            _require_same_network(folder, plan)
        check_run_folder(folder.root, resume=resume, overwrite=not resume)
        self.display.console.print(f"training {plan.name} for {plan.epochs} epochs")
        result = train_in_folder(
            plan,
            folder,
            self.device,
            self.display,
            command=self.command,
            resume=resume,
            overwrite=not resume,
        )
        if result.stopped_by is not None:
            raise Stopped(result.stopped_by)


def slug(source: str) -> str:
    """Make a file name of a data source: its kind, and what tells two of a kind apart."""
    kind, _, root = source.partition(":")
    rest = re.sub(r"[^A-Za-z0-9]+", "-", Path(root).name).strip("-").lower()
    return kind if rest in {"", kind} else f"{kind}-{rest}"


def trained_for(trained: Sequence[Trained]) -> str:
    """Say what trainings were given, in one sentence for a table's notes."""
    budgets = [one.budget for one in trained if one.budget is not None]
    if not budgets or budgets[0].minutes is None:
        return "Each network was trained for the recipe's epochs."
    minutes = f"{budgets[0].minutes:g} minutes"
    return f"Each network was trained for {minutes}, validation not counted: as many whole epochs as fit."


def _read_budget(path: Path) -> Budget | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Budget(**values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ContextNetError.at(path, f"cannot be read: {error}", "remove the run's folder") from None


def _has_ended(folder: RunFolder, plan: Recipe) -> bool:
    """Tell whether a run has come to the end of this very plan."""
    if not (folder.best_weights.is_file() and folder.last_weights.is_file() and folder.recipe.is_file()):
        return False
    _require_same_network(folder, plan)
    training = read_weights(folder.last_weights).training
    return bool(training.get("epochs") == training.get("of_epochs") == plan.epochs)


def _require_same_network(folder: RunFolder, plan: Recipe) -> None:
    """Raise ``RunError`` where a run's folder holds the training of something else."""
    stored = read_recipe(folder.recipe)
    for key in ("network", "data", "augmentation", "loss", "optimizer", "batch_size", "seed", "init_from"):
        if getattr(stored, key) != getattr(plan, key):
            raise RunError(f"{folder.root}: holds a run with another '{key}'; give another --runs, or remove it")


def _minutes_trained(folder: RunFolder) -> float | None:
    """Add up the minutes of a run's epochs, as its log has them."""
    seconds = 0.0
    for line in folder.log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event.get("event") == "epoch":
            seconds = max(seconds, float(event["seconds"]))
    return round(seconds / 60, 1) if seconds else None
