"""The training recipe: a YAML file that says everything that decides a training run, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from contextnet.errors import RecipeError
from contextnet.training.recipe.data import AugmentationOptions, DataOptions
from contextnet.training.recipe.execution import CheckpointOptions, ExecutionOptions
from contextnet.training.recipe.faults import explain
from contextnet.training.recipe.loss import LossOptions
from contextnet.training.recipe.network import NetworkOptions
from contextnet.training.recipe.optimizer import OptimizerOptions, RMSpropOptions, ScheduleOptions
from contextnet.training.recipe.options import Count, Options, Positive
from contextnet.training.recipe.values import read_values


class Recipe(Options):
    """A training run. ``batch_size`` is the images a step, over all processes; ``seed`` decides every random choice.

    ``init_from`` is a weights file, or a shipped network's name, whose tensors the network starts from as far as they
    fit. ``clip_norm`` is the greatest ℓ2 norm of the gradient, which is scaled down to it. ``ema_decay`` keeps an
    exponential moving average of the weights, which is what is validated and shipped. ``quantization_aware`` rounds in
    training as the exported INT8 network does. ``tune_decision`` adds to the classes' scores, in the weights that are
    validated and shipped, what makes mIoU on training images highest.
    """

    name: Annotated[str, Field(min_length=1)]
    network: NetworkOptions = NetworkOptions()
    init_from: Annotated[str, Field(min_length=1)] | None = None
    data: DataOptions
    augmentation: AugmentationOptions
    loss: LossOptions = LossOptions()
    optimizer: Annotated[OptimizerOptions, Field(discriminator="kind")] = RMSpropOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    batch_size: Count = 16
    epochs: Count = 1000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    clip_norm: Positive | None = None
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    execution: ExecutionOptions = ExecutionOptions()
    quantization_aware: bool = False
    tune_decision: bool = False
    checkpoints: CheckpointOptions = CheckpointOptions()
    validate_every: Count = 1
    max_nonfinite_steps: Count = 10
    tensorboard: bool = True

    @field_validator("quantization_aware")
    @classmethod
    def _not_compiled(cls, wanted: bool, info: ValidationInfo) -> bool:
        execution = info.data.get("execution")  # absent where it is wrong itself
        if wanted and execution is not None and execution.compile:
            raise ValueError("the rounding is not compiled with the network; set 'execution.compile' to false")
        return wanted


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides written as ``key.key=value`` (the value is YAML).

    Raises ``RecipeError`` naming file, key, what is wrong with it and the nearest valid key.
    """
    changes = "".join(f" with {override}" for override in overrides)
    return parse_recipe(read_values(path, overrides), f"{path}{changes}")


def parse_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """Check plain values against the recipe's fields; ``source`` begins the error message."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{source}: {explain(error, Recipe)}") from None


def write_recipe(recipe: Recipe) -> str:
    """Write a recipe as YAML with every default spelled out; ``parse_recipe`` reads it back to an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
