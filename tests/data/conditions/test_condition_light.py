"""Light and values, exposure, darkness, noise, white balance, contrast: figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from contextnet.data.conditions.contrast import LowContrast
from contextnet.data.conditions.exposure import Darkness, OverExposure
from contextnet.data.conditions.noise import SensorNoise
from contextnet.data.conditions.srgb import encoded, luminance, to_light, to_picture
from contextnet.data.conditions.white_balance import WhiteBalance, chromaticity, gains


def flat(value: int, size_hw: tuple[int, int] = (4, 6)) -> np.ndarray:
    return np.full((*size_hw, 3), value, np.uint8)


def random() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize(("value", "light"), [(0, 0.0), (10, 0.003035), (118, 0.181164), (188, 0.502886), (255, 1.0)])
def test_light_of_a_value(value: int, light: float) -> None:
    assert to_light(flat(value)).max() == pytest.approx(light, rel=1e-4)


def test_every_value_comes_back() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_array_equal(to_picture(to_light(image)), image)


@pytest.mark.parametrize(
    ("exposure", "value", "expected"),
    [
        (1, 10, 18),  # 0.003035 · 2 = 0.006070 → 0.0708
        (1, 118, 162),  # 0.181164 · 2 = 0.362329 → 0.6361
        (2, 118, 221),  # 0.724657 → 0.8675
        (1, 188, 255),  # 1.0058 is cut off
        (0, 77, 77),
    ],
)
def test_over_exposure_doubles_light(exposure: float, value: int, expected: int) -> None:
    assert np.unique(OverExposure(exposure).worsen(flat(value), random())).tolist() == [expected]


@pytest.mark.parametrize(
    ("exposure", "gamma", "value", "expected"),
    [
        (1, 1.0, 255, 188),  # half of white
        (2, 1.0, 188, 99),  # 0.502886 / 4 = 0.125722 → 0.3895
        (2, 2.0, 188, 39),  # 0.3895² = 0.1517
        (0, 1.5, 118, 80),  # 0.46275 ^ 1.5 = 0.3148
    ],
)
def test_darkness_divides_light_and_then_bends_the_curve(
    exposure: float, gamma: float, value: int, expected: int
) -> None:
    """With so many electrons there is hardly any noise."""
    found = Darkness(exposure, gamma, 10**12).worsen(flat(value), random())
    assert np.unique(found).tolist() == [expected]


@pytest.mark.parametrize("electrons", [100, 300, 1000])
@pytest.mark.parametrize("value", [118, 160, 200])
def test_noise_has_the_variance_of_photons_and_reading(electrons: int, value: int) -> None:
    noisy = to_light(SensorNoise(electrons).worsen(flat(value, (200, 300)), random())).astype(np.float64)
    light = ((value / 255 + 0.055) / 1.055) ** 2.4
    variance = (light * electrons + 9) / electrons**2
    # 180,000 draws know a variance to 0.3 %.
    assert noisy.mean() == pytest.approx(light, rel=0.01)
    assert noisy.var() == pytest.approx(variance, rel=0.03)
    assert abs(np.corrcoef(noisy[..., 0].ravel(), noisy[..., 1].ravel())[0, 1]) < 0.02


def test_black_is_brighter_by_the_half_of_its_noise_that_is_not_cut_off() -> None:
    noisy = to_light(SensorNoise(100).worsen(flat(0, (200, 300)), random())).astype(np.float64)
    # Of a normal error of 3 electrons the positive half has the mean 3 / √(2π) = 1.197.
    assert noisy.mean() == pytest.approx(0.01197, rel=0.02)
    assert (noisy == 0).mean() == pytest.approx(0.5, abs=0.03)


def test_noise_of_mid_grey_in_values() -> None:
    """σ of the light is √(0.1812 · 300 + 9) / 300 = 0.02653; the curve is 303.7 values a unit steep there: 8.06."""
    noisy = SensorNoise(300).worsen(flat(118, (200, 300)), random())
    assert noisy.std() == pytest.approx(8.06, rel=0.03)


def test_darkness_is_noisier_than_the_light_it_leaves() -> None:
    dark = Darkness(2, 1.0, 500).worsen(flat(188, (200, 300)), random())
    # 0.125722 · 500 = 62.86 electrons; √(62.86 + 9) / 500 = 0.01695; 255 · 0.43958 · 0.125722 ^ -0.58333 = 376.0
    assert dark.std() == pytest.approx(6.37, rel=0.05)


@pytest.mark.parametrize(
    ("temperature", "x", "y"),
    # CIE's own chromaticities of glowing bodies: 2856 K is illuminant A.
    [
        (2856, 0.4476, 0.4074),
        (4000, 0.3805, 0.3768),
        (5000, 0.3451, 0.3516),
        (6500, 0.3135, 0.3237),
        (10000, 0.2807, 0.2884),
    ],
)
def test_chromaticity_of_a_glowing_body(temperature: float, x: float, y: float) -> None:
    assert chromaticity(temperature) == pytest.approx((x, y), abs=0.0006)


@pytest.mark.parametrize("temperature", [1666, 25001])
def test_colours_beyond_what_is_known_are_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="1667 to 25000 K"):
        chromaticity(temperature)


def test_daylight_changes_nothing_and_grey_keeps_its_luminance() -> None:
    image = np.random.default_rng(2).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(WhiteBalance(6500).worsen(image, random()), image)
    for temperature in (3500, 4500, 10000, 15000):
        assert float(luminance(gains(temperature))) == pytest.approx(1, abs=1e-6)


def test_warm_is_red_and_cool_is_blue() -> None:
    red, green, blue = gains(4500)
    assert red > green > blue
    red, green, blue = gains(10000)
    assert red < green < blue
    warm = WhiteBalance(4500).worsen(flat(118), random())[0, 0]
    # 0.181164 times each gain, through the curve.
    expected = 255 * encoded((np.float32(0.181164) * gains(4500))[None, None])[0, 0]
    assert warm.tolist() == np.rint(expected).astype(int).tolist()


@pytest.mark.parametrize(("share", "expected"), [(1.0, [50, 150]), (0.5, [75, 125]), (0.3, [85, 115])])
def test_contrast_is_drawn_towards_the_mean(share: float, expected: list[int]) -> None:
    image = np.concatenate([flat(50), flat(150)])
    assert np.unique(LowContrast(share).worsen(image, random())).tolist() == expected
