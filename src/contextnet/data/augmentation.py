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


def draw_windows(
    sizes_hw: list[tuple[int, int]], crop_hw: tuple[int, int], ranges: AugmentationRanges, generator: Generator
) -> Tensor:
    """Draw the window of each image that becomes its crop, float (N, 2, 2): along y and x, its extent and its centre.

    Both are in units of half the image's side, the centre from the image's: (1, 0) is the whole side. A negative
    extent is mirrored. The window lies inside the image where the scaled image is larger than the crop, and holds all
    of it where it is smaller, at a random place either way.
    """
    low, high = ranges.scale
    uniform = torch.rand((len(sizes_hw), 4), generator=generator, device=generator.device)
    scale = low * (high / low) ** uniform[:, 0]
    sizes = torch.tensor(sizes_hw, dtype=torch.float32, device=generator.device)
    extent = sizes.new_tensor(crop_hw) / (scale[:, None] * sizes)
    centre = (uniform[:, 2:].flip(1) * 2 - 1) * (1 - extent).abs()
    extent[:, 1] *= torch.where(uniform[:, 1] < ranges.flip, -1.0, 1.0)
    return torch.stack((extent, centre), dim=2)


def warp(images: Tensor, labels: Tensor, windows: Tensor, crop_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Resample the windows of images bilinearly, and those of labels by nearest neighbour, to ``crop_hw``.

    Takes uint8 images (N, 3, H, W) and labels (N, H, W); returns float images and uint8 labels. Beyond the image its
    edge is replicated and the label is void. Labels are never interpolated: each is one that stood in the source.
    """
    y, x = (_positions(windows[:, axis], length) for axis, length in enumerate(crop_hw))
    grid = torch.stack((x[:, None, :].expand(-1, crop_hw[0], -1), y[:, :, None].expand(-1, -1, crop_hw[1])), dim=3)
    warped = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    # Labels are looked up where they stand, within a border of void that takes every place beyond the image.
    bordered = F.pad(labels, (1, 1, 1, 1), value=IGNORE_INDEX)
    rows, columns = _nearest(y, labels.shape[1]), _nearest(x, labels.shape[2])
    places = (rows * bordered.shape[2])[:, :, None] + columns[:, None, :]
    return warped, bordered.flatten(1).gather(1, places.flatten(1)).view_as(places)


def _positions(windows: Tensor, length: int) -> Tensor:
    """Give where along one side the centres of ``length`` crop pixels fall, float (N, length); the side is -1…1."""
    centres = (torch.arange(length, device=windows.device) + 0.5) * (2 / length) - 1
    return windows[:, :1] * centres + windows[:, 1:]


def _nearest(positions: Tensor, size: int) -> Tensor:
    """Give the pixel of a side that is nearest to each position, from 1; 0 and ``size`` + 1 are beyond the side."""
    return (((positions + 1) * size - 1) / 2).round().clamp(-1, size).long() + 1


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
