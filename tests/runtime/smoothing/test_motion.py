from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from moving_pictures import picture
from numpy.typing import NDArray

from contextnet.runtime.smoothing import motion
from contextnet.runtime.smoothing.motion import AlongMotion
from contextnet.runtime.smoothing.motion_estimate import Motion, estimate_motion
from contextnet.runtime.smoothing.warping import Plane

SIZE_HW = (128, 256)
CELLS_HW = (16, 32)
INNER = (slice(None), slice(3, -3), slice(5, -5))


def random_scores(seed: int, classes: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 2, (classes, *CELLS_HW)).astype(np.float32)


def test_where_nothing_moves_it_is_the_plain_mean() -> None:
    image, first, second = picture(SIZE_HW, 1), random_scores(1), random_scores(2)
    smoother = AlongMotion(0.75, stride=8)
    np.testing.assert_array_equal(smoother.smooth(first, image), first)
    np.testing.assert_allclose(smoother.smooth(second, image), 0.75 * first + 0.25 * second, atol=1e-4)


@pytest.mark.parametrize("cells", [(0, 2), (1, -3)])
def test_scores_move_with_the_picture(cells: tuple[int, int]) -> None:
    """Everything comes from ``cells`` away, so what is averaged with is the score from there."""
    rows, columns = np.mgrid[: CELLS_HW[0], : CELLS_HW[1]]
    before = np.stack([rows, columns]).astype(np.float32)
    smoother = AlongMotion(0.5, stride=8)
    smoother.smooth(before, picture(SIZE_HW, 2))
    found = smoother.smooth(np.zeros_like(before), picture(SIZE_HW, 2, (8 * cells[0], 8 * cells[1])))
    expected = 0.5 * (before + np.array(cells, np.float32)[:, None, None])
    np.testing.assert_allclose(found[INNER], expected[INNER], rtol=0.05, atol=0.15)


