"""Kernels, convolution, and the two ways of not being sharp."""

from __future__ import annotations

from math import pi

import numpy as np
import pytest

from contextnet.data.conditions.blur import Defocus, MotionBlur
from contextnet.data.conditions.convolution import convolve
from contextnet.data.conditions.kernels import disc, line
from contextnet.data.conditions.srgb import to_light


@pytest.mark.parametrize("radius", [0.0, 0.1, 0.5, 0.7, 1.0, 1.5, 2.16, 6.3])
def test_a_disc_is_round_and_adds_up_to_one(radius: float) -> None:
    kernel = disc(radius)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel, kernel[::-1])


@pytest.mark.parametrize(
    ("radius", "centre", "beside", "corner"),
    [
        # The disc lies in its own pixel.
        (0.5, 1.0, 0.0, 0.0),
        # Beyond the middle column lies π/3 - √3/4 = 0.614 of the area π, each corner (π/3 + 1 - √3) / 4 = 0.079.
        (1.0, 1 / pi, 0.4566 / pi, 0.0788 / pi),
    ],
)
def test_a_disc_gives_each_pixel_its_area(radius: float, centre: float, beside: float, corner: float) -> None:
    kernel = np.pad(disc(radius), 1)
    middle = kernel.shape[0] // 2
    found = kernel[middle, middle], kernel[middle, middle + 1], kernel[middle + 1, middle + 1]
    # A pixel is judged at 16 × 16 points.
    assert found == pytest.approx((centre, beside, corner), abs=0.004)


@pytest.mark.parametrize("length", [0.0, 0.5, 1.0, 3.6, 7.2, 14.4])
@pytest.mark.parametrize("angle", [0.0, 0.3, pi / 4, pi / 2, 2.5])
def test_a_line_adds_up_to_one_and_is_as_long_as_said(length: float, angle: float) -> None:
    kernel = line(length, angle)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    reach = kernel.shape[0] // 2
    offsets = np.arange(-reach, reach + 1)
    mean_x, mean_y = (kernel.sum(axis=0) * offsets).sum(), (kernel.sum(axis=1) * offsets).sum()
    assert (mean_x, mean_y) == pytest.approx((0, 0), abs=1e-5)
    # Along the line the variance is length² / 12; sharing among pixels adds less than 1/4.
    along = offsets[None, :] * np.cos(angle) + offsets[:, None] * np.sin(angle)
    variance = (kernel * along**2).sum()
    assert length**2 / 12 - 0.02 <= variance <= length**2 / 12 + 0.27


def test_a_line_of_four_pixels_along_a_row() -> None:
    # From -2 to 2: the inner pixels have their whole width, the outermost share theirs: half of a pixel's width each.
    expected = np.zeros((5, 5))
    expected[2] = np.array([0.5, 1, 1, 1, 0.5]) / 4
    np.testing.assert_allclose(line(4, 0.0), expected, atol=1e-6)
    np.testing.assert_allclose(line(4, pi / 2), expected.T, atol=1e-6)


def test_convolution_equals_the_sum_over_the_kernel() -> None:
    random = np.random.default_rng(4)
    values, kernel = random.random((9, 14, 3), np.float32), random.random((3, 5), np.float32)
    padded = np.pad(values, ((1, 1), (2, 2), (0, 0)), mode="edge")
    expected = sum(kernel[2 - y, 4 - x] * padded[y : y + 9, x : x + 14] for y in range(3) for x in range(5))
    np.testing.assert_allclose(convolve(values, kernel), expected, atol=1e-4)


@pytest.mark.parametrize("worsening", [Defocus(0.05), MotionBlur(0.2)])
def test_an_even_image_stays_as_it_is_up_to_its_edges(worsening: Defocus | MotionBlur) -> None:
    image = np.full((40, 50, 3), (17, 130, 250), np.uint8)
    np.testing.assert_array_equal(worsening.worsen(image, np.random.default_rng(0)), image)


def test_light_is_spread_not_values() -> None:
    """A white point that is spread over π · 3² pixels leaves 1/28.3 of its light in each: the value 53, not 9."""
    image = np.zeros((100, 100, 3), np.uint8)
    image[50, 50] = 255
    blurred = Defocus(0.03).worsen(image, np.random.default_rng(0))
    # 1.055 · (1 / 28.27) ^ (1 / 2.4) - 0.055 = 0.2071; · 255 = 52.8
    assert blurred[50, 50].tolist() == pytest.approx([52.8] * 3, abs=1)
    assert to_light(blurred)[..., 0].sum() == pytest.approx(1, abs=0.05)
    assert blurred[50, 54:].max() == 0


def test_the_direction_of_motion_comes_from_the_generator_alone() -> None:
    image = np.random.default_rng(1).integers(0, 256, (60, 60, 3), np.uint8)
    one, same, other = (MotionBlur(0.1).worsen(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).mean() > 0.5
