"""The one definition of every resize and of padding: bilinear, half-pixel centres, no antialiasing, edge replication.

Tensors are float (N, C, H, W).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def downscale(image_NCHW: Tensor, factor: int) -> Tensor:
    """Shrink height and width, both divisible by ``factor``, by that factor.

    Half-pixel centres put every output pixel on the centre of a factor × factor block, so the middle 2×2 of the block
    is averaged.
    """
    if factor == 1:
        return image_NCHW
    height, width = image_NCHW.shape[-2:]
    return F.interpolate(image_NCHW, (height // factor, width // factor), mode="bilinear", align_corners=False)


def upscale(features_NCHW: Tensor, factor: int) -> Tensor:
    """Enlarge height and width by ``factor``."""
    if factor == 1:
        return features_NCHW
    height, width = features_NCHW.shape[-2:]
    return F.interpolate(features_NCHW, (height * factor, width * factor), mode="bilinear", align_corners=False)


def pad_to_multiple(image_NCHW: Tensor, multiple: int) -> Tensor:
    """Replicate the bottom and right edges until height and width are divisible by ``multiple``."""
    height, width = image_NCHW.shape[-2:]
    below, right = -height % multiple, -width % multiple
    if below == 0 and right == 0:
        return image_NCHW
    return F.pad(image_NCHW, (0, right, 0, below), mode="replicate")


def upscale_to(scores_NCHW: Tensor, size_hw: tuple[int, int], factor: int) -> Tensor:
    """Enlarge scores by ``factor`` and crop them to the image's size, which undoes ``pad_to_multiple``."""
    height, width = size_hw
    return upscale(scores_NCHW, factor)[..., :height, :width]
