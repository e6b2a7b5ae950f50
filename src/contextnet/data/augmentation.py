"""Augmentation of a whole batch on the device it lives on: one geometric and one colour operation.

Random scale, crop and flip are one affine warp; hue, saturation, brightness and contrast are one linear map of the
colours, each drawn anew for every image from an explicit generator. Source: section 3.1 of the paper.

Images are float (N, 3, H, W) RGB of 0…255, labels uint8 (N, H, W) train ids with 255 for void.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from contextnet.labels import IGNORE_INDEX


@dataclass(frozen=True)
class AugmentationRanges:
    """How far each random change goes.

    ``scale`` is the least and the greatest enlargement, drawn evenly in the logarithm. ``flip`` is a probability.
    ``hue`` is in turns (0.5 is half the colour circle); the other three are relative: 0.2 means 0.8 to 1.2.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    hue: float = 0.03
    saturation: float = 0.4
    brightness: float = 0.4
    contrast: float = 0.4


NO_AUGMENTATION = AugmentationRanges(scale=(1.0, 1.0), flip=0.0, hue=0.0, saturation=0.0, brightness=0.0, contrast=0.0)
"""Ranges that leave a sample as it is: one of the crop's size comes back pixel by pixel."""


def draw_warps(
    sizes_hw: list[tuple[int, int]], crop_hw: tuple[int, int], ranges: AugmentationRanges, generator: Generator
) -> Tensor:
    """Draw one affine map an image, float (N, 2, 3), from normalized crop coordinates to normalized image coordinates.

    The crop lies inside the image where the scaled image is larger than the crop, and holds all of it where it is
    smaller, at a random place either way.
    """
    count = len(sizes_hw)
    low, high = ranges.scale
    uniform = torch.rand((count, 4), generator=generator, device=generator.device)
    scale = low * (high / low) ** uniform[:, 0]
    sign = torch.where(uniform[:, 1] < ranges.flip, -1.0, 1.0)
    sizes = torch.tensor(sizes_hw, dtype=torch.float32, device=generator.device)
    extent_y = crop_hw[0] / (scale * sizes[:, 0])
    extent_x = crop_hw[1] / (scale * sizes[:, 1])
    theta = torch.zeros((count, 2, 3), device=generator.device)
    theta[:, 0, 0] = extent_x * sign
    theta[:, 1, 1] = extent_y
    theta[:, 0, 2] = (uniform[:, 2] * 2 - 1) * (1 - extent_x).abs()
    theta[:, 1, 2] = (uniform[:, 3] * 2 - 1) * (1 - extent_y).abs()
    return theta


def warp(images: Tensor, labels: Tensor, theta: Tensor, crop_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Resample images bilinearly and labels by nearest neighbour through ``theta`` to ``crop_hw``.

    Takes uint8 images (N, 3, H, W) and labels (N, H, W); returns float images and uint8 labels. Beyond the image its
    edge is replicated and the label is void. Labels are never interpolated: each is one that stood in the source.
    """
    count = images.shape[0]
    grid = F.affine_grid(theta, [count, 3, *crop_hw], align_corners=False)
    warped = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    # Zero padding turns into void because labels are shifted so that void is zero.
    shifted = labels.unsqueeze(1).float() - IGNORE_INDEX
    picked = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return warped, (picked.squeeze(1) + IGNORE_INDEX).round().to(torch.uint8)


_RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


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
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return matrix * (brightness * contrast)[:, None, None], brightness * (1 - contrast)


def recolor(images: Tensor, matrix: Tensor, grey_share: Tensor) -> Tensor:
    """Apply colour maps to float images (N, 3, H, W), clamped to 0…255."""
    grey = images.new_tensor(_RGB_TO_YIQ[0])
    mean_grey = torch.einsum("nchw,c->n", images, grey) / (images.shape[-2] * images.shape[-1])
    changed = torch.einsum("ndc,nchw->ndhw", matrix, images)
    return (changed + (mean_grey * grey_share)[:, None, None, None]).clamp_(0, 255)
