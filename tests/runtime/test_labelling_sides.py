"""Labels and confidence where a score spans 1, 2 or 4 pixels: against an enlargement pixel by pixel, and by hand."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from contextnet.runtime.labelling import confidence_of, label_scores

FloatArray = NDArray[np.float32]
SIDES = (1, 2, 4, 8)
ROUNDING = 1e-5


def along(length: int, side: int) -> NDArray[np.float64]:
    """Shares of cells in pixels, (pixels, cells): half-pixel centres, edges held."""
    shares = np.zeros((length * side, length))
    for pixel in range(length * side):
        place = min(max((pixel + 0.5) / side - 0.5, 0), length - 1)
        before = int(place)
        after = min(before + 1, length - 1)
        shares[pixel, before] += 1 - (place - before)
        shares[pixel, after] += place - before
    return shares


def enlarged(scores: FloatArray, side: int) -> NDArray[np.float64]:
    _, height, width = scores.shape
    pixels: NDArray[np.float64] = np.einsum("yh,chw,xw->cyx", along(height, side), scores, along(width, side))
    return pixels


def softmax_peak(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    peak: NDArray[np.float64] = 1 / np.exp(pixels - pixels.max(axis=0)).sum(axis=0)
    return peak


def random_scores(shape: tuple[int, int, int], seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)


def held_scores(shape: tuple[int, int, int], seed: int) -> FloatArray:
    """Noise in blocks of 3×3 cells, so that many blocks have one leader at all corners."""
    classes, height, width = shape
    coarse = random_scores((classes, -(-height // 3), -(-width // 3)), seed)
    return coarse.repeat(3, axis=1).repeat(3, axis=2)[:, :height, :width]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 1, 1), (3, 1, 7), (3, 6, 1), (5, 9, 8), (19, 37, 41), (254, 3, 4)])
@pytest.mark.parametrize("make", [random_scores, held_scores])
def test_every_pixel_is_that_of_the_enlarged_scores(
    make: Callable[[tuple[int, int, int], int], FloatArray], shape: tuple[int, int, int], side: int
) -> None:
    scores = make(shape, 5)
    before = scores.copy()
    pixels = enlarged(scores, side)
    size_hw = pixels.shape[1:]
    labels, confidence = label_scores(scores, size_hw, side), confidence_of(scores, size_hw, side)
    assert (labels.dtype, labels.shape) == (np.uint8, size_hw)
    assert (confidence.dtype, confidence.shape) == (np.float32, size_hw)
    best = np.take_along_axis(pixels, labels[None].astype(np.int64), axis=0)[0]
    assert (pixels.max(axis=0) - best).max() <= ROUNDING
    np.testing.assert_allclose(confidence, softmax_peak(pixels), rtol=0, atol=ROUNDING)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("side", SIDES)
def test_the_enlargement_is_pytorchs(side: int) -> None:
    scores = random_scores((4, 5, 7), 6)
    expected = F.interpolate(torch.from_numpy(scores)[None], scale_factor=side, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(enlarged(scores, side), expected[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("side", SIDES)
def test_of_equal_scores_the_lowest_class_wins(side: int) -> None:
    # Shares are multiples of 1/256, so that no score of these is rounded.
    scores = np.random.default_rng(7).integers(-2, 3, (6, 9, 11)).astype(np.float32)
    pixels = enlarged(scores, side)
    np.testing.assert_array_equal(label_scores(scores, pixels.shape[1:], side), pixels.argmax(axis=0))


# Of two cells, the share of the right one is 1/4 and 3/4 in the middle pixels at side 2; odd eighths at side 4.
@pytest.mark.parametrize(
    ("side", "scores", "labels", "leads"),
    [
        (1, [[4, 0], [0, 12]], [0, 1], [4, 12]),
        (1, [[5, 5], [5, 5]], [0, 0], [0, 0]),
        (2, [[4, 0], [0, 12]], [0, 0, 1, 1], [4, 0, 8, 12]),
        (2, [[16, 0], [0, 16]], [0, 0, 1, 1], [16, 8, 8, 16]),
        (4, [[4, 0], [0, 12]], [0, 0, 0, 1, 1, 1, 1, 1], [4, 4, 2, 2, 6, 10, 12, 12]),
    ],
)
def test_a_row_of_two_cells_by_hand(side: int, scores: list[list[float]], labels: list[int], leads: list[int]) -> None:
    cells, size_hw = np.array(scores, np.float32), (side, 2 * side)
    assert label_scores(cells[:, None], size_hw, side).tolist() == [labels] * side
    assert label_scores(cells[:, :, None], size_hw[::-1], side).T.tolist() == [labels] * side
    expected = [1 / (1 + math.exp(-lead)) for lead in leads]
    np.testing.assert_allclose(confidence_of(cells[:, None], size_hw, side), [expected] * side, rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("cut_hw", [(0, 0), (1, 0), (0, 1), (5, 7)])
def test_an_image_is_the_top_left_of_its_cells(side: int, cut_hw: tuple[int, int]) -> None:
    scores = random_scores((5, 8, 9), 8)
    height, width = 8 * side - cut_hw[0], 9 * side - cut_hw[1]
    labels = label_scores(scores, (height, width), side)
    np.testing.assert_array_equal(labels, label_scores(scores, (8 * side, 9 * side), side)[:height, :width])
    assert labels.flags.c_contiguous
    confidence = confidence_of(scores, (height, width), side)
    assert confidence.shape == (height, width)
    np.testing.assert_array_equal(confidence, confidence_of(scores, (8 * side, 9 * side), side)[:height, :width])


@pytest.mark.parametrize(
    "arranged",
    [
        pytest.param(np.asfortranarray, id="classes side by side"),
        pytest.param(lambda scores: np.repeat(scores, 2, axis=2)[:, :, ::2], id="every other column"),
        pytest.param(lambda scores: scores.astype(np.float16), id="half precision"),
    ],
)
@pytest.mark.parametrize("side", [1, 2, 4])
def test_any_arrangement_in_memory(arranged: Callable[[FloatArray], FloatArray], side: int) -> None:
    scores = (100 * random_scores((5, 6, 7), 9)).astype(np.float16).astype(np.float32)
    size_hw = (6 * side - 1, 7 * side - 1) if side > 1 else (5, 6)
    given = arranged(scores)
    before = given.copy()
    for function in (label_scores, confidence_of):
        np.testing.assert_array_equal(function(given, size_hw, side), function(scores, size_hw, side))
    np.testing.assert_array_equal(given, before)


# The broken cell is (1, 2); what it reaches lies between the centres of its neighbours.
@pytest.mark.parametrize(("side", "rows", "columns"), [(1, (1, 2), (2, 3)), (2, (1, 5), (3, 7)), (4, (2, 10), (6, 14))])
@pytest.mark.parametrize("broken", [[0], [2], [0, 1, 2]])
def test_what_a_nan_reaches(side: int, rows: tuple[int, int], columns: tuple[int, int], broken: list[int]) -> None:
    scores, size_hw = np.zeros((3, 4, 5), np.float32), (4 * side, 5 * side)
    scores[1] = 2
    scores[2, 0, 4] = 5
    labels, confidence = label_scores(scores, size_hw, side), confidence_of(scores, size_hw, side)
    assert set(np.unique(labels)) == {1, 2}
    scores[broken, 1, 2] = np.nan
    labels[slice(*rows), slice(*columns)] = 0
    confidence[slice(*rows), slice(*columns)] = np.nan
    np.testing.assert_array_equal(label_scores(scores, size_hw, side), labels)
    np.testing.assert_array_equal(confidence_of(scores, size_hw, side), confidence)


@pytest.mark.parametrize(
    ("shape", "size_hw", "side", "message"),
    [
        ((4, 2, 3), (2, 3), 0, "cells of 0×0 pixels; a side is 1, 2, 4 or 8"),
        ((4, 2, 3), (2, 3), 3, "cells of 3×3 pixels; a side is 1, 2, 4 or 8"),
        ((4, 2, 3), (2, 3), -1, "cells of -1×-1 pixels; a side is 1, 2, 4 or 8"),
        ((4, 2, 3), (2, 3), 16, "cells of 16×16 pixels; a side is 1, 2, 4 or 8"),
        ((4, 2, 3), (3, 3), 1, r"an image of \(3, 3\) from 2×3 cells; a cell is 1×1 pixels"),
        ((4, 2, 3), (2, 4), 1, r"an image of \(2, 4\) from 2×3 cells; a cell is 1×1 pixels"),
        ((4, 2, 3), (0, 3), 1, r"an image of \(0, 3\) from 2×3 cells"),
        ((4, 2, 3), (5, 6), 2, r"an image of \(5, 6\) from 2×3 cells; a cell is 2×2 pixels"),
        ((4, 2, 3), (8, 13), 4, r"an image of \(8, 13\) from 2×3 cells; a cell is 4×4 pixels"),
        ((0, 2, 3), (2, 3), 1, "scores of 0 classes; 1 to 254 have labels"),
        ((255, 2, 3), (2, 3), 1, "scores of 255 classes; 1 to 254 have labels"),
    ],
)
@pytest.mark.parametrize("function", [label_scores, confidence_of])
def test_refuses_what_does_not_fit(
    function: Callable[[FloatArray, tuple[int, int], int], object],
    shape: tuple[int, int, int],
    size_hw: tuple[int, int],
    side: int,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        function(np.zeros(shape, np.float32), size_hw, side)


def test_confidence_of_scores_for_every_pixel_works_on_a_few_rows_at_a_time() -> None:
    """More scores than are held at a time, the last band cut short: each row is its own soft-max."""
    scores = random_scores((19, 203, 301), 10)
    tracemalloc.start()
    confidence = confidence_of(scores, (201, 300), 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expected = torch.from_numpy(scores).softmax(dim=0).max(dim=0).values.numpy()[:201, :300]
    np.testing.assert_allclose(confidence, expected, rtol=0, atol=1e-5)
    assert peak < scores.nbytes, "the result twice, and bands of 1 MiB; a copy of all scores would be 4.6 MB"
