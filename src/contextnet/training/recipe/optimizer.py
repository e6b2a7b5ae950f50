"""The recipe's ``optimizer`` and ``schedule``: how the weights follow the gradient."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contextnet.training.recipe.options import Decay, Options, Positive, SharePair


class RMSpropOptions(Options):
    """The paper's optimizer (section 3.1), as TensorFlow defines it."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: Positive = 0.045
    discount: Decay = 0.9
    momentum: Decay = 0.9
    epsilon: Positive = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.00004


class AdamWOptions(Options):
    """Adam with decoupled weight decay."""

    kind: Literal["adamw"]
    learning_rate: Positive = 0.002
    betas: SharePair = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.01


class SGDOptions(Options):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"]
    learning_rate: Positive = 0.05
    momentum: Decay = 0.9
    nesterov: bool = True
    weight_decay: Annotated[float, Field(ge=0)] = 0.0001


class MuonOptions(Options):
    """Orthogonal momentum for kernels of dense convolutions but the classifiers', AdamW for what else there is."""

    kind: Literal["muon"]
    learning_rate: Positive = 0.003
    momentum: Decay = 0.95
    betas: SharePair = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.02


OptimizerOptions = RMSpropOptions | AdamWOptions | SGDOptions | MuonOptions


class ScheduleOptions(Options):
    """How the learning rate falls, and over how many steps it first rises."""

    kind: Literal["poly", "cosine", "constant"] = "poly"
    power: Positive = 0.98
    warmup_steps: Annotated[int, Field(ge=0)] = 0
