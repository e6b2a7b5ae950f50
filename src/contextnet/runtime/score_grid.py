"""How a network's scores lie over an image: one for every ``stride`` pixels each way, beyond its bottom and right edge
too, where the network padded it.
"""

from __future__ import annotations

STRIDES = (1, 4, 8)
"""Those that networks score at."""

MAX_MULTIPLE = 256
"""Pixels: no network pads the sides of images to multiples of more, since no branch of one has a greater stride."""


def require_fit(grid_hw: tuple[int, int], size_hw: tuple[int, int], stride: int) -> None:
    """Hold a grid of h × w scores to be that of an image of H × W pixels at a stride.

    Raises ``ValueError`` for a stride that no network has, and for a grid that ends before the image or goes on beyond
    what padding adds.
    """
    if stride not in STRIDES:
        raise ValueError(f"scores at stride {stride}; networks have 1, 4 or 8")
    rows, columns = (_image_sides(stride * scores) for scores in grid_hw)
    if size_hw[0] not in rows or size_hw[1] not in columns:
        raise ValueError(
            f"{grid_hw[0]}×{grid_hw[1]} scores at stride {stride} are those of an image of {rows.start} to "
            f"{rows.stop - 1} × {columns.start} to {columns.stop - 1} pixels; this one has {size_hw[0]}×{size_hw[1]}"
        )


def _image_sides(padded: int) -> range:
    """Give the lengths that a side may have had before it was padded to so many pixels.

    It was padded by less than the multiple that it was brought to, and has at least so many multiples as here: a longer
    side than 256 pixels has two or more, so that less than half of it is padding.
    """
    multiples = max(1, -(-padded // MAX_MULTIPLE))
    return range(padded - (padded - 1) // multiples, padded + 1)
