"""Haze and rain."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from contextnet.data.conditions.haze import Haze, air_light, distances, veiled
from contextnet.data.conditions.rain import Rain
from contextnet.data.conditions.srgb import to_light
from street_picture import street_picture


@pytest.mark.parametrize(
    ("row", "column", "distance"),
    [
        # The ground: 1.4 m · 480 px / (row + ½ - 180).
        (246, 240, 1.4 * 480 / 66.5),
        (359, 240, 1.4 * 480 / 179.5),
        # The walls: 10 m · 480 px / |column + ½ - 240|.
        (20, 0, 10 * 480 / 239.5),
        (179, 479, 10 * 480 / 239.5),
        # The end of the street, above the horizon and right below it.
        (20, 240, 100.0),
        (180, 240, 100.0),
        # Where wall and ground meet, the nearer one counts.
        (359, 479, 1.4 * 480 / 179.5),
    ],
)
def test_distances_of_the_street(row: int, column: int, distance: float) -> None:
    assert distances((360, 480))[row, column] == pytest.approx(distance, rel=1e-5)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), (5, 1)])
def test_the_smallest_images_have_distances(size_hw: tuple[int, int]) -> None:
    found = distances(size_hw)
    assert found.shape == size_hw
    assert np.all((found > 0) & (found <= 100))


def test_at_the_visibility_five_per_cent_of_the_contrast_are_left() -> None:
    light = np.zeros((100, 100, 3), np.float32)
    light[:10] = 0.8  # a sky over a tenth of the image is its 95th percentile
    mixed = veiled(light, 100)
    assert air_light(light) == pytest.approx(0.8)
    # Black, at the end of the street, 100 m ahead.
    assert mixed[30, 50] == pytest.approx([0.8 * (1 - exp(-3))] * 3, rel=1e-5)
    assert mixed[5] == pytest.approx(np.full((100, 3), 0.8), rel=1e-5)


def test_haze_hides_what_is_far_more_than_what_is_near() -> None:
    image = street_picture()
    lost = np.abs(to_light(Haze(150).worsen(image, np.random.default_rng(0))) - to_light(image)).mean(axis=2)
    assert lost[92:96, 100:140].mean() > 3 * lost[170:, 100:140].mean()


def test_streaks_fall_and_are_brighter_than_what_they_hide() -> None:
    image = np.full((120, 160, 3), 40, np.uint8)
    image[:12] = 230
    dry = Haze(500).worsen(image, np.random.default_rng(3)).astype(int)
    wet = Rain(800, 0.3, 500).worsen(image, np.random.default_rng(3)).astype(int)
    brighter = (wet - dry)[12:]
    assert brighter.min() >= -1
    assert brighter.max() > 10
    # Along a streak values change less than across.
    along, across = np.abs(np.diff(brighter, axis=0)).mean(), np.abs(np.diff(brighter, axis=1)).mean()
    assert across > 1.5 * along


@pytest.mark.parametrize(("drops", "opacity"), [(0, 0.3), (800, 0.0)])
def test_rain_without_streaks_is_haze(drops: int, opacity: float) -> None:
    image = street_picture()
    dry = Haze(500).worsen(image, np.random.default_rng(0))
    np.testing.assert_array_equal(Rain(drops, opacity, 500).worsen(image, np.random.default_rng(0)), dry)


def test_streaks_of_a_lighter_rain_are_among_those_of_a_heavier_one() -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[:12] = 255
    light, heavy = (Rain(n, 0.3, 1e9).worsen(image, np.random.default_rng(5)).astype(int) for n in (200, 900))
    assert light.sum() < heavy.sum()
    assert (heavy - light).min() >= -1
