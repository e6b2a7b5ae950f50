"""Labels and confidence against PyTorch's enlarged scores, and by hand."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from torch.nn import functional as F

from contextnet.data.synthetic import SyntheticStreets, drives_for
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import read_weights
from contextnet.runtime.labelling import confidence_of, label_scores
from contextnet.weights.catalogue import find_weights

FloatArray = NDArray[np.float32]

ROUNDING = 1e-5
"""How far apart PyTorch and NumPy may bring scores of order 10."""


def enlarged(scores: FloatArray) -> FloatArray:
    tensor = torch.from_numpy(np.ascontiguousarray(scores))[None]
    return F.interpolate(tensor, scale_factor=8, mode="bilinear", align_corners=False)[0].numpy()


def softmax(scores: FloatArray) -> FloatArray:
    return torch.from_numpy(scores).softmax(dim=0).numpy()


def shortfall(labels: NDArray[np.uint8], pixels: FloatArray) -> float:
    """By how much a label's score falls short of the best one, at the pixel where it does most."""
    return float((pixels.max(axis=0) - np.take_along_axis(pixels, labels[None].astype(np.int64), axis=0)[0]).max())


def random_scores(shape: tuple[int, int, int], seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)


def smooth_scores(shape: tuple[int, int, int], seed: int) -> FloatArray:
    """Noise of a quarter of the size, enlarged: neighbouring cells mostly agree, as a network's do."""
    classes, height, width = shape
    coarse = torch.from_numpy(random_scores((classes, -(-height // 4), -(-width // 4)), seed))[None]
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)[0].numpy()


@pytest.fixture(scope="module")
def street() -> FloatArray:
    """The scores that a shipped network gives a street, (19, 64, 128)."""
    image = SyntheticStreets(drives_for("demo", 1, (512, 1024), 2, frames_per_s=1.0), split="demo")[1].image
    predictor = NetworkPredictor(read_weights(find_weights("cn14-synthetic")).build())
    with torch.inference_mode():
        return predictor.field(torch.from_numpy(image.copy()).permute(2, 0, 1)[None]).cells[0].numpy()


# The share of the right one of two cells in pixels 4 to 11 is 1, 3, 5, 7, 9, 11, 13, 15 sixteenths.
@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([[0, 0]], [0] * 16, id="one class"),
        pytest.param([[16, 0], [0, 16]], [0] * 8 + [1] * 8, id="halfway"),
        pytest.param([[4, 0], [0, 12]], [0] * 6 + [1] * 10, id="equal at a quarter"),
        pytest.param([[16, 0], [0, 16], [10, 10]], [0] * 7 + [2] * 2 + [1] * 7, id="one leads only between the cells"),
        pytest.param([[16, 0], [0, 16], [9, 9]], [0] * 8 + [1] * 8, id="it is equal and the highest"),
        pytest.param([[9, 9], [16, 0], [0, 16]], [1] * 7 + [0] * 2 + [2] * 7, id="it is equal and the lowest"),
        pytest.param([[16, 0], [0, 16], [7.5, 7.5]], [0] * 8 + [1] * 8, id="it contends and leads nowhere"),
        pytest.param([[5, 5], [5, 5]], [0] * 16, id="equal everywhere"),
        # The last four pixels are the right cell's alone, where 0 and 1 are equal.
        pytest.param([[4, 5], [5, 5], [5, 4]], [1] * 12 + [0] * 4, id="equal in the cells alone"),
    ],
)
def test_one_row_by_hand(scores: list[list[float]], expected: list[int]) -> None:
    cells = np.array(scores, np.float32)
    assert label_scores(cells[:, None], (8, 16), 8).tolist() == [expected] * 8
    assert label_scores(cells[:, :, None], (16, 8), 8).T.tolist() == [expected] * 8


def test_a_corner_by_hand() -> None:
    # Class 1 leads where 16·(1 - y)·(1 - x) > 8; 1 - y is 15/16, 13/16, 11/16, 9/16 in rows 4 to 7, and so for x.
    # The products of sixteenths above 128 are 15 with 15, 13, 11, 9; 13 with 15, 13, 11; 11 with 15, 13; 9 with 15.
    scores = np.array([np.zeros((2, 2)), [[8, -8], [-8, -8]]], np.float32)
    labels = label_scores(scores, (16, 16), 8)
    widths = [8, 8, 8, 8, 8, 7, 6, 5] + [0] * 8
    assert labels.tolist() == [[1] * width + [0] * (16 - width) for width in widths]


# The last but one has more contested blocks than are decided together.
SHAPES = [
    (1, 3, 5),
    (2, 1, 1),
    (3, 1, 2),
    (3, 2, 1),
    (19, 13, 17),
    (19, 1, 625),
    (19, 625, 1),
    (19, 60, 97),
    (254, 7, 11),
]
MAKERS = [random_scores, smooth_scores]
Maker = Callable[[tuple[int, int, int], int], FloatArray]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", MAKERS)
def test_labels_are_the_best_of_the_enlarged_scores(make: Maker, shape: tuple[int, int, int]) -> None:
    scores = make(shape, 3)
    before = scores.copy()
    pixels = enlarged(scores)
    labels = label_scores(scores, (8 * shape[1], 8 * shape[2]), 8)
    assert labels.dtype == np.uint8
    assert labels.shape == pixels.shape[1:]
    assert shortfall(labels, pixels) <= ROUNDING
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", MAKERS)
# A hundred times the scores: neighbouring cells differ by more than e^x can hold in float32.
@pytest.mark.parametrize("scale", [1, 100])
def test_confidence_is_the_labels_share_of_the_softmax(make: Maker, shape: tuple[int, int, int], scale: int) -> None:
    scores = make(shape, 4) * np.float32(scale)
    confidence = confidence_of(scores, (8 * shape[1], 8 * shape[2]), 8)
    assert confidence.dtype == np.float32
    np.testing.assert_allclose(confidence, softmax(enlarged(scores)).max(axis=0), rtol=0, atol=1e-5 * scale)


def test_a_street(street: FloatArray) -> None:
    pixels = enlarged(street)
    labels, confidence = label_scores(street, (512, 1024), 8), confidence_of(street, (512, 1024), 8)
    assert len(np.unique(labels)) > 8
    assert np.mean(labels == pixels.argmax(axis=0)) >= 0.99999
    assert shortfall(labels, pixels) <= ROUNDING
    shares = np.take_along_axis(softmax(pixels), labels[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(confidence, shares, rtol=0, atol=1e-5)


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)).flatmap(
        lambda shape: hnp.arrays(np.float32, shape, elements=st.integers(-3, 3).map(float))
    )
)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_of_equal_scores_the_lowest_class_wins(scores: FloatArray) -> None:
    # Shares are multiples of 1/256, so that no score of these is rounded, here or in PyTorch.
    expected = enlarged(scores).argmax(axis=0)
    np.testing.assert_array_equal(label_scores(scores, (8 * scores.shape[1], 8 * scores.shape[2]), 8), expected)


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5)).flatmap(
        lambda shape: hnp.arrays(np.float32, shape, elements=st.floats(-20, 20, width=32))
    )
)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_any_scores(scores: FloatArray) -> None:
    size_hw, pixels = (8 * scores.shape[1], 8 * scores.shape[2]), enlarged(scores)
    assert shortfall(label_scores(scores, size_hw, 8), pixels) <= ROUNDING
    np.testing.assert_allclose(confidence_of(scores, size_hw, 8), softmax(pixels).max(axis=0), rtol=0, atol=1e-5)


