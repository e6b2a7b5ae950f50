"""What every network gives for a batch of images."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class NetworkOutput(NamedTuple):
    """Scores before the soft-max, float (N, classes, H / stride, W / stride) of the padded image.

    ``auxiliary`` are those of the context branch, or of a baseline's auxiliary classifier, at their own stride; None
    when evaluating or without them.
    """

    scores: Tensor
    auxiliary: Tensor | None
