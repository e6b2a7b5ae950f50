"""What to train next and for how long: the queue, how far each of its trainings is, and the time budget."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from contextnet.errors import ContextNetError, RecipeError
from contextnet.recipes.catalogue import find_recipe
from contextnet.reporting.history import parse_history
from contextnet.training.recipe.faults import explain
from contextnet.training.recipe.options import Options
from contextnet.training.recipe.recipe import Recipe, read_recipe
from contextnet.training.recipe.values import read_values
from contextnet.training.run_folder import RunFolder


class Training(Options):
    """One entry of the queue: ``name`` is its run folder, ``overrides`` are what ``--set`` takes."""

    name: str
    recipe: Annotated[str, Field(min_length=1)]
    overrides: Annotated[tuple[str, ...], Field(strict=False)] = ()
    init_from: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("name")
    @classmethod
    def _nameable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ValueError(f"'{name}' names a folder: letters, digits, '.', '_' and '-' only, 64 at most")
        return name


class Queue(Options):
    """The trainings in the order in which they are to be made; ``overrides`` are those of all, before their own."""

    overrides: Annotated[tuple[str, ...], Field(strict=False)] = ()
    trainings: Annotated[tuple[Training, ...], Field(strict=False)]

    @field_validator("trainings")
    @classmethod
    def _distinct(cls, trainings: tuple[Training, ...]) -> tuple[Training, ...]:
        name, count = Counter(training.name for training in trainings).most_common(1)[0] if trainings else ("", 0)
        if count > 1:
            raise ValueError(f"the name '{name}' stands {count} times; each is the folder of one run")
        return trainings


def read_queue(path: Path) -> tuple[Training, ...]:
    """Read a queue. Raises ``RecipeError`` naming file, key, what is wrong with it and the nearest valid key."""
    try:
        queue = Queue.model_validate(read_values(path))
    except ValidationError as error:
        raise RecipeError(f"{path}: {explain(error, Queue)}") from None
    shared = queue.overrides
    return tuple(one.model_copy(update={"overrides": (*shared, *one.overrides)}) for one in queue.trainings)


def resolve_recipe(training: Training) -> Recipe:
    """Give the recipe that a training runs, checked. Raises ``RecipeError`` naming the training and the fault."""
    try:
        return read_recipe(find_recipe(training.recipe), training.overrides)
    except ContextNetError as error:
        raise RecipeError(f"training '{training.name}': {error}") from None


def train_arguments(training: Training, folder: Path, *, resume: bool) -> list[str]:
    """Give the arguments of ``contextnet`` that start a training in ``folder``, or go on with it by its own recipe."""
    begin = ["--resume"] if resume else [training.recipe]
    if training.init_from and not resume:
        begin += ["--init-from", training.init_from]
    changes = [part for override in training.overrides for part in ("--set", override)]
    return ["train", *begin, "--output", str(folder), "--device", "cuda", *changes]


@dataclass(frozen=True)
class Standing:
    """How far a run has come, by its log: whole epochs, the newest one validated, and the best mIoU.

    ``images_per_s`` is the median over the epochs since the run was last started; None before the first.
    """

    epochs: int = 0
    validated_epoch: int = 0
    best_miou: float | None = None
    images_per_s: float | None = None
    has_state: bool = False
    has_weights: bool = False


def read_standing(folder: Path) -> Standing:
    """Read how far the run in ``folder`` has come; a folder that is not there has not begun."""
    log = RunFolder(folder).log
    history = parse_history(log.read_text(encoding="utf-8", errors="replace") if log.is_file() else "")
    return Standing(
        epochs=history.epochs_done,
        validated_epoch=history.validations[-1].epoch if history.validations else 0,
        best_miou=history.best.miou if history.best else None,
        images_per_s=history.images_per_s,
        has_state=bool(RunFolder(folder).state_files()),
        has_weights=any(folder.glob("*.safetensors")),
    )


class Need(Enum):
    """What a training of the queue needs next."""

    START = "start"
    RESUME = "resume"
    NOTHING = "finished"
    STATE = "its training state is not here; bring it along, or remove its folder to start anew"


def need_of(standing: Standing, epochs: int) -> Need:
    """Tell what a run needs whose recipe asks for ``epochs``."""
    if standing.epochs >= epochs and standing.validated_epoch >= epochs:
        return Need.NOTHING
    if standing.has_state:
        return Need.RESUME
    return Need.STATE if standing.has_weights or standing.epochs else Need.START


def next_training(
    trainings: Sequence[Training], needs: Mapping[str, Need], attempted: Collection[str]
) -> Training | None:
    """Give the first training that can be started or gone on with and was not attempted yet; None when none is left."""
    ready = (t for t in trainings if t.name not in attempted and needs[t.name] in {Need.START, Need.RESUME})
    return next(ready, None)


@dataclass(frozen=True)
class Budget:
    """How the seconds of one command are shared out.

    ``saving_s`` is what a stopped training may take to save, ``return_s`` what packing the results takes. Nothing is
    trained in less than ``least_s``, and figures get ``figures_share`` of the whole at most.
    """

    total_s: float
    saving_s: float = 25.0
    return_s: float = 10.0
    least_s: float = 30.0
    figures_share: float = 0.25

    def for_training(self, elapsed_s: float) -> float:
        """Give the seconds after which a training that starts now is told to stop; 0 where it is not worth it."""
        left_s = self.total_s - elapsed_s - self.saving_s - self.return_s
        return left_s if left_s >= self.least_s else 0.0

    def for_figures(self, elapsed_s: float) -> float:
        """Give the seconds that measuring may still take."""
        return max(0.0, min(self.figures_share * self.total_s, self.total_s - self.return_s) - elapsed_s)
