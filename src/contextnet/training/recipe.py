"""The training recipe: a YAML file that says everything that decides a training run, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from contextnet.data.augmentation import AugmentationRanges
from contextnet.errors import RecipeError
from contextnet.spec import MAX_MULTIPLIER, MIN_MULTIPLIER, VARIANTS, ContextNetSpec, variant
from contextnet.training.recipe_faults import explain
from contextnet.training.recipe_yaml import read_values

Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Side = Annotated[int, Field(ge=8, le=8192)]
# YAML has lists only, so a pair is not held to being a tuple; its numbers are still strict.
SizePair = Annotated[tuple[Side, Side], Field(strict=False)]
PositivePair = Annotated[tuple[Positive, Positive], Field(strict=False)]
SharePair = Annotated[tuple[Share, Share], Field(strict=False)]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class NetworkOptions(_Options):
    """Which network is trained: a name from ``contextnet.spec.VARIANTS`` and what is added to it."""

    variant: str = "cn14"
    width: Annotated[float, Field(ge=MIN_MULTIPLIER, le=MAX_MULTIPLIER)] = 1.0
    pyramid_pooling: bool = False
    auxiliary: bool = True
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1

    @field_validator("variant")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in VARIANTS:
            raise ValueError(f"no network is called '{name}'; known: {', '.join(VARIANTS)}")
        return name

    @model_validator(mode="after")
    def _buildable(self) -> NetworkOptions:
        self.spec(num_classes=1)
        return self

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

    crop_hw: SizePair
    scale: PositivePair = (0.5, 2.0)
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
        return AugmentationRanges(self.scale, self.flip, self.hue, self.saturation, self.brightness, self.contrast)


class OhemOptions(_Options):
    """Cross-entropy over hard pixels alone: those whose true class has a probability below ``threshold``.

    At least ``min_kept`` of the labelled pixels are kept. The values are those that BiSeNet is usually trained with.
    """

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.7
    min_kept: Share = 0.0625


class DistillationOptions(_Options):
    """Learn also from the network in ``weights`` (a file, or a shipped network's name), by ``weight``."""

    weights: Annotated[str, Field(min_length=1)]
    temperature: Positive = 4.0
    weight: Positive = 0.5


class LossOptions(_Options):
    """Cross-entropy; ``auxiliary_weight`` is the paper's 0.4; what follows is added or changes how pixels count.

    ``class_weighting`` evens out rare classes: ``bounded-log`` weights class k by 1 / ln(1.02 + its share of pixels),
    as ENet does, ``median-frequency`` by the median frequency over its own (Eigen and Fergus). ``class_weights`` says
    the weights by class name instead; a class not named weighs 1. ``lovasz_weight`` and ``dice_weight`` add losses of
    whole regions, Lovász-softmax over each image or over the batch.
    """

    auxiliary_weight: Annotated[float, Field(ge=0)] = 0.4
    class_weighting: Literal["none", "bounded-log", "median-frequency"] = "none"
    class_weights: dict[str, Positive] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ohem: OhemOptions | None = None
    lovasz_weight: Annotated[float, Field(ge=0)] = 0.0
    lovasz_extent: Literal["image", "batch"] = "image"
    dice_weight: Annotated[float, Field(ge=0)] = 0.0
    distillation: DistillationOptions | None = None

    @model_validator(mode="after")
    def _weighted_once(self) -> LossOptions:
        if self.class_weights is not None and self.class_weighting != "none":
            raise ValueError(
                f"class_weights and class_weighting '{self.class_weighting}' both weight the classes; "
                "keep one, with class_weighting none beside class_weights"
            )
        return self


class RMSpropOptions(_Options):
    """The paper's optimizer (section 3.1), as TensorFlow defines it."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: Positive = 0.045
    discount: Decay = 0.9
    momentum: Decay = 0.9
    epsilon: Positive = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.00004


class AdamWOptions(_Options):
    """Adam with decoupled weight decay."""

    kind: Literal["adamw"]
    learning_rate: Positive = 0.002
    betas: SharePair = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01


class SGDOptions(_Options):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"]
    learning_rate: Positive = 0.05
    momentum: Decay = 0.9
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
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    validate_every: Annotated[int, Field(ge=1)] = 1
    max_nonfinite_steps: Annotated[int, Field(ge=1)] = 10


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides written as ``key.key=value`` (the value is YAML).

    Raises ``RecipeError`` naming file, key, what is wrong with it and the nearest valid key.
    """
    return parse_recipe(read_values(path, overrides), str(path))


def parse_recipe(values: Mapping[str, Any], source: str) -> Recipe:
    """Check plain values against the recipe's fields; ``source`` begins the error message."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{source}: {explain(error, Recipe)}") from None


def write_recipe(recipe: Recipe) -> str:
    """Write a recipe as YAML with every default spelled out; ``parse_recipe`` reads it back to an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
