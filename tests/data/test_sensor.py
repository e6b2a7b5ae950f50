"""Light and sensor: given pixels by hand, the Gaussian, what noise is like, and what the draws look like."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from contextnet.data.augmentation import NO_AUGMENTATION, AugmentationRanges, Sensor, draw_sensor, sense
from contextnet.data.augmentation.sensor import add_noise, bend, blur, cast, gaussian_kernels

ALL = replace(NO_AUGMENTATION, cast=0.3, gamma=0.3, blur=0.4, noise=8.0)


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def drawn(count: int = 2000, seed: int = 0, **ranges: float) -> Sensor:
    return draw_sensor(count, replace(NO_AUGMENTATION, **ranges), generator(seed))


def pixel(*rgb: float) -> Tensor:
    return torch.tensor(rgb).view(1, 3, 1, 1)


@pytest.mark.parametrize(
    ("rgb", "gains", "expected"),
    [
        ((100, 200, 40), (1.2, 1, 0.5), (120, 200, 20)),
        ((250, 250, 250), (1.3, 1, 0.7), (255, 250, 175)),
        ((0, 255, 255), (1.3, 1, 1), (0, 255, 255)),
    ],
)
def test_cast_multiplies_each_channel_and_clamps(
    rgb: tuple[float, ...], gains: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    assert cast(pixel(*rgb), torch.tensor([gains])).flatten().tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("exponent", "rgb", "expected"),
    [
        (1.0, (0, 100, 255), (0, 100, 255)),
        (2.0, (127.5, 51, 0), (63.75, 10.2, 0)),
        (0.5, (63.75, 10.2, 255), (127.5, 51, 255)),
        # exp(0.3): 255 · (100 / 255)^1.349859.
        (math.exp(0.3), (100, 1, 254), (72.07229, 0.143897, 253.6511)),
    ],
)
def test_gamma_is_a_power_of_the_share_of_white(
    exponent: float, rgb: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    bent = bend(pixel(*rgb), torch.tensor([exponent]))
    assert bent.flatten().tolist() == pytest.approx(expected, rel=2e-4, abs=1e-4)
    assert bent.max() <= 255


@pytest.mark.parametrize("sigma", [0.3, 0.5, 0.8, 1.0, 1.5])
def test_blur_of_a_point_is_the_gaussian(sigma: float) -> None:
    image = torch.zeros(1, 3, 21, 25)
    image[:, :, 9, 12] = 200
    seen = blur(image, gaussian_kernels(torch.tensor([sigma])))
    weights = np.exp(-(np.arange(-40, 41) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    expected = 200 * np.outer(weights[31:52], weights[28:53])
    # Beyond four pixels 0.3 % of the widest Gaussian are cut off, along y and along x.
    for channel in seen[0].numpy():
        np.testing.assert_allclose(channel, expected, atol=0.006 * expected.max())
    assert seen.sum().item() == pytest.approx(600, rel=1e-5)
    assert torch.equal(seen, seen.flip(2).roll(-2, 2)), "as much above as below"
    beyond = seen.clone()
    beyond[:, :, 5:14, 8:17] = 0
    assert not beyond.any()


def test_blur_of_a_point_by_hand() -> None:
    # For a sigma of 1 the weights are 1, exp(-1/2), exp(-2), exp(-9/2), exp(-8) over 2.506621.
    image = torch.zeros(1, 3, 9, 9)
    image[:, 1, 4, 4] = 100
    seen = blur(image, gaussian_kernels(torch.tensor([1.0])))[0, 1]
    assert seen[4, 4:].tolist() == pytest.approx([15.91558, 9.65329, 2.15395, 0.176806, 0.00533911], rel=1e-4)
    assert seen[3, 5].item() == pytest.approx(5.85502, rel=1e-4)


def test_blur_goes_on_beyond_the_edge_and_leaves_sharp_images_alone() -> None:
    images = torch.rand((3, 3, 7, 5), generator=generator(1)) * 255
    kernels = gaussian_kernels(torch.tensor([1.5, 0.0, 0.9]))
    seen = blur(images, kernels)
    assert torch.equal(seen[1], images[1])
    assert torch.equal(blur(images[1:2], kernels[1:2]), images[1:2])
    weights = kernels.double().numpy()
    for k in (0, 2):
        taps = np.concatenate((weights[k][:0:-1], weights[k]))
        padded = np.pad(images[k].double().numpy(), ((0, 0), (4, 4), (4, 4)), mode="edge")
        rows = sum(taps[d] * padded[:, d : d + 7] for d in range(9))
        expected = sum(taps[d] * rows[:, :, d : d + 5] for d in range(9))
        np.testing.assert_allclose(seen[k].numpy(), expected, atol=1e-3)
    level = torch.full((1, 3, 6, 6), 255.0)
    seen = blur(level, gaussian_kernels(torch.tensor([1.5])))
    assert seen.max() <= 255
    torch.testing.assert_close(seen, level, rtol=0, atol=1e-3)


def test_noise_has_the_deviation_asked_for_in_every_pixel_and_channel() -> None:
    # 49152 values: a mean is off by 0.045, a deviation by 0.032 (one standard error each).
    images = torch.full((3, 3, 128, 128), 128.0)
    seen = add_noise(images, torch.tensor([10.0, 0.0, 3.0]), (5, 6, 7))
    assert torch.equal(seen[1], images[1])
    noise = (seen - images).double()
    for k, deviation in ((0, 10.0), (2, 3.0)):
        assert noise[k].mean().item() == pytest.approx(0, abs=0.02 * deviation)
        assert noise[k].std().item() == pytest.approx(deviation, rel=0.015)
        inside = (noise[k].abs() < deviation).double().mean().item()
        assert inside == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.01)
    series = torch.stack((*noise[0].flatten(1), noise[2, 0].flatten(), noise[0, 0].roll(1, 1).flatten()))
    others = torch.corrcoef(series) - torch.eye(5)
    assert others.abs().max() < 0.04, "channels, images and neighbours are independent"


def test_noise_stays_within_what_an_image_holds() -> None:
    images = torch.stack((torch.zeros(3, 50, 50), torch.full((3, 50, 50), 255.0)))
    black, white = add_noise(images, torch.tensor([9.0, 9.0]), (1, 2))
    assert black.min() == 0
    assert white.max() == 255
    # What would go beyond stays at the end, the other half is the half of a Gaussian of mean 9 · √(2/π).
    assert (black == 0).double().mean().item() == pytest.approx(0.5, abs=0.03)
    assert black[black > 0].mean().item() == pytest.approx(9 * math.sqrt(2 / math.pi), rel=0.05)
    assert (255 - white[white < 255]).mean().item() == pytest.approx(9 * math.sqrt(2 / math.pi), rel=0.05)


def test_noise_is_a_function_of_the_images_own_seed() -> None:
    images, deviations = torch.full((3, 3, 5, 7), 100.0), torch.tensor([4.0, 5.0, 6.0])
    seen = add_noise(images, deviations, (11, 12, 13))
    for k in range(3):
        one = slice(k, k + 1)
        assert torch.equal(add_noise(images[one], deviations[one], (11 + k,)), seen[one])
    assert not torch.equal(add_noise(images, deviations, (11, 12, 14))[2], seen[2])


def test_cast_comes_first_then_gamma_then_blur_then_noise() -> None:
    sensor = draw_sensor(4, ALL, generator(3))
    assert sensor.gains is not None
    assert sensor.exponents is not None
    assert sensor.kernels is not None
    assert sensor.deviations is not None
    kernels = gaussian_kernels(torch.full((4,), 1.2))
    sensor = replace(sensor, kernels=kernels)
    images = torch.rand((4, 3, 12, 16), generator=generator(2)) * 255
    steps = [
        lambda seen: cast(seen, sensor.gains),
        lambda seen: bend(seen, sensor.exponents),
        lambda seen: blur(seen, kernels),
        lambda seen: add_noise(seen, sensor.deviations, sensor.seeds),
    ]

    def apply(order: list[int]) -> Tensor:
        seen = images
        for k in order:
            seen = steps[k](seen)
        return seen

    right = [0, 1, 2, 3]
    before = images.clone()
    assert torch.equal(sense(images, sensor), apply(right))
    assert torch.equal(images, before), "the images that were given stay as they are"
    for first, second in pairwise(right):
        swapped = [{first: second, second: first}.get(k, k) for k in right]
        assert not torch.allclose(apply(swapped), apply(right), atol=0.5)


def test_cast_before_gamma_by_hand() -> None:
    sensor = Sensor(gains=torch.tensor([[1.2, 1.0, 0.8]]), exponents=torch.tensor([2.0]))
    # 100 · 1.2 = 120 and 255 · (120 / 255)² = 56.4706; 240 · 1.2 is clamped to 255, which gamma leaves.
    assert sense(pixel(100, 100, 100), sensor).flatten().tolist() == pytest.approx(
        [56.4706, 39.2157, 25.0980], abs=1e-3
    )
    assert sense(pixel(240, 0, 255), sensor).flatten().tolist() == pytest.approx([255, 0, 163.2], abs=1e-3)


def test_gains_are_drawn_in_the_logarithm_and_green_has_none() -> None:
    gains = drawn(cast=0.3).gains
    assert gains is not None
    red, green, blue = gains.T
    assert torch.equal(green, torch.ones(2000))
    for gain in (red, blue):
        assert 0.7 <= gain.min() < 0.71
        assert 1.29 < gain.max() <= 1.3
        # Half of them lie below the geometric mean of 0.7 and 1.3.
        assert (gain < math.sqrt(0.7 * 1.3)).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert torch.corrcoef(torch.stack((red, blue)))[0, 1].abs() < 0.07


def test_exponents_are_drawn_in_the_logarithm() -> None:
    exponents = drawn(gamma=0.3).exponents
    assert exponents is not None
    logs = exponents.log()
    assert -0.3 <= logs.min() < -0.29
    assert 0.29 < logs.max() <= 0.3001
    for share in (0.25, 0.5, 0.75):
        assert (logs < -0.3 + 0.6 * share).float().mean().item() == pytest.approx(share, abs=0.03)


def test_blur_falls_on_its_share_with_a_sigma_up_to_one_and_a_half() -> None:
    kernels = drawn(blur=0.3).kernels
    assert kernels is not None
    assert ((2 * kernels.sum(1) - kernels[:, 0]) - 1).abs().max() < 1e-6
    blurred = kernels[kernels[:, 1] > 0]
    # Below a sigma of 0.07 the neighbours' weight is too small for a float.
    assert len(blurred) / 2000 == pytest.approx(0.3 * (1 - 0.07 / 1.5), abs=0.03)
    sigmas = (-0.5 / (blurred[:, 1] / blurred[:, 0]).log()).sqrt()
    assert 1.45 < sigmas.max() <= 1.5001
    assert (sigmas < 0.75).float().mean().item() == pytest.approx(0.5, abs=0.06)
    everything = drawn(blur=1.0).kernels
    assert everything is not None
    assert (everything[:, 1] > 0).float().mean() > 0.93


def test_noise_is_up_to_what_is_asked_for_and_has_a_seed_an_image() -> None:
    sensor = drawn(noise=8.0)
    assert sensor.deviations is not None
    assert 0 <= sensor.deviations.min() < 0.05
    assert 7.95 < sensor.deviations.max() <= 8
    assert (sensor.deviations < 4).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert len(set(sensor.seeds)) == 2000


@pytest.mark.parametrize(
    ("name", "field"), [("cast", "gains"), ("gamma", "exponents"), ("blur", "kernels"), ("noise", "deviations")]
)
def test_what_is_on_beside_it_leaves_a_draw_as_it_is(name: str, field: str) -> None:
    together = draw_sensor(6, ALL, generator(5))
    alone = draw_sensor(6, replace(NO_AUGMENTATION, **{name: getattr(ALL, name)}), generator(5))
    assert torch.equal(getattr(alone, field), getattr(together, field))
    assert alone.seeds == together.seeds
    others = {"gains", "exponents", "kernels", "deviations"} - {field}
    assert all(getattr(alone, other) is None for other in others)


def test_draws_depend_on_the_generator_alone() -> None:
    first, same, other = (draw_sensor(6, ALL, generator(seed)) for seed in (1, 1, 2))
    assert first.gains is not None
    assert same.gains is not None
    assert other.gains is not None
    assert torch.equal(first.gains, same.gains)
    assert first.seeds == same.seeds
    assert not torch.equal(first.gains, other.gains)
    assert set(first.seeds).isdisjoint(other.seeds)


def test_off_draws_nothing_and_changes_nothing() -> None:
    random = generator(4)
    before = random.get_state()
    assert draw_sensor(5, AugmentationRanges(), random) == Sensor()
    assert torch.equal(random.get_state(), before)
    images = torch.rand((2, 3, 4, 4), generator=generator(1)) * 255
    assert torch.equal(sense(images, Sensor()[1:]), images)


@pytest.mark.parametrize("size_hw", [(8, 8), (24, 31), (127, 131)])
@pytest.mark.parametrize("threads", [1, 2])
def test_image_of_a_batch_is_what_it_would_be_alone(size_hw: tuple[int, int], threads: int) -> None:
    images = torch.rand((5, 3, *size_hw), generator=generator(6)) * 255
    sensor = draw_sensor(5, replace(ALL, blur=0.7), generator(7))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = sense(images, sensor)
        parts = [sense(images[part], sensor[part]) for part in (slice(0, 1), slice(1, 4), slice(4, 5))]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.cat(parts), whole)
    assert 0 <= whole.min() <= whole.max() <= 255
