"""Random scale, crop and flip of a whole batch: one affine warp. Source: section 3.1 of the paper.

Images are (N, 3, H, W) RGB of 0…255, labels uint8 (N, H, W) train ids with 255 for void.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from contextnet.data.augmentation.ranges import AugmentationRanges
from contextnet.labels import IGNORE_INDEX


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
