from __future__ import annotations

import numpy as np
import pytest
from moving_pictures import picture
from numpy.typing import NDArray

from contextnet.runtime.smoothing.motion import AlongMotion

SIZE_HW = (128, 256)
CELLS_HW = (16, 32)
INNER = (slice(None), slice(3, -3), slice(5, -5))


def random_scores(seed: int, classes: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 2, (classes, *CELLS_HW)).astype(np.float32)


def test_where_nothing_moves_it_is_the_plain_mean() -> None:
    image, first, second = picture(SIZE_HW, 1), random_scores(1), random_scores(2)
    smoother = AlongMotion(0.75)
    np.testing.assert_array_equal(smoother.smooth(first, image), first)
    np.testing.assert_allclose(smoother.smooth(second, image), 0.75 * first + 0.25 * second, atol=1e-4)


@pytest.mark.parametrize("cells", [(0, 2), (1, -3)])
def test_scores_move_with_the_picture(cells: tuple[int, int]) -> None:
    """Everything comes from ``cells`` away, so what is averaged with is the score from there."""
    rows, columns = np.mgrid[: CELLS_HW[0], : CELLS_HW[1]]
    before = np.stack([rows, columns]).astype(np.float32)
    smoother = AlongMotion(0.5)
    smoother.smooth(before, picture(SIZE_HW, 2))
    found = smoother.smooth(np.zeros_like(before), picture(SIZE_HW, 2, (8 * cells[0], 8 * cells[1])))
    expected = 0.5 * (before + np.array(cells, np.float32)[:, None, None])
    np.testing.assert_allclose(found[INNER], expected[INNER], rtol=0.05, atol=0.15)


@pytest.mark.parametrize(("side", "cells"), [(1, (3, -4)), (2, (2, 3)), (4, (0, 2)), (4, (1, -3))])
def test_scores_of_finer_cells_move_with_the_picture(side: int, cells: tuple[int, int]) -> None:
    """As above, where a score spans fewer pixels: the shift is as many cells, so fewer pixels."""
    size_hw = (128, 192)
    cells_hw = (size_hw[0] // side, size_hw[1] // side)
    rows, columns = np.mgrid[: cells_hw[0], : cells_hw[1]]
    before = np.stack([rows, columns]).astype(np.float32)
    smoother = AlongMotion(0.5, side)
    np.testing.assert_array_equal(smoother.smooth(before, picture(size_hw, 2)), before)
    found = smoother.smooth(np.zeros_like(before), picture(size_hw, 2, (side * cells[0], side * cells[1])))
    expected = 0.5 * (before + np.array(cells, np.float32)[:, None, None])
    edge_y, edge_x = cells_hw[0] // 5, cells_hw[1] // 5
    error = np.abs(found - expected)[:, edge_y:-edge_y, edge_x:-edge_x]
    assert error.mean() < 0.05
    assert error.max() < 0.25


@pytest.mark.parametrize("side", [1, 4])
def test_finer_cells_of_images_that_are_padded(side: int) -> None:
    scores = np.ones((2, 40 // side, 56 // side), np.float32)
    smoother = AlongMotion(side=side)
    for _ in range(2):
        np.testing.assert_allclose(smoother.smooth(scores, picture((37, 53), 7)), scores, atol=1e-5)
    with pytest.raises(ValueError, match=rf"cells of {side}×{side}"):
        smoother.smooth(scores, picture((41, 53), 7))


def test_what_the_motion_does_not_explain_is_left_as_it_is() -> None:
    """A cut: black becomes white. 255 levels leave 1 / (1 + (255 / 12)²) = 0.22 % of the weight."""
    smoother, first, second = AlongMotion(0.5), random_scores(3), random_scores(4)
    smoother.smooth(first, np.zeros((*SIZE_HW, 3), np.uint8))
    found = smoother.smooth(second, np.full((*SIZE_HW, 3), 255, np.uint8))
    np.testing.assert_allclose(found, second + 0.5 / 452.6 * (first - second), atol=1e-4)


def test_what_comes_in_from_outside_is_left_as_it_is() -> None:
    smoother, second = AlongMotion(0.9), random_scores(6)
    smoother.smooth(random_scores(5), picture(SIZE_HW, 3))
    found = smoother.smooth(second, picture(SIZE_HW, 3, (0, 32)))
    np.testing.assert_array_equal(found[:, :, -2:], second[:, :, -2:])
    assert not np.isclose(found[INNER], second[INNER], atol=1e-3).all()


def test_given_scores_stay_as_they_are() -> None:
    smoother, image, first, second = AlongMotion(), picture(SIZE_HW, 1), random_scores(1), random_scores(2)
    smoother.smooth(first, image)
    smoother.smooth(second, image)
    np.testing.assert_array_equal(first, random_scores(1))
    np.testing.assert_array_equal(second, random_scores(2))


def test_it_forgets_when_told_and_when_the_shape_changes() -> None:
    smoother, image = AlongMotion(), picture(SIZE_HW, 1)
    smoother.smooth(random_scores(1), image)
    smoother.reset()
    np.testing.assert_array_equal(smoother.smooth(random_scores(2), image), random_scores(2))
    other = random_scores(3, classes=4)
    np.testing.assert_array_equal(smoother.smooth(other, image), other)
    smaller = random_scores(4)[:, :8, :8]
    np.testing.assert_array_equal(smoother.smooth(smaller, image[:64, :64]), smaller)


@pytest.mark.parametrize(
    ("size_hw", "cells_hw"), [((1, 1), (4, 4)), ((65, 33), (12, 8)), ((1080 // 4, 480), (36, 60)), ((5, 400), (4, 52))]
)
def test_images_that_are_padded(size_hw: tuple[int, int], cells_hw: tuple[int, int]) -> None:
    image, scores = picture(size_hw, 7), np.ones((2, *cells_hw), np.float32)
    smoother = AlongMotion()
    for _ in range(3):
        np.testing.assert_allclose(smoother.smooth(scores, image), scores, atol=1e-5)


def test_noise_on_a_still_picture_is_averaged_away() -> None:
    """A recursion of weight w leaves (1 - w) / (1 + w) of the variance: 0.176 for 0.7."""
    rng, smoother = np.random.default_rng(8), AlongMotion(0.7)
    for _ in range(20):
        image = np.clip(picture(SIZE_HW, 1) + rng.normal(0, 3, (*SIZE_HW, 3)), 0, 255).astype(np.uint8)
        found = smoother.smooth(rng.normal(0, 1, (5, *CELLS_HW)).astype(np.float32), image)
    assert 0.1 < found.var() < 0.25


@pytest.mark.parametrize("weight", [-0.1, 1.0, float("nan")])
def test_weights_out_of_range_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="of the frames before; 0 to below 1"):
        AlongMotion(weight)
