"""What every smoother of scores over time is.

Scores are mixed as they are, before the soft-max. Mixing their log-soft-max would give the same labels, since what that
takes away from a cell is the same for all its classes.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Smoother(Protocol):
    """Steadies the scores of successive frames without waiting for later ones; used by one thread.

    It forgets the frames before by itself when the scores come in another shape.
    """

    def smooth(self, scores_CHW: NDArray[np.float32], image_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give steadier scores of the next frame, of the same shape; neither these nor those given may change later.

        ``scores_CHW`` holds finite scores of the image's cells, which may be padded at its bottom and right;
        ``image_HW3`` is RGB without the padding.
        """
        ...

    def reset(self) -> None:
        """Forget the frames before, as at the beginning of another film."""
        ...
