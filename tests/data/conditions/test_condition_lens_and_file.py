"""Dirt on the lens, JPEG, and another size."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from contextnet.data.conditions.dirt import Dirt, spots
from contextnet.data.conditions.jpeg import JpegCompression
from contextnet.data.conditions.scaling import Scaling, labels_at
from street_picture import street_picture


def dct_matrix() -> np.ndarray:
    k, n = np.mgrid[:8, :8]
    return np.where(k == 0, np.sqrt(1 / 8), np.sqrt(2 / 8)) * np.cos(np.pi * (2 * n + 1) * k / 16)


@pytest.mark.parametrize("quality", [30, 15, 8])
def test_jpeg_leaves_multiples_of_its_quantization_table(quality: int) -> None:
    """Of a grey image every block of 8×8 is rebuilt from coefficients that stand in a JPEG file."""
    grey = street_picture((64, 96))[..., :1].clip(60, 190).repeat(3, axis=2)
    worse = JpegCompression(quality).worsen(grey, np.random.default_rng(0))
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "JPEG", quality=quality)
    table = np.array(Image.open(file).quantization[0]).reshape(8, 8)
    blocks = worse[..., 0].reshape(8, 8, 12, 8).transpose(0, 2, 1, 3).astype(float) - 128
    coefficients = dct_matrix() @ blocks @ dct_matrix().T
    off = np.abs(coefficients - np.rint(coefficients / table) * table)
    # Pixels are rounded to whole values. That moves an even block's first coefficient, 8 times its value, by up to 4,
    # and the others by a normal error of σ = √(1/12) = 0.29.
    assert off[..., 0, 0].max() < 4.1
    assert np.quantile(np.delete(off.reshape(-1, 64), 0, axis=1), 0.99) < 1.2
    assert np.abs(worse.astype(int) - grey).mean() > 1


def test_jpeg_halves_the_colours() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, ::2], image[:, 1::2] = (200, 60, 60), (60, 60, 200)
    worse = JpegCompression(95).worsen(image, np.random.default_rng(0)).astype(int)
    red_over_blue = worse[..., 0] - worse[..., 2]
    assert np.abs(red_over_blue).max() < 40, "columns of one pixel lose their colour where colours have half the size"


@pytest.mark.parametrize("covered", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("size_hw", [(120, 160), (256, 512)])
def test_spots_cover_what_is_asked_for_and_no_more_than_a_spot_besides(
    covered: float, size_hw: tuple[int, int]
) -> None:
    found = spots(size_hw, covered, np.random.default_rng(7)).mean()
    # A spot has a radius of at most 8 % of the height, half as much again in its waves.
    largest = np.pi * (0.08 * 1.5 * size_hw[0]) ** 2 / (size_hw[0] * size_hw[1])
    assert covered <= found <= covered + largest


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 9)])
def test_the_smallest_images_get_dirty_in_finite_time(size_hw: tuple[int, int]) -> None:
    assert spots(size_hw, 0.1, np.random.default_rng(0)).any()


def test_dirt_hides_where_its_spots_are_and_nothing_far_from_them() -> None:
    image = street_picture((240, 320))
    worse = Dirt(0.05).worsen(image, np.random.default_rng(9))
    where = spots((240, 320), 0.05, np.random.default_rng(9))
    changed = np.abs(worse.astype(int) - image).max(axis=2)
    assert changed[where].mean() > 20
    assert (changed > 1).mean() < 3 * where.mean(), "edges are soft by 2 % of the height, not everywhere"
    fewer = spots((240, 320), 0.02, np.random.default_rng(9))
    assert not (fewer & ~where).any(), "spots of a cleaner lens are among those of a dirtier one"


@pytest.mark.parametrize(
    ("scale", "size_hw", "expected"),
    [(0.8, (360, 480), (288, 384)), (1.2, (360, 480), (432, 576)), (0.65, (5, 3), (3, 2)), (0.1, (3, 3), (1, 1))],
)
def test_sizes(scale: float, size_hw: tuple[int, int], expected: tuple[int, int]) -> None:
    assert Scaling(scale).size_of(size_hw) == expected
    assert Scaling(scale).resize(np.zeros((*size_hw, 3), np.uint8)).shape == (*expected, 3)


def test_half_the_size_is_the_mean_of_what_lies_around_a_pixel() -> None:
    """A triangle of twice the new pixel's width: weights 1, 3, 3, 1 of 8 within the image."""
    image = np.zeros((1, 8, 3), np.uint8)
    image[0, 2:4] = 80
    half = Scaling(0.5).resize(image.repeat(8, axis=0))
    assert half[2, :, 0].tolist() == [11, 60, 10, 0]  # at the edge 7 of the 8 parts are there: 80 · 1 / 7


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (8, 10, [0, 1, 2, 2, 3, 4, 5, 6, 6, 7]),
        (12, 10, [0, 1, 3, 4, 5, 6, 7, 9, 10, 11]),
        (5, 5, [0, 1, 2, 3, 4]),
        (1, 3, [0, 0, 0]),
    ],
)
def test_labels_take_the_row_and_the_column_in_which_their_middle_falls(
    old: int, new: int, expected: list[int]
) -> None:
    rows = np.arange(old, dtype=np.uint8)[:, None].repeat(2, axis=1)
    assert labels_at(rows, (new, 2))[:, 0].tolist() == expected
    assert labels_at(rows.T, (2, new))[0].tolist() == expected
