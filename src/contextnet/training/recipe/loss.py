"""The recipe's ``loss``: what is minimised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from contextnet.training.recipe.options import Options, Positive, Share


class OhemOptions(Options):
    """Cross-entropy over hard pixels alone: those whose true class has a probability below ``threshold``.

    At least ``min_kept`` of the labelled pixels are kept. The values are those that BiSeNet is usually trained with.
    """

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.7
    min_kept: Share = 0.0625


class DistillationOptions(Options):
    """Learn also from the network in ``weights`` (a file, or a shipped network's name), by ``weight``."""

    weights: Annotated[str, Field(min_length=1)]
    temperature: Positive = 4.0
    weight: Positive = 0.5


class LossOptions(Options):
    """Cross-entropy; ``auxiliary_weight`` is the paper's 0.4; what follows is added or changes how pixels count.

    ``class_weighting`` evens out rare classes: ``bounded-log`` weights class k by 1 / ln(1.02 + its share of pixels),
    as ENet does, ``median-frequency`` by the median frequency over its own (Eigen and Fergus). ``class_weights`` says
    the weights by class name instead; a class not named weighs 1. ``weight_correction`` takes back what weights do to
    the decision, not to what is learned: wholly at 1. ``lovasz_weight`` and ``dice_weight`` add losses of whole
    regions, Lovász-softmax over each image or over the batch. ``pixel_stride`` takes the main cross-entropy at every
    second or fourth row and column, the first of which the steps take turns at, to save a part of a step's time.
    """

    auxiliary_weight: Annotated[float, Field(ge=0)] = 0.4
    class_weighting: Literal["none", "bounded-log", "median-frequency"] = "none"
    class_weights: dict[str, Positive] | None = None
    weight_correction: Annotated[float, Field(ge=0, le=2)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ohem: OhemOptions | None = None
    lovasz_weight: Annotated[float, Field(ge=0)] = 0.0
    lovasz_extent: Literal["image", "batch"] = "image"
    dice_weight: Annotated[float, Field(ge=0)] = 0.0
    pixel_stride: Literal[1, 2, 4] = 1
    distillation: DistillationOptions | None = None

    @model_validator(mode="after")
    def _weighted_once(self) -> LossOptions:
        if self.class_weights is not None and self.class_weighting != "none":
            raise ValueError(
                f"class_weights and class_weighting '{self.class_weighting}' both weight the classes; "
                "keep one, with class_weighting none beside class_weights"
            )
        if self.weight_correction and self.class_weights is None and self.class_weighting == "none":
            raise ValueError("weight_correction takes back what class weights do, and there are none; leave it out")
        return self
