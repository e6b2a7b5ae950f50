"""Labels and confidence at every stride: against an enlargement pixel by pixel, and by hand."""

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
from contextnet.runtime.score_grid import STRIDES

FloatArray = NDArray[np.float32]
ROUNDING = 1e-5


def along(length: int, stride: int) -> NDArray[np.float64]:
    """Shares of cells in pixels, (pixels, cells): half-pixel centres, edges held."""
    shares = np.zeros((length * stride, length))
    for pixel in range(length * stride):
        place = min(max((pixel + 0.5) / stride - 0.5, 0), length - 1)
        before = int(place)
        after = min(before + 1, length - 1)
        shares[pixel, before] += 1 - (place - before)
        shares[pixel, after] += place - before
    return shares


def enlarged(scores: FloatArray, stride: int) -> NDArray[np.float64]:
    _, height, width = scores.shape
    pixels: NDArray[np.float64] = np.einsum("yh,chw,xw->cyx", along(height, stride), scores, along(width, stride))
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


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 1, 1), (3, 1, 7), (3, 6, 1), (5, 9, 8), (19, 37, 41), (254, 3, 4)])
@pytest.mark.parametrize("make", [random_scores, held_scores])
def test_every_pixel_is_that_of_the_enlarged_scores(
    make: Callable[[tuple[int, int, int], int], FloatArray], shape: tuple[int, int, int], stride: int
) -> None:
    scores = make(shape, 5)
    before = scores.copy()
    pixels = enlarged(scores, stride)
    size_hw = pixels.shape[1:]
    labels, confidence = label_scores(scores, size_hw, stride), confidence_of(scores, size_hw, stride)
    assert (labels.dtype, labels.shape) == (np.uint8, size_hw)
    assert (confidence.dtype, confidence.shape) == (np.float32, size_hw)
    best = np.take_along_axis(pixels, labels[None].astype(np.int64), axis=0)[0]
    assert (pixels.max(axis=0) - best).max() <= ROUNDING
    np.testing.assert_allclose(confidence, softmax_peak(pixels), rtol=0, atol=ROUNDING)
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("stride", STRIDES)
def test_the_enlargement_is_pytorchs(stride: int) -> None:
    scores = random_scores((4, 5, 7), 6)
    expected = F.interpolate(torch.from_numpy(scores)[None], scale_factor=stride, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(enlarged(scores, stride), expected[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("stride", STRIDES)
def test_of_equal_scores_the_lowest_class_wins(stride: int) -> None:
    # Shares are multiples of 1/256, so that no score of these is rounded.
    scores = np.random.default_rng(7).integers(-2, 3, (6, 9, 11)).astype(np.float32)
    pixels = enlarged(scores, stride)
    np.testing.assert_array_equal(label_scores(scores, pixels.shape[1:], stride), pixels.argmax(axis=0))


# Of two cells, the share of the right one in the middle pixels is odd eighths at stride 4.
@pytest.mark.parametrize(
    ("stride", "scores", "labels", "leads"),
    [
        (1, [[4, 0], [0, 12]], [0, 1], [4, 12]),
        (1, [[5, 5], [5, 5]], [0, 0], [0, 0]),
        (4, [[4, 0], [0, 12]], [0, 0, 0, 1, 1, 1, 1, 1], [4, 4, 2, 2, 6, 10, 12, 12]),
    ],
)
def test_a_row_of_two_cells_by_hand(
    stride: int, scores: list[list[float]], labels: list[int], leads: list[int]
) -> None:
    cells, size_hw = np.array(scores, np.float32), (stride, 2 * stride)
    assert label_scores(cells[:, None], size_hw, stride).tolist() == [labels] * stride
    assert label_scores(cells[:, :, None], size_hw[::-1], stride).T.tolist() == [labels] * stride
    expected = [1 / (1 + math.exp(-lead)) for lead in leads]
    np.testing.assert_allclose(confidence_of(cells[:, None], size_hw, stride), [expected] * stride, rtol=0, atol=1e-6)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("cut_hw", [(0, 0), (1, 0), (0, 1), (5, 7)])
def test_an_image_is_the_top_left_of_its_cells(stride: int, cut_hw: tuple[int, int]) -> None:
    scores = random_scores((5, 8, 9), 8)
    height, width = 8 * stride - cut_hw[0], 9 * stride - cut_hw[1]
    labels = label_scores(scores, (height, width), stride)
    np.testing.assert_array_equal(labels, label_scores(scores, (8 * stride, 9 * stride), stride)[:height, :width])
    assert labels.flags.c_contiguous
    confidence = confidence_of(scores, (height, width), stride)
    assert confidence.shape == (height, width)
    np.testing.assert_array_equal(confidence, confidence_of(scores, (8 * stride, 9 * stride), stride)[:height, :width])


@pytest.mark.parametrize(
    "arranged",
    [
        pytest.param(np.asfortranarray, id="classes side by side"),
        pytest.param(lambda scores: np.repeat(scores, 2, axis=2)[:, :, ::2], id="every other column"),
        pytest.param(lambda scores: scores.astype(np.float16), id="half precision"),
    ],
)
@pytest.mark.parametrize("stride", [1, 4])
def test_any_arrangement_in_memory(arranged: Callable[[FloatArray], FloatArray], stride: int) -> None:
    scores = (100 * random_scores((5, 6, 7), 9)).astype(np.float16).astype(np.float32)
    size_hw = (6 * stride - 1, 7 * stride - 1) if stride > 1 else (5, 6)
    given = arranged(scores)
    before = given.copy()
    for function in (label_scores, confidence_of):
        np.testing.assert_array_equal(function(given, size_hw, stride), function(scores, size_hw, stride))
    np.testing.assert_array_equal(given, before)


# The broken cell is (1, 2); what it reaches lies between the centres of its neighbours.
@pytest.mark.parametrize(("stride", "rows", "columns"), [(1, (1, 2), (2, 3)), (4, (2, 10), (6, 14))])
@pytest.mark.parametrize("broken", [[0], [2], [0, 1, 2]])
def test_what_a_nan_reaches(stride: int, rows: tuple[int, int], columns: tuple[int, int], broken: list[int]) -> None:
    scores, size_hw = np.zeros((3, 4, 5), np.float32), (4 * stride, 5 * stride)
    scores[1] = 2
    scores[2, 0, 4] = 5
    labels, confidence = label_scores(scores, size_hw, stride), confidence_of(scores, size_hw, stride)
    assert set(np.unique(labels)) == {1, 2}
    scores[broken, 1, 2] = np.nan
    labels[slice(*rows), slice(*columns)] = 0
    confidence[slice(*rows), slice(*columns)] = np.nan
    np.testing.assert_array_equal(label_scores(scores, size_hw, stride), labels)
    np.testing.assert_array_equal(confidence_of(scores, size_hw, stride), confidence)


@pytest.mark.parametrize(
    ("shape", "size_hw", "stride", "message"),
    [
        ((4, 2, 3), (2, 3), 0, "scores at stride 0; networks have 1, 4 or 8"),
        ((4, 2, 3), (2, 3), 2, "scores at stride 2; networks have 1, 4 or 8"),
        ((4, 2, 3), (2, 3), 3, "scores at stride 3; networks have 1, 4 or 8"),
        ((4, 2, 3), (2, 3), -1, "scores at stride -1; networks have 1, 4 or 8"),
        ((4, 2, 3), (2, 3), 16, "scores at stride 16; networks have 1, 4 or 8"),
        ((4, 2, 3), (3, 3), 1, "2×3 scores at stride 1 are those of an image of 1 to 2 × 1 to 3 pixels; this one has"),
        ((4, 2, 3), (2, 4), 1, "2×3 scores at stride 1 are those of .*; this one has 2×4$"),
        ((4, 2, 3), (0, 3), 1, "2×3 scores at stride 1 are those of .*; this one has 0×3$"),
        ((4, 2, 3), (8, 13), 4, "2×3 scores at stride 4 are those of an image of 1 to 8 × 1 to 12 pixels; this one"),
        ((0, 2, 3), (2, 3), 1, "scores of 0 classes; 1 to 254 have labels"),
        ((255, 2, 3), (2, 3), 1, "scores of 255 classes; 1 to 254 have labels"),
    ],
)
@pytest.mark.parametrize("function", [label_scores, confidence_of])
def test_refuses_what_does_not_fit(
    function: Callable[[FloatArray, tuple[int, int], int], object],
    shape: tuple[int, int, int],
    size_hw: tuple[int, int],
    stride: int,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        function(np.zeros(shape, np.float32), size_hw, stride)


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