def moved_px(stride: int, shift_px: tuple[float, float]) -> NDArray[np.float32]:
    """How far away lies what each score is averaged with, (2, h, w): places are what the scores before hold."""
    rows, columns = np.mgrid[: SIZE_HW[0] // stride, : SIZE_HW[1] // stride]
    own_px = stride * (np.stack([rows, columns]) + 0.5)
    before = np.concatenate([own_px, np.ones((1, *rows.shape))]).astype(np.float32)
    smoother = AlongMotion(0.5, stride=stride)
    smoother.smooth(before, picture(SIZE_HW, 2))
    found = smoother.smooth(np.zeros_like(before), picture(SIZE_HW, 2, shift_px))
    inner = (slice(None), slice(24 // stride, -24 // stride), slice(40 // stride, -40 // stride))
    # The last class, ones before and zeros now, tells the share of the frame before.
    return (found[:2] / found[2].clip(min=1e-6) - own_px)[inner]


@pytest.mark.parametrize("shift_px", [(0, 16), (3, -5)])
def test_scores_of_every_stride_move_as_far(shift_px: tuple[float, float]) -> None:
    of_cells = moved_px(8, shift_px)
    for stride in (1, 4, 8):
        found = moved_px(stride, shift_px)
        assert np.hypot(*(found - np.array(shift_px)[:, None, None])).mean() < 0.8
        height, width = of_cells.shape[1:]
        means = found.reshape(2, height, 8 // stride, width, 8 // stride).mean(axis=(2, 4))
        np.testing.assert_allclose(means, of_cells, rtol=0, atol=0.2)


@pytest.mark.parametrize("size_hw", [SIZE_HW, (117, 250)])
def test_the_motion_is_estimated_on_the_same_cells_at_every_stride(
    monkeypatch: pytest.MonkeyPatch, size_hw: tuple[int, int]
) -> None:
    estimates: list[Motion] = []

    def noting(now: Sequence[Plane], before: Sequence[Plane], guess: Motion | None = None) -> Motion:
        estimates.append(estimate_motion(now, before, guess))
        return estimates[-1]

    monkeypatch.setattr(motion, "estimate_motion", noting)
    for stride in (8, 4, 1):
        smoother, scores = AlongMotion(stride=stride), np.zeros((2, 128 // stride, 256 // stride), np.float32)
        for frame in range(3):
            smoother.smooth(scores, picture(size_hw, 2, (4 * frame, -12 * frame)))
    assert [estimate.shape for estimate in estimates] == [(2, 16, 32)] * 6
    assert np.abs(estimates[1]).max() > 1
    for finer in (estimates[2:4], estimates[4:]):
        np.testing.assert_array_equal(finer, estimates[:2])


@pytest.mark.parametrize("stride", [1, 4])
def test_finer_scores_of_images_that_are_padded(stride: int) -> None:
    scores = np.ones((2, 40 // stride, 56 // stride), np.float32)
    smoother = AlongMotion(stride=stride)
    for _ in range(2):
        np.testing.assert_allclose(smoother.smooth(scores, picture((37, 53), 7)), scores, atol=1e-5)
    with pytest.raises(ValueError, match=f"scores at stride {stride} are those of .*; this one has 41×53"):
        smoother.smooth(scores, picture((41, 53), 7))


@pytest.mark.parametrize(("stride", "scores_hw"), [(1, (12, 5)), (4, (3, 5)), (4, (5, 3))])
def test_scores_that_end_within_a_cell(stride: int, scores_hw: tuple[int, int]) -> None:
    """Nothing moves, so that what comes out is the plain mean, in the last and half a cell too."""
    image = picture((stride * scores_hw[0], stride * scores_hw[1]), 3)
    first, second = (np.random.default_rng(seed).normal(0, 2, (2, *scores_hw)).astype(np.float32) for seed in (1, 2))
    smoother = AlongMotion(0.75, stride=stride)
    smoother.smooth(first, image)
    np.testing.assert_allclose(smoother.smooth(second, image), 0.75 * first + 0.25 * second, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_a_score_is_left_as_it_is_where_its_cell_is_not_explained(stride: int) -> None:
    """The lower half goes from black to white: of the weight 0.5, 0.5 / 452.6 is left there, all of it above."""
    smoother, shape = AlongMotion(0.5, stride=stride), (1, 128 // stride, 128 // stride)
    black = np.zeros((128, 128, 3), np.uint8)
    half = black.copy()
    half[64:] = 255
    smoother.smooth(np.ones(shape, np.float32), black)
    shares = smoother.smooth(np.zeros(shape, np.float32), half)[0]
    np.testing.assert_allclose(shares[: 40 // stride], 0.5, atol=1e-3)
    np.testing.assert_allclose(shares[-40 // stride :], 0.5 / 452.6, atol=2e-3)


def test_what_the_motion_does_not_explain_is_left_as_it_is() -> None:
    """A cut: black becomes white. 255 levels leave 1 / (1 + (255 / 12)²) = 0.22 % of the weight."""
    smoother, first, second = AlongMotion(0.5, stride=8), random_scores(3), random_scores(4)
    smoother.smooth(first, np.zeros((*SIZE_HW, 3), np.uint8))
    found = smoother.smooth(second, np.full((*SIZE_HW, 3), 255, np.uint8))
    np.testing.assert_allclose(found, second + 0.5 / 452.6 * (first - second), atol=1e-4)


def test_what_comes_in_from_outside_is_left_as_it_is() -> None:
    smoother, second = AlongMotion(0.9, stride=8), random_scores(6)
    smoother.smooth(random_scores(5), picture(SIZE_HW, 3))
    found = smoother.smooth(second, picture(SIZE_HW, 3, (0, 32)))
    np.testing.assert_array_equal(found[:, :, -2:], second[:, :, -2:])
    assert not np.isclose(found[INNER], second[INNER], atol=1e-3).all()


def test_given_scores_stay_as_they_are() -> None:
    smoother, image, first, second = AlongMotion(stride=8), picture(SIZE_HW, 1), random_scores(1), random_scores(2)
    smoother.smooth(first, image)
    smoother.smooth(second, image)
    np.testing.assert_array_equal(first, random_scores(1))
    np.testing.assert_array_equal(second, random_scores(2))


def test_it_forgets_when_told_and_when_the_shape_changes() -> None:
    smoother, image = AlongMotion(stride=8), picture(SIZE_HW, 1)
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
    smoother = AlongMotion(stride=8)
    for _ in range(3):
        np.testing.assert_allclose(smoother.smooth(scores, image), scores, atol=1e-5)


def test_noise_on_a_still_picture_is_averaged_away() -> None:
    """A recursion of weight w leaves (1 - w) / (1 + w) of the variance: 0.176 for 0.7."""
    rng, smoother = np.random.default_rng(8), AlongMotion(0.7, stride=8)
    for _ in range(20):
        image = np.clip(picture(SIZE_HW, 1) + rng.normal(0, 3, (*SIZE_HW, 3)), 0, 255).astype(np.uint8)
        found = smoother.smooth(rng.normal(0, 1, (5, *CELLS_HW)).astype(np.float32), image)
    assert 0.1 < found.var() < 0.25


@pytest.mark.parametrize("weight", [-0.1, 1.0, float("nan")])
def test_weights_out_of_range_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="of the frames before; 0 to below 1"):
        AlongMotion(weight, stride=8)
