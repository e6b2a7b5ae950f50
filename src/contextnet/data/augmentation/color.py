"""Random hue, saturation, brightness and contrast of a whole batch: one linear map of the colours of each image.

Images are float (N, 3, H, W) RGB of 0…255. Source: section 3.1 of the paper.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from contextnet.data.augmentation.ranges import AugmentationRanges

_RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
# Its inverse, spelled out: inverting a matrix on a GPU would hold up every batch.
_YIQ_TO_RGB = (
    (1.0, 0.956170685, 0.621432566),
    (1.0, -0.272688602, -0.646813237),
    (1.0, -1.103744082, 1.700623095),
)


def draw_color_maps(count: int, ranges: AugmentationRanges, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw one colour map an image: a matrix, float (N, 3, 3), and how much of the image's mean grey is added, (N,).

    Hue turns the I-Q plane of YIQ, saturation stretches it, brightness stretches everything, and contrast stretches
    everything about the image's mean grey, in this order.
    """
    device = generator.device
    uniform = torch.rand((count, 4), generator=generator, device=device) * 2 - 1
    angle = uniform[:, 0] * ranges.hue * 2 * torch.pi
    saturation = 1 + uniform[:, 1] * ranges.saturation
    brightness = 1 + uniform[:, 2] * ranges.brightness
    contrast = 1 + uniform[:, 3] * ranges.contrast
    turn = torch.zeros((count, 3, 3), device=device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos() * saturation
    turn[:, 1, 2] = -angle.sin() * saturation
    turn[:, 2, 1] = angle.sin() * saturation
    to_yiq = torch.tensor(_RGB_TO_YIQ, device=device)
    matrix = torch.tensor(_YIQ_TO_RGB, device=device) @ turn @ to_yiq
    return matrix * (brightness * contrast)[:, None, None], brightness * (1 - contrast)


def recolor(images: Tensor, matrix: Tensor, grey_share: Tensor) -> Tensor:
    """Apply colour maps to float images (N, 3, H, W), clamped to 0…255."""
    # Rows first and then in double, an image's mean does not hang on how many others stand in the batch.
    mean_grey = images.mean(3).double().mean(2) @ images.new_tensor(_RGB_TO_YIQ[0], dtype=torch.float64)
    offset = (mean_grey.float() * grey_share)[:, None, None]
    changed = torch.baddbmm(offset, matrix, images.flatten(2)).clamp_(0, 255)
    return changed.view(images.shape)
