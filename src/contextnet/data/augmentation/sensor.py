"""Random light and sensor of a whole batch: colour cast, then gamma, then blur, then noise, as in a camera.

Off unless a recipe asks for them; the paper has none of them. Images are float (N, 3, H, W) RGB of 0…255 throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from contextnet.data.augmentation.ranges import AugmentationRanges

GREATEST_SIGMA = 1.5
"""The widest blur, as the standard deviation of its Gaussian in pixels."""

BLUR_RADIUS = 4
"""Pixels to either side at which the Gaussian is cut off: 0.3 % of the widest one lie beyond."""

_LEAST_SIGMA = 1e-3


@dataclass(frozen=True)
class Sensor:
    """What light and sensor do to each image of a batch; None is off.

    ``gains`` of red, green and blue are (N, 3), ``exponents`` (N,), ``kernels`` (N, 5) as ``gaussian_kernels`` makes
    them, ``deviations`` of the noise (N,) in grey levels; all float. ``seeds`` are those of the noise, one an image.
    """

    gains: Tensor | None = None
    exponents: Tensor | None = None
    kernels: Tensor | None = None
    deviations: Tensor | None = None
    seeds: tuple[int, ...] = ()

    def __getitem__(self, part: slice | list[int]) -> Sensor:
        """Give what is done to some of the images: to neighbours, or to those at a list of places."""
        tensors = (self.gains, self.exponents, self.kernels, self.deviations)
        gains, exponents, kernels, deviations = (None if t is None else t[part] for t in tensors)
        seeds = self.seeds[part] if isinstance(part, slice) else tuple(self.seeds[p] for p in part if self.seeds)
        return Sensor(gains, exponents, kernels, deviations, seeds)


def draw_sensor(count: int, ranges: AugmentationRanges, generator: Generator) -> Sensor:
    """Draw light and sensor for ``count`` images; where all of it is off, nothing is drawn.

    Otherwise the same numbers are drawn whatever is on, so that one change more leaves the others as they are.
    """
    if not ranges.has_sensor:
        return Sensor()
    uniform = torch.rand((count, 6), generator=generator, device=generator.device)
    seeds = torch.randint(2**62, (count,), generator=generator, device=generator.device).tolist()
    low, high = 1 - ranges.cast, 1 + ranges.cast
    gains = torch.ones((count, 3), device=generator.device)
    gains[:, ::2] = low * (high / low) ** uniform[:, :2]
    sigmas = torch.where(uniform[:, 3] < ranges.blur, uniform[:, 4] * GREATEST_SIGMA, 0.0)
    return Sensor(
        gains if ranges.cast else None,
        ((uniform[:, 2] * 2 - 1) * ranges.gamma).exp() if ranges.gamma else None,
        gaussian_kernels(sigmas) if ranges.blur else None,
        uniform[:, 5] * ranges.noise if ranges.noise else None,
        tuple(seeds),
    )


def gaussian_kernels(sigmas: Tensor) -> Tensor:
    """Give one side of a Gaussian's weights for each sigma in pixels, (N,): float (N, 5), from its centre outwards.

    Both sides together add up to 1. A sigma of 0 has all its weight at the centre.
    """
    offsets = torch.arange(BLUR_RADIUS + 1, device=sigmas.device)
    kernels = (-0.5 * (offsets / sigmas.clamp(min=_LEAST_SIGMA)[:, None]).square()).exp()
    return kernels / (2 * kernels.sum(1, keepdim=True) - kernels[:, :1])


def sense(images: Tensor, sensor: Sensor) -> Tensor:
    """See images by light and sensor: cast, gamma, blur and noise in this order, each of them within 0…255."""
    if sensor.gains is not None:
        images = cast(images, sensor.gains)
    if sensor.exponents is not None:
        images = bend(images, sensor.exponents)
    if sensor.kernels is not None:
        images = blur(images, sensor.kernels)
    if sensor.deviations is not None:
        images = add_noise(images, sensor.deviations, sensor.seeds)
    return images


def cast(images: Tensor, gains: Tensor) -> Tensor:
    """Multiply the channels of each image by its gains, (N, 3), clamped to 0…255."""
    return (images * gains[:, :, None, None]).clamp_(0, 255)


def bend(images: Tensor, exponents: Tensor) -> Tensor:
    """Raise each image, as values of 0…1, to the power of its exponent, (N,); black and white stay what they are."""
    # Powers on a CPU differ in the last bit by where in memory a pixel stands, hence with the batch; these two do not.
    return (images / 255).log_().mul_(exponents[:, None, None, None]).exp_().mul_(255)


def blur(images: Tensor, kernels: Tensor) -> Tensor:
    """Blur each image by its kernel, (N, 5), first along y and then along x; beyond the image its edge goes on."""
    # A CPU passes over the images that stay sharp; to ask a GPU which they are would hold up the batch.
    chosen = kernels[:, 0] < 1 if images.device.type == "cpu" else slice(None)
    padded = F.pad(images[chosen], (BLUR_RADIUS,) * 4, mode="replicate")
    blurred = _smooth(_smooth(padded, kernels[chosen], axis=2), kernels[chosen], axis=3)
    seen = images.clone()
    seen[chosen] = blurred.clamp_(0, 255)
    return seen


def _smooth(padded: Tensor, kernels: Tensor, axis: int) -> Tensor:
    """Add up the pixels along an axis, weighed by their distance; that axis loses the padding on both sides."""
    # On a CPU shifted sums take a third of the time of a grouped convolution.
    length = padded.shape[axis] - 2 * BLUR_RADIUS
    weights = kernels.T[:, :, None, None, None]
    total = padded.narrow(axis, BLUR_RADIUS, length) * weights[0]
    for distance in range(1, BLUR_RADIUS + 1):
        before, after = (padded.narrow(axis, BLUR_RADIUS + shift, length) for shift in (-distance, distance))
        total.addcmul_(before + after, weights[distance])
    return total


def add_noise(images: Tensor, deviations: Tensor, seeds: tuple[int, ...]) -> Tensor:
    """Add Gaussian noise of each image's standard deviation, (N,) in grey levels, to all channels; clamped to 0…255.

    The noise of an image is a function of its seed, its size and the device.
    """
    noise = torch.empty(images.shape, device=images.device)
    for plane, seed in zip(noise, seeds, strict=True):
        plane.normal_(generator=Generator(images.device).manual_seed(seed))
    return noise.mul_(deviations[:, None, None, None]).add_(images).clamp_(0, 255)
