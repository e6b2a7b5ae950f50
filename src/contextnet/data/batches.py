"""From a decoded split to batches: shuffle by seed, augment by the batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from contextnet.data.augmentation.color import draw_color_maps, recolor
from contextnet.data.augmentation.geometry import draw_windows, warp
from contextnet.data.augmentation.mixing import draw_mixing
from contextnet.data.augmentation.ranges import AugmentationRanges
from contextnet.data.augmentation.sensor import draw_sensor, sense
from contextnet.data.decoding import DecodedSplit

ORDER_STREAM = 0
"""The stream of random numbers that shuffles the samples of an epoch."""

AUGMENTATION_STREAM = 1
"""The stream that augments the batch of a step."""

NETWORK_STREAM = 2
"""The first of the streams that dropout draws from: that of a process is this one and its rank."""


@dataclass(frozen=True)
class Batch:
    """Augmented images, float (N, 3, H, W) RGB of 0…255, and labels, int64 (N, H, W) with 255 for void.

    The images are stored with the channels innermost, torch's ``channels_last``.
    """

    images: Tensor
    labels: Tensor


def epoch_order(length: int, seed: int, epoch: int) -> Tensor:
    """Shuffle 0…length-1 for one epoch: a pure function of seed and epoch, int64 (length,)."""
    return torch.randperm(length, generator=generator_for(seed, epoch, stream=ORDER_STREAM))


def generator_for(seed: int, index: int, *, stream: int, device: str | torch.device = "cpu") -> Generator:
    """Make the generator of one step or epoch, so that any of them can be repeated without those before it.

    Generators of different streams are independent, whatever the steps and epochs.
    """
    state = np.random.SeedSequence([seed, stream, index]).generate_state(1, np.uint64)
    return Generator(device).manual_seed(int(state[0]) >> 1)


def draw_batch(
    split: DecodedSplit,
    indices: list[int],
    crop_hw: tuple[int, int],
    ranges: AugmentationRanges,
    generator: Generator,
    part: slice = slice(None),
) -> Batch:
    """Warp, recolour, sense and mix crops of the samples ``indices`` to one batch, on the generator's device.

    Only ``part`` of the batch is made and returned, from what of the rest is pasted over it. What is random is drawn
    for the whole, so that parts drawn from equal generators put together are the whole, bit for bit.
    """
    count, device = len(indices), generator.device
    sizes_hw = [(h, w) for h, w in (split.masks[i].shape for i in indices)]
    windows = draw_windows(sizes_hw, crop_hw, ranges, generator)
    colors = draw_color_maps(count, ranges, generator)
    sensor = draw_sensor(count, ranges, generator)
    mixing = draw_mixing(count, ranges, generator)
    places = list(range(count))[part]
    needed = mixing.needed(places)
    chosen, windows, sensor = [indices[place] for place in needed], windows[needed], sensor[needed]
    matrix, grey_share = (maps[needed] for maps in colors)
    images = torch.empty((len(chosen), 3, *crop_hw), device=device, memory_format=torch.channels_last)
    labels = torch.empty((len(chosen), *crop_hw), dtype=torch.int64, device=device)
    for run in _runs([sizes_hw[place] for place in needed], device):
        pixels = _stack([split.images[i].permute(1, 2, 0) for i in chosen[run]], device).permute(0, 3, 1, 2)
        warped, labels[run] = warp(pixels, _stack([split.masks[i] for i in chosen[run]], device), windows[run], crop_hw)
        images[run] = sense(recolor(warped, matrix[run], grey_share[run]), sensor[run])
    return Batch(*mixing.paste(images, labels, places))


def _runs(sizes_hw: list[tuple[int, int]], device: torch.device) -> Iterator[slice]:
    """Cut a batch into what is computed at once: neighbours of one size, and on a CPU two of them a thread.

    So few stay in the CPU's caches, and in memory that is used again instead of being asked of the system each time.
    """
    limit = 2 * torch.get_num_threads() if device.type == "cpu" else len(sizes_hw)
    start = 0
    for end in range(1, len(sizes_hw) + 1):
        if end == len(sizes_hw) or end - start == limit or sizes_hw[end] != sizes_hw[start]:
            yield slice(start, end)
            start = end


def _stack(pixels: list[Tensor], device: torch.device) -> Tensor:
    """Stack tensors of one shape on ``device``; to a GPU they go from pinned memory, while it computes."""
    if device.type != "cuda" or pixels[0].device == device:
        return torch.stack(pixels).to(device)
    staging = torch.empty((len(pixels), *pixels[0].shape), dtype=pixels[0].dtype, pin_memory=True)
    return torch.stack(pixels, out=staging).to(device, non_blocking=True)
