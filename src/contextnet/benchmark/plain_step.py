"""The plain way to a batch, for comparison: each image scaled, cut, flipped and recoloured by itself in NumPy.

It draws from the same ranges as ``contextnet.data.augmentation`` and does the same to an image, one operation after the
other, as training scripts usually do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from contextnet.data.augmentation.ranges import AugmentationRanges
from contextnet.data.augmentation.sensor import BLUR_RADIUS, GREATEST_SIGMA
from contextnet.data.batches import Batch
from contextnet.data.decoding import DecodedSplit
from contextnet.labels import IGNORE_INDEX

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
RGB_TO_YIQ = np.array(((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)), np.float32)


def draw_plain_batch(
    split: DecodedSplit,
    indices: Sequence[int],
    crop_hw: tuple[int, int],
    ranges: AugmentationRanges,
    random: np.random.Generator,
) -> Batch:
    """Augment the samples ``indices`` one by one: float images (N, 3, H, W) of 0…255, int64 labels (N, H, W)."""
    images, masks = [], []
    for index in indices:
        image_HW3 = split.images[index].permute(1, 2, 0).numpy()
        cut, mask = _scale_and_cut(image_HW3, split.masks[index].numpy(), crop_hw, ranges, random)
        if random.random() < ranges.flip:
            cut, mask = cut[:, ::-1], mask[:, ::-1]
        images.append(_sense(_recolor(cut, ranges, random), ranges, random).transpose(2, 0, 1))
        masks.append(mask.astype(np.int64))
    return Batch(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks)))


def _scale_and_cut(
    image_HW3: Pixels,
    mask_HW: Pixels,
    crop_hw: tuple[int, int],
    ranges: AugmentationRanges,
    random: np.random.Generator,
) -> tuple[Pixels, Pixels]:
    """Resize by a random factor, fill up to the crop's size with the edge and void, and cut at a random place."""
    low, high = ranges.scale
    scale = low * (high / low) ** random.random()
    height, width = (max(1, round(side * scale)) for side in mask_HW.shape)
    image = np.asarray(Image.fromarray(image_HW3).resize((width, height), Image.Resampling.BILINEAR))
    mask = np.asarray(Image.fromarray(mask_HW).resize((width, height), Image.Resampling.NEAREST))
    missing = [max(0, crop - side) for crop, side in zip(crop_hw, (height, width), strict=True)]
    if any(missing):
        before = [int(random.integers(0, m + 1)) for m in missing]
        around = [(b, m - b) for b, m in zip(before, missing, strict=True)]
        image = np.pad(image, [*around, (0, 0)], mode="edge")
        mask = np.pad(mask, around, constant_values=IGNORE_INDEX)
    top = int(random.integers(0, mask.shape[0] - crop_hw[0] + 1))
    left = int(random.integers(0, mask.shape[1] - crop_hw[1] + 1))
    rows, columns = slice(top, top + crop_hw[0]), slice(left, left + crop_hw[1])
    return image[rows, columns], mask[rows, columns]


def _recolor(image_HW3: Pixels, ranges: AugmentationRanges, random: np.random.Generator) -> Floats:
    """Turn the hue and stretch the saturation in YIQ, then stretch brightness and contrast, each by a random amount."""
    angle = random.uniform(-ranges.hue, ranges.hue) * 2 * np.pi
    saturation = 1 + random.uniform(-ranges.saturation, ranges.saturation)
    turn = np.eye(3, dtype=np.float32)
    turn[1:, 1:] = saturation * np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
    image = image_HW3.astype(np.float32) @ (np.linalg.inv(RGB_TO_YIQ) @ turn @ RGB_TO_YIQ).T
    image = image * (1 + random.uniform(-ranges.brightness, ranges.brightness))
    contrast = 1 + random.uniform(-ranges.contrast, ranges.contrast)
    mean = float((image @ RGB_TO_YIQ[0]).mean())
    recolored: Floats = np.clip((image - mean) * contrast + mean, 0, 255).astype(np.float32)
    return recolored


def _sense(image_HW3: Floats, ranges: AugmentationRanges, random: np.random.Generator) -> Floats:
    """Cast, gamma, blur and noise, each by a random amount; what is off draws nothing."""
    image = image_HW3
    if ranges.cast:
        red, blue = np.exp(random.uniform(np.log(1 - ranges.cast), np.log(1 + ranges.cast), 2))
        image = np.clip(image * np.array((red, 1, blue), np.float32), 0, 255)
    if ranges.gamma:
        exponent = np.float32(np.exp(random.uniform(-ranges.gamma, ranges.gamma)))
        image = np.power(image / np.float32(255), exponent) * np.float32(255)
    if ranges.blur and random.random() < ranges.blur:
        image = _blur(image, GREATEST_SIGMA * random.random())
    if ranges.noise:
        deviation = np.float32(ranges.noise * random.random())
        image = np.clip(image + deviation * random.standard_normal(image.shape, np.float32), 0, 255)
    return image


def _blur(image_HW3: Floats, sigma: float) -> Floats:
    """Convolve with a Gaussian along y and along x; beyond the image its edge goes on."""
    offsets = np.arange(-BLUR_RADIUS, BLUR_RADIUS + 1)
    kernel = np.exp(-0.5 * (offsets / max(sigma, 1e-3)) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    image = image_HW3
    for axis, length in enumerate(image_HW3.shape[:2]):
        sides = [(BLUR_RADIUS, BLUR_RADIUS) if other == axis else (0, 0) for other in range(3)]
        padded = np.pad(image, sides, mode="edge")
        image = np.zeros_like(image)
        for start, weight in enumerate(kernel):
            image += weight * padded.take(range(start, start + length), axis)
    return image
