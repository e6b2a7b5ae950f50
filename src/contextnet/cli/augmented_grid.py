"""A picture of augmented samples beside their labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contextnet.data.augmentation.ranges import AugmentationRanges
from contextnet.data.batches import AUGMENTATION_STREAM, draw_batch, epoch_order, generator_for
from contextnet.data.decoding import DecodedSplit, decode_sample
from contextnet.data.sample import SegmentationData
from contextnet.runtime.drawing import contact_sheet, overlay


def augmented_grid(
    data: SegmentationData, count: int, crop_hw: tuple[int, int], ranges: AugmentationRanges, seed: int
) -> NDArray[np.uint8]:
    """Draw ``count`` random samples as training would see them: uint8 (H, W, 3) RGB, image and overlay side by side."""
    indices = epoch_order(len(data), seed, epoch=0).tolist()[:count]
    decoded = [decode_sample(data[index], data.name) for index in indices]
    images, masks = zip(*decoded, strict=True)
    split = DecodedSplit(data.name, data.labels, data.licence, images, masks, ())
    generator = generator_for(seed, 0, stream=AUGMENTATION_STREAM)
    batch = draw_batch(split, list(range(len(indices))), crop_hw, ranges, generator)
    pairs = []
    for image, label in zip(batch.images.round().byte(), batch.labels.byte(), strict=True):
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        pairs += [pixels, overlay(pixels, label.numpy(), data.labels, opacity=0.7)]
    return contact_sheet(pairs, columns=4, cell_hw=crop_hw)
