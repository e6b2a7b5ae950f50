"""The trainings behind the tables: each network by the same recipe, for the same minutes, kept and gone on with.

How many epochs fit into the minutes is measured before a network is trained, and noted in its run's folder, so that a
run that was stopped goes on to the same end. A longer budget goes on from where a shorter one ended.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from contextnet.benchmark.training_rate import noise_split
from contextnet.data.sample import SegmentationData
from contextnet.errors import RecipeError, RunError, TrainingError
from contextnet.network_spec import named_spec
from contextnet.recipes.catalogue import find_recipe
from contextnet.reporting.history import parse_history
from contextnet.reproduce.begun_run import as_begun, has_begun, has_ended
from contextnet.reproduce.budget import MOST_OVER, Budget, fit_budget, keep_budget, read_budget, share_of_recipe
from contextnet.reproduce.machine_words import place_words
from contextnet.reproduce.memory_limit import limited_memory
from contextnet.reproduce.pace import measure_step_s
from contextnet.spec import ContextNetSpec
from contextnet.stop_signals import Stopped
from contextnet.training.allocator import lacks_memory
from contextnet.training.datasets import open_training_data, open_validation_data
from contextnet.training.recipe.recipe import Recipe, parse_recipe
from contextnet.training.recipe.values import read_values
from contextnet.training.run_folder import RunFolder, check_run_folder
from contextnet.training.session import Display, train_in_folder

RECIPES = {
    "camvid": "plain-camvid",
    "synthetic": "plain-synthetic",
    "cityscapes": "cn14-cityscapes",
    "cityscapes-trainids": "cn14-cityscapes",
    "cityscapes-coarse": "cn14-cityscapes",
}
"""The recipe that networks are trained by, by the kind of data; other kinds take that of CamVid."""

CROP_MULTIPLE = 32

FEWER_VALIDATIONS = 10
"""Where minutes are counted, the recipe's epochs between two validations are so many times as many."""

DECIDED = {
    "name": "the network and the data name the runs",
    **dict.fromkeys(("data", "data.source"), "--data gives it"),
    **dict.fromkeys(
        ("network", "network.variant", "network.width", "network.pyramid_pooling", "network.architecture"),
        "the table has its own networks",
    ),
}
"""What ``--set`` cannot change, and why."""


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
    """Describe the training of a network that has a name; the recipe's auxiliary classifier needs a context branch."""
    spec = named_spec(network)
    is_detail_alone = isinstance(spec, ContextNetSpec) and spec.context is None
    return Subject(network, (f"network.variant={network}", *["network.auxiliary=false"] * is_detail_alone))


@dataclass(frozen=True)
class Trained:
    """A finished training, or the reason why there is none: then ``weights`` is None and ``remark`` says it.

    ``minutes`` are those of the run until its last epoch ended, None where its log does not tell.
    """

    subject: Subject
    weights: Path | None
    budget: Budget | None
    minutes: float | None
    remark: str = ""