def test_confidence_by_hand() -> None:
    # Class 1 is ahead by 0 in the first cell and by 16 in the second.
    cells = np.array([[[0, -8]], [[0, 8]]], np.float32)
    ahead = [0, 0, 0, 0, 1, 3, 5, 7, 9, 11, 13, 15, 16, 16, 16, 16]
    expected = [1 / (1 + math.exp(-value)) for value in ahead]
    np.testing.assert_allclose(confidence_of(cells, (8, 16), 8), [expected] * 8, rtol=0, atol=1e-6)
    alike = np.full((4, 1, 1), 7, np.float32)
    assert (confidence_of(alike, (8, 8), 8) == 0.25).all()
    assert (confidence_of(alike[:1], (8, 8), 8) == 1).all()


@pytest.mark.parametrize("size_hw", [(1, 1), (7, 24), (17, 31), (24, 40)])
def test_an_image_is_the_top_left_of_its_cells(size_hw: tuple[int, int]) -> None:
    scores, (height, width) = random_scores((5, 3, 5), 8), size_hw
    labels = label_scores(scores, size_hw, 8)
    np.testing.assert_array_equal(labels, label_scores(scores, (24, 40), 8)[:height, :width])
    assert labels.flags.c_contiguous
    confidence = confidence_of(scores, size_hw, 8)
    np.testing.assert_array_equal(confidence, confidence_of(scores, (24, 40), 8)[:height, :width])


