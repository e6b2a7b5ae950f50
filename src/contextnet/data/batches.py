"""From a split on disk to batches: decode once, keep as uint8, shuffle by seed, warp and recolour by the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from contextnet.data.augmentation import AugmentationRanges, draw_color_maps, draw_warps, recolor, warp
from contextnet.data.pairs import PairedFiles
from contextnet.data.reading import READ_TIMEOUT_S, read_ahead
from contextnet.data.sample import Sample, SegmentationData
from contextnet.data.verification import NumberingCheck, has_labelled_pixel
from contextnet.errors import DataError, ImageError
from contextnet.labels import LabelSet


@dataclass(frozen=True)
class Batch:
    """Augmented images, float (N, 3, H, W) RGB of 0…255, and labels, int64 (N, H, W) with 255 for void."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class DecodedSplit:
    """A whole split in memory: uint8 images (3, H, W) RGB and labels (H, W), and what could not be read."""

    name: str
    labels: LabelSet
    licence: str
    images: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    skipped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def pixel_counts(self) -> NDArray[np.int64]:
        """Count the labelled pixels of each image by train id, int64 (images, classes)."""
        counts = [np.bincount(mask.numpy().ravel(), minlength=256)[: self.labels.num_classes] for mask in self.masks]
        return np.stack(counts).astype(np.int64)


def decode_split(
    data: SegmentationData,
    *,
    unreadable_budget: int = 0,
    progress: Callable[[int, int], None] | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> DecodedSplit:
    """Read every sample of a split into memory, in order.

    A sample whose file cannot be read is skipped and reported while there are at most ``unreadable_budget`` of them.
    Instance masks are left alone: training has no use for them. Raises ``DataError`` naming the sample beyond the
    budget, and at once for files that can be read but are wrong: unknown ids, RGB masks, image and mask of different
    size, a missing mask; naming the first mask when the split is numbered otherwise than expected; for an empty
    or wholly void split, and when one sample takes longer than ``read_timeout_s``. Decoding runs in threads: no worker
    process can be lost.
    """
    data = data.without_instances() if isinstance(data, PairedFiles) else data
    images, masks, skipped = [], [], []
    numbering, labelled = NumberingCheck(data), False
    for index, outcome in enumerate(read_ahead(data, read_timeout_s)):
        if isinstance(outcome, ImageError):
            skipped.append(str(outcome))
            if len(skipped) > unreadable_budget:
                raise DataError(
                    f"{outcome} ({len(skipped)} unreadable so far, 'data.unreadable_budget' allows {unreadable_budget})"
                )
        elif isinstance(outcome, DataError):
            raise outcome
        else:
            labelled |= has_labelled_pixel(outcome, data)
            image, mask = decode_sample(outcome, data.name)
            images.append(image)
            masks.append(mask)
            numbering.add(outcome)
        if progress:
            progress(index + 1, len(data))
    if not images:
        raise DataError(f"'{data.name}' holds no sample to train on; check the split with 'contextnet data check'")
    numbering.finish()
    if not labelled:
        raise DataError(f"'{data.name}' holds void pixels only; check its masks with 'contextnet data check'")
    return DecodedSplit(data.name, data.labels, data.licence, tuple(images), tuple(masks), tuple(skipped))


def decode_sample(sample: Sample, data_name: str) -> tuple[Tensor, Tensor]:
    """Turn a sample into uint8 tensors, image (3, H, W) and label (H, W); ``DataError`` without ground truth."""
    if sample.label is None:
        raise DataError(f"{sample.image_path}: has no ground truth; '{data_name}' cannot be trained on")
    image = np.ascontiguousarray(sample.image.transpose(2, 0, 1))
    return torch.from_numpy(image), torch.from_numpy(np.ascontiguousarray(sample.label))


def epoch_order(length: int, seed: int, epoch: int) -> Tensor:
    """Shuffle 0…length-1 for one epoch: a pure function of seed and epoch, int64 (length,)."""
    return torch.randperm(length, generator=generator_for(seed, epoch, stream=0))


def generator_for(seed: int, index: int, *, stream: int, device: str | torch.device = "cpu") -> Generator:
    """Make the generator of one step or epoch, so that any of them can be repeated without those before it."""
    state = np.random.SeedSequence([seed, stream, index]).generate_state(1, np.uint64)
    return Generator(device).manual_seed(int(state[0]) >> 1)


def draw_batch(
    split: DecodedSplit,
    indices: list[int],
    crop_hw: tuple[int, int],
    ranges: AugmentationRanges,
    generator: Generator,
) -> Batch:
    """Cut, warp and recolour the samples ``indices`` to one batch, on the generator's device."""
    device = generator.device
    images = [split.images[i] for i in indices]
    masks = [split.masks[i] for i in indices]
    sizes = [(int(m.shape[0]), int(m.shape[1])) for m in masks]
    theta = draw_warps(sizes, crop_hw, ranges, generator)
    if len(set(sizes)) == 1:
        warped, labels = warp(torch.stack(images).to(device), torch.stack(masks).to(device), theta, crop_hw)
    else:
        pieces = [
            warp(image[None].to(device), mask[None].to(device), one[None], crop_hw)
            for image, mask, one in zip(images, masks, theta, strict=True)
        ]
        warped = torch.cat([piece[0] for piece in pieces])
        labels = torch.cat([piece[1] for piece in pieces])
    matrix, grey_share = draw_color_maps(len(indices), ranges, generator)
    return Batch(recolor(warped, matrix, grey_share), labels.long())
