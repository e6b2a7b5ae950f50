"""The recipe's ``data`` and ``augmentation``: which samples are learned from, and how they are changed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from contextnet.data.augmentation.ranges import AugmentationRanges
from contextnet.training.recipe.options import Count, Options, PositivePair, Share, SizePair

ClassNames = dict[str, str]
"""Which class of the common label set each class becomes, by name."""


class ExtraData(Options):
    """A further data set that is trained on beside the main one; ``repeat`` is how often an epoch goes through it.

    ``classes`` says which class of the training's label set each of its own classes becomes; a class not named there
    becomes the one of the same name, in whatever case, or else void.
    """

    source: str
    split: str = "train"
    classes: ClassNames = Field(default_factory=dict)
    repeat: Count = 1


class DataOptions(Options):
    """Where samples come from: ``source`` is KIND:ROOT; ``unreadable_budget`` is how many may be skipped.

    Splits, also those of ``extra``, may be parts of one, as in ``train@-0006R0``: see ``contextnet.data.parts``.
    ``labels`` is the label set that all data is brought to: a built-in one's name or a label-set YAML, or that of
    ``source`` if it is left out. ``classes`` and ``extra`` say how classes are renamed and which data is added.
    ``store`` is where the decoded training split is kept: in main memory, on the device, or in a file that is mapped;
    ``auto`` takes the device or memory where the split fits, else the file.
    """

    source: str
    train_split: str = "train"
    val_split: str = "val"
    labels: str | None = None
    classes: ClassNames = Field(default_factory=dict)
    extra: Annotated[tuple[ExtraData, ...], Field(strict=False)] = ()
    unreadable_budget: Annotated[int, Field(ge=0)] = 0
    store: Literal["auto", "memory", "device", "mapped"] = "auto"


class AugmentationOptions(Options):
    """Crop size (height, width) and the ranges of random changes; see ``AugmentationRanges``.

    Those of light and sensor, from ``cast`` on, and ``class_mix`` are none of the paper's (section 3.1) and off by
    default.
    """

    crop_hw: SizePair
    scale: PositivePair = (0.5, 2.0)
    flip: Share = 0.5
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    saturation: Share = 0.4
    brightness: Share = 0.4
    contrast: Share = 0.4
    cast: Annotated[float, Field(ge=0, lt=1)] = 0.0
    gamma: Share = 0.0
    blur: Share = 0.0
    noise: Annotated[float, Field(ge=0, le=255)] = 0.0
    class_mix: Share = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> AugmentationOptions:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale {list(self.scale)} runs from large to small; write the smaller one first")
        return self

    def ranges(self) -> AugmentationRanges:
        """Give the ranges as the augmentation takes them."""
        return AugmentationRanges(**self.model_dump(exclude={"crop_hw"}))