@dataclass(frozen=True)
class Trainings:
    """Trains networks on one data set, ``KIND:ROOT``, into folders below ``runs``, each for ``minutes``.

    ``minutes`` is None for the whole recipe. ``overrides`` change the recipe for all of them. ``command`` is noted in
    the weights. Raises ``RecipeError`` for an override of what is decided otherwise.
    """

    source: str
    runs: Path
    minutes: float | None
    device: torch.device
    display: Display
    overrides: tuple[str, ...] = ()
    command: str = ""

    def __post_init__(self) -> None:
        for override in self.overrides:
            key = ".".join(part.strip() for part in override.partition("=")[0].split("."))
            if key in DECIDED:
                raise RecipeError(f"override '{override}': {DECIDED[key]}; leave it out")

    @property
    def recipe_name(self) -> str:
        """The shipped recipe that everything is trained by."""
        return RECIPES.get(self.source.partition(":")[0], RECIPES["camvid"])

    def folder(self, subject: Subject) -> Path:
        """Give the folder of a run: by data set and subject."""
        return self.runs / slug(self.source) / subject.key

    def open_validation(self) -> SegmentationData:
        """Open the split that everything is scored on, in the recipe's classes; errors as for any data."""
        return open_validation_data(self._as_written(()).data)

    def require_training_data(self) -> None:
        """Raise ``DataError`` where there is nothing to train on."""
        open_training_data(self._as_written(()).data)

    def train(self, subject: Subject) -> Trained:
        """Train, go on with a training, or take one that has ended as it is.

        One that fails, as by a loss that is not finite or for want of memory, is told of in ``remark``. Raises
        ``Stopped`` when a signal ended it, and ``RunError`` where the folder holds a run of more minutes or of another
        recipe, which is left.
        """
        folder = RunFolder(self.folder(subject))
        recipe = self._recipe(subject)
        if has_begun(folder):
            recipe = as_begun(folder, recipe)
        steps = _steps(recipe)
        try:
            with limited_memory(self.device):
                budget = self._budget(subject, folder, recipe, steps)
                if budget.epochs == 0:
                    return Trained(subject, None, budget, None, _why_not(budget, steps))
                plan = _plan(recipe, budget, steps)
                is_done = has_ended(folder, plan)
                keep_budget(folder, budget if is_done else self._here(budget))
                if not is_done:
                    self._run(plan, folder)
        except TrainingError as error:
            return Trained(subject, None, None, None, f"not trained: {error}")
        except (RuntimeError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            return Trained(subject, None, None, None, "not trained: its images do not fit into memory here")
        budget = read_budget(folder) or budget
        seconds = parse_history(folder.log.read_text(encoding="utf-8")).seconds
        return Trained(subject, folder.best_weights, budget, None if seconds is None else round(seconds / 60, 1))

    def _as_written(self, more: Sequence[str], init_from: Path | None = None) -> Recipe:
        """Read the recipe with what is changed for all networks, and with ``more``."""
        path = find_recipe(self.recipe_name)
        changes = [f"data.source={json.dumps(self.source)}", "tensorboard=false", *self.overrides, *more]
        values = read_values(path, changes)
        if init_from is not None:
            values["init_from"] = str(init_from.resolve())
        return parse_recipe(values, str(path) + "".join(f" with {override}" for override in self.overrides))

    def _recipe(self, subject: Subject) -> Recipe:
        """Give the recipe of a subject, of all its epochs, its crop no larger than the data's images.

        Around smaller images there would be void, which costs time.
        """
        recipe = self._as_written(subject.overrides, subject.init_from)
        sides = self.open_validation()[0].image.shape[:2]
        crop_hw = tuple(
            min(crop, -(-side // CROP_MULTIPLE) * CROP_MULTIPLE)
            for crop, side in zip(recipe.augmentation.crop_hw, sides, strict=True)
        )
        cropped = recipe.augmentation.model_copy(update={"crop_hw": crop_hw})
        return recipe.model_copy(update={"name": f"{subject.key}-{slug(self.source)}", "augmentation": cropped})

    def _budget(self, subject: Subject, folder: RunFolder, recipe: Recipe, steps: int) -> Budget:
        """Make a run's budget, by the pace that was measured when it was begun. A shorter one is refused.

        What is to be trained for longer on another machine than it was begun on is measured there.
        """
        known = read_budget(folder) if has_begun(folder) else None
        if self.minutes is None:
            fitted = share_of_recipe(subject.share, recipe.epochs)
        elif known is None:
            fitted = fit_budget(self.minutes, self._measure_step_s(recipe), steps, recipe.epochs, subject.share)
        elif known.minutes is None:
            raise RunError(f"{folder.root}: was begun without --budget; leave it out, or give another --runs")
        elif self.minutes * subject.share < known.minutes:
            had = f"--budget {known.minutes / subject.share:g}"
            raise RunError(f"{folder.root}: was begun with {had}; give that or more, or another --runs")
        else:
            is_same_pace = self.minutes * subject.share == known.minutes or self._here(known).machine == known.machine
            step_s = known.step_s if known.step_s and is_same_pace else self._measure_step_s(recipe)
            fitted = fit_budget(self.minutes, step_s, steps, recipe.epochs, subject.share)
            fitted = replace(fitted, epochs=max(fitted.epochs, known.epochs))
        return replace(fitted, machine=known.machine if known is not None else "")

    def _here(self, budget: Budget) -> Budget:
        """Note that a run is trained, or trained on, on this machine."""
        here = place_words(torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu")
        machines = [*filter(None, budget.machine.split("; ")), here]
        return replace(budget, machine="; ".join(dict.fromkeys(machines)))

    def _measure_step_s(self, recipe: Recipe) -> float:
        validation = open_validation_data(recipe.data)
        height, width = validation[0].image.shape[:2]
        split = noise_split(validation.labels, (height, width), recipe.batch_size)
        # Neither the warm-up nor where the weights start changes the pace.
        schedule = recipe.schedule.model_copy(update={"warmup_steps": 0})
        self.display.console.print(f"timing a step of {recipe.name}")
        return measure_step_s(recipe.model_copy(update={"schedule": schedule, "init_from": None}), split, self.device)

    def _run(self, plan: Recipe, folder: RunFolder) -> None:
        resume = bool(folder.state_files())
        check_run_folder(folder.root, resume=resume, overwrite=not resume)
        self.display.console.print(f"training {plan.name} for {plan.epochs} epochs")
        result = train_in_folder(
            plan, folder, self.device, self.display, command=self.command, resume=resume, overwrite=not resume
        )
        if result.stopped_by is not None:
            raise Stopped(result.stopped_by)


def slug(source: str) -> str:
    """Make a file name of a data source: its kind, and what tells two of a kind apart."""
    kind, _, root = source.partition(":")
    rest = plain_name(Path(root).name) or plain_name(Path(root).resolve().name)
    return kind if rest in {"", kind} else f"{kind}-{rest}"


def trained_for(trained: Sequence[Trained]) -> str:
    """Say what trainings were given, for a table's notes."""
    budgets = [one.budget for one in trained if one.budget is not None]
    machines = dict.fromkeys(budget.machine for budget in budgets if budget.machine and budget.epochs)
    where = f" on {' and on '.join(machines)}" if machines else ""
    if not budgets or budgets[0].minutes is None:
        return f"Each network was trained for the recipe's epochs{where}."
    return (
        f"Each network was given {budgets[0].minutes:g} minutes{where}: as many whole epochs as fit by the pace of its "
        f"first steps, one where that takes up to {MOST_OVER:g} times as long, and at most the recipe's "
        f"{budgets[0].recipe_epochs}; validation was not counted."
    )


def plain_name(text: str) -> str:
    """Make a file name of a text: lower-case letters and digits of ASCII, hyphens for what is between them."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()


def _steps(recipe: Recipe) -> int:
    """Give the steps of an epoch."""
    samples = sum(len(source.data) * source.repeat for source in open_training_data(recipe.data))
    return max(1, samples // recipe.batch_size)


def _plan(recipe: Recipe, budget: Budget, steps: int) -> Recipe:
    """Cut a recipe to its budget: the epochs, and a warm-up of a tenth of them at most."""
    warmup_steps = min(recipe.schedule.warmup_steps, budget.epochs * steps // 10)
    every = recipe.validate_every * (1 if budget.minutes is None else FEWER_VALIDATIONS)
    return recipe.model_copy(
        update={
            "epochs": budget.epochs,
            "schedule": recipe.schedule.model_copy(update={"warmup_steps": warmup_steps}),
            "validate_every": min(budget.epochs, every),
        }
    )


def _why_not(budget: Budget, steps: int) -> str:
    assert budget.step_s is not None, "an epoch that takes too long was measured"
    if math.isinf(budget.step_s):
        return "not trained: a batch does not fit into memory here"
    epoch_minutes = budget.step_s * steps / 60
    return f"not trained: one epoch takes {epoch_minutes:.1f} minutes here, and there were {budget.minutes:.3g}"
