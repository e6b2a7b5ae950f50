"""The training recipe: a YAML file that says everything that decides a training run, checked before anything starts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from contextnet.data.augmentation import AugmentationRanges
from contextnet.errors import RecipeError
from contextnet.spec import ContextNetSpec, variant

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Size = tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkOptions(_Options):
    """Which network is trained: a name from ``contextnet.spec.VARIANTS`` and what is added to it."""

    variant: str = "cn14"
    width: Annotated[float, Field(ge=0.05, le=8)] = 1.0
    pyramid_pooling: bool = False
    auxiliary: bool = True
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def spec(self, num_classes: int) -> ContextNetSpec:
        """Describe the network for a number of classes."""
        return variant(
            self.variant,
            num_classes,
            width=self.width,
            pyramid_pooling=self.pyramid_pooling,
            auxiliary=self.auxiliary,
            dropout=self.dropout,
        )


class DataOptions(_Options):
    """Where samples come from: ``source`` is KIND:ROOT; ``unreadable_budget`` is how many may be skipped."""

    source: str
    train_split: str = "train"
    val_split: str = "val"
    unreadable_budget: Annotated[int, Field(ge=0)] = 0


class AugmentationOptions(_Options):
    """Crop size (height, width) and the ranges of random changes (section 3.1); see ``AugmentationRanges``."""

    crop_hw: Size
    scale: tuple[Positive, Positive] = (0.5, 2.0)
    flip: Share = 0.5
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    saturation: Share = 0.4
    brightness: Share = 0.4
    contrast: Share = 0.4

    @model_validator(mode="after")
    def _ordered(self) -> AugmentationOptions:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale {list(self.scale)} runs from large to small; write the smaller one first")
        return self

    def ranges(self) -> AugmentationRanges:
        """Give the ranges as the augmentation takes them."""
        return AugmentationRanges(
            self.scale, self.flip, self.hue, self.saturation, self.brightness, self.contrast
        )


class LossOptions(_Options):
    """Cross-entropy; ``auxiliary_weight`` is the paper's 0.4; ``class_weighting`` evens out rare classes.

    ``bounded-log`` weights class k by 1 / ln(1.02 + its share of pixels), as ENet does.
    """

    auxiliary_weight: Annotated[float, Field(ge=0)] = 0.4
    class_weighting: Literal["none", "bounded-log"] = "none"


class RMSpropOptions(_Options):
    """The paper's optimizer (section 3.1), as TensorFlow defines it."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: Positive = 0.045
    discount: Share = 0.9
    momentum: Share = 0.9
    epsilon: Positive = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.00004


class AdamWOptions(_Options):
    """Adam with decoupled weight decay."""

    kind: Literal["adamw"]
    learning_rate: Positive = 0.002
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01


class SGDOptions(_Options):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"]
    learning_rate: Positive = 0.05
    momentum: Share = 0.9
    nesterov: bool = True
    weight_decay: Annotated[float, Field(ge=0)] = 0.0001


OptimizerOptions = RMSpropOptions | AdamWOptions | SGDOptions


class ScheduleOptions(_Options):
    """How the learning rate falls, and over how many steps it first rises."""

    kind: Literal["poly", "cosine", "constant"] = "poly"
    power: Positive = 0.98
    warmup_steps: Annotated[int, Field(ge=0)] = 0


class Recipe(_Options):
    """A training run. ``batch_size`` is the number of images a step; ``seed`` decides every random choice.

    ``ema_decay`` keeps an exponential moving average of the weights, which is what is validated and shipped.
    ``precision`` bfloat16 runs the forward pass in mixed precision.
    """

    name: Annotated[str, Field(min_length=1)]
    network: NetworkOptions = NetworkOptions()
    data: DataOptions
    augmentation: AugmentationOptions
    loss: LossOptions = LossOptions()
    optimizer: Annotated[OptimizerOptions, Field(discriminator="kind")] = RMSpropOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    batch_size: Annotated[int, Field(ge=1)] = 16
    epochs: Annotated[int, Field(ge=1)] = 1000
    seed: Annotated[int, Field(ge=0)] = 0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    validate_every: Annotated[int, Field(ge=1)] = 1
    max_nonfinite_steps: Annotated[int, Field(ge=1)] = 10


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides written as ``key.key=value`` (the value is YAML).

    Raises ``RecipeError`` naming file, key, what is wrong with it and the nearest valid key.
    """
    values = _read_yaml(path)
    for override in overrides:
        _apply_override(values, override)
    return parse_recipe(values, str(path))


def parse_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """Check plain values against the recipe's fields; ``source`` begins the error message."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{source}: {_explain(error)}") from None


def write_recipe(recipe: Recipe) -> str:
    """Write a recipe as YAML with every default spelled out; ``parse_recipe`` reads it back to an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not plain YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys to values")
    return values


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"'{override}': write an override as key=value, for example epochs=60")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(f"'{override}': the value is not plain YAML") from None
    *parents, last = key.split(".")
    table = values
    for parent in parents:
        inner = table.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"'{override}': '{parent}' is a value and has no '{last}'")
        table = inner
    table[last] = value


def _explain(error: ValidationError) -> str:
    """Say the first complaint in one line, with the nearest valid key for a misspelt one."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"] if part not in {"rmsprop", "adamw", "sgd"}]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _known_keys(), n=1, cutoff=0.0)
        return f"unknown key '{key}'; the nearest valid key is '{near[0]}'"
    message = first["msg"].removeprefix("Value error, ")
    found = "" if first["type"] == "missing" else f", found {first['input']!r}"
    return f"'{key}': {message[0].lower()}{message[1:]}{found}"


def _known_keys() -> list[str]:
    tables = [Recipe, NetworkOptions, DataOptions, AugmentationOptions, LossOptions, ScheduleOptions]
    tables += [RMSpropOptions, AdamWOptions, SGDOptions]
    return [name for table in tables for name in table.model_fields]