@pytest.mark.parametrize(
    "arranged",
    [
        pytest.param(np.asfortranarray, id="classes side by side"),
        pytest.param(lambda scores: np.repeat(scores, 2, axis=2)[:, :, ::2], id="every other column"),
        pytest.param(lambda scores: np.flip(np.flip(scores, 1).copy(), 1), id="upside down"),
        pytest.param(lambda scores: scores.astype(np.float16), id="half precision"),
    ],
)
def test_any_arrangement_in_memory(arranged: Callable[[FloatArray], FloatArray]) -> None:
    # Of this size, so that differences would not be exact in half precision.
    scores = (100 * random_scores((5, 6, 7), 9)).astype(np.float16).astype(np.float32)
    for function in (label_scores, confidence_of):
        found = function(arranged(scores), (48, 56), 8)
        np.testing.assert_array_equal(found, function(scores, (48, 56), 8))


@pytest.mark.parametrize("broken", [[0], [1], [2], [0, 1, 2]])
def test_a_nan_reaches_the_pixels_between_its_cell_and_the_next(broken: list[int]) -> None:
    scores = np.zeros((3, 4, 5), np.float32)
    scores[1] = 2
    scores[2, 0, 4] = 5
    labels, confidence = label_scores(scores, (32, 40), 8), confidence_of(scores, (32, 40), 8)
    assert set(np.unique(labels)) == {1, 2}
    # The centre of cell (1, 2) is at (12, 20), those of its neighbours are 8 pixels away.
    scores[broken, 1, 2] = np.nan
    labels[4:20, 12:28] = 0
    confidence[4:20, 12:28] = np.nan
    np.testing.assert_array_equal(label_scores(scores, (32, 40), 8), labels)
    np.testing.assert_array_equal(confidence_of(scores, (32, 40), 8), confidence)


def test_nothing_but_nan() -> None:
    scores = np.full((3, 2, 2), np.nan, np.float32)
    assert (label_scores(scores, (16, 16), 8) == 0).all()
    assert np.isnan(confidence_of(scores, (16, 16), 8)).all()


@pytest.mark.parametrize(
    ("shape", "size_hw", "message"),
    [
        ((0, 2, 3), (16, 24), "scores of 0 classes; 1 to 254 have labels"),
        ((255, 2, 3), (16, 24), "scores of 255 classes; 1 to 254 have labels"),
        ((4, 2, 3), (17, 24), "2×3 scores at stride 8 are those of an image of 1 to 16 × 1 to 24 pixels; this one has"),
        ((4, 2, 3), (16, 25), "2×3 scores at stride 8 are those of .*; this one has 16×25"),
        ((4, 2, 3), (0, 24), "2×3 scores at stride 8 are those of .*; this one has 0×24"),
        ((4, 2, 3), (16, -1), "2×3 scores at stride 8 are those of .*; this one has 16×-1"),
        ((4, 0, 3), (1, 24), "0×3 scores at stride 8 are those of .*; this one has 1×24"),
    ],
)
@pytest.mark.parametrize("function", [label_scores, confidence_of])
def test_refuses_what_does_not_fit(
    function: Callable[[FloatArray, tuple[int, int], int], object],
    shape: tuple[int, int, int],
    size_hw: tuple[int, int],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        function(np.zeros(shape, np.float32), size_hw, 8)


@pytest.mark.parametrize(("function", "bytes_per_pixel"), [(label_scores, 1), (confidence_of, 4)])
def test_the_scores_of_all_pixels_never_exist_at_once(
    function: Callable[[FloatArray, tuple[int, int], int], object], bytes_per_pixel: int
) -> None:
    scores, size_hw = random_scores((19, 64, 128), 10), (512, 1024)
    tracemalloc.start()
    function(scores, size_hw, 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The result and what it is cut from, and a few MB on the way; the enlarged scores would be 40 MB.
    assert peak <= 2 * bytes_per_pixel * 512 * 1024 + (6 << 20)
