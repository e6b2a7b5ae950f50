from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contextnet.errors import DataError
from contextnet.evaluation import ConfusionMatrix


def counts_of(label: list[list[int]], predicted: list[list[int]], num_classes: int) -> list[list[int]]:
    matrix = ConfusionMatrix(num_classes)
    matrix.update(np.array(label, np.uint8), np.array(predicted, np.uint8))
    result: list[list[int]] = matrix.counts.tolist()
    return result


@pytest.mark.parametrize(
    ("label", "predicted", "num_classes", "expected"),
    [
        pytest.param([[0, 1]], [[0, 1]], 2, [[1, 0, 0], [0, 1, 0]], id="all right"),
        pytest.param([[0, 0], [1, 0]], [[1, 1], [0, 0]], 2, [[1, 2, 0], [1, 0, 0]], id="rows are the truth"),
        pytest.param([[255, 255]], [[0, 255]], 2, [[0, 0, 0], [0, 0, 0]], id="void truth is not counted"),
        pytest.param([[0, 1, 1]], [[255, 255, 1]], 2, [[0, 0, 1], [0, 1, 1]], id="void prediction is a miss"),
        pytest.param([[0]], [[0]], 1, [[1, 0]], id="one class"),
        pytest.param([[]], [[]], 2, [[0, 0, 0], [0, 0, 0]], id="no pixel"),
    ],
)
def test_counts(
    label: list[list[int]], predicted: list[list[int]], num_classes: int, expected: list[list[int]]
) -> None:
    assert counts_of(label, predicted, num_classes) == expected


def test_highest_number_of_classes_keeps_void_apart() -> None:
    counts = np.array(counts_of([[253, 253, 255]], [[253, 255, 253]], 254))
    assert (counts.sum(), counts[253, 253], counts[253, 254]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("label", "predicted", "message"),
    [
        pytest.param(
            np.zeros((2, 3), np.uint8),
            np.zeros((3, 2), np.uint8),
            "the ground truth is 2 × 3 pixels and the prediction 3 × 2",
            id="sizes",
        ),
        pytest.param(
            np.array([[0, 3, 3]], np.uint8),
            np.zeros((1, 3), np.uint8),
            r"the ground truth holds train id 3 \(2 pixels\); 3 classes allow 0 to 2 and 255 for void",
            id="truth outside",
        ),
        pytest.param(
            np.zeros((1, 3), np.uint8),
            np.array([[0, 254, 1]], np.uint8),
            r"the prediction holds train id 254 \(1 pixels\)",
            id="prediction outside",
        ),
        pytest.param(
            np.full((1, 1), 255, np.uint8),
            np.full((1, 1), 7, np.uint8),
            "the prediction holds train id 7",
            id="on void",
        ),
    ],
)
def test_refuses_and_counts_nothing(label: np.ndarray, predicted: np.ndarray, message: str) -> None:
    matrix = ConfusionMatrix(3)
    with pytest.raises(DataError, match=message):
        matrix.update(label, predicted)
    assert not matrix.counts.any()


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.bool_])
def test_refuses_other_dtypes(dtype: type) -> None:
    with pytest.raises(TypeError, match="train ids are uint8"):
        ConfusionMatrix(3).update(np.zeros((2, 2), np.uint8), np.zeros((2, 2), dtype))


@pytest.mark.parametrize("num_classes", [0, 255])
def test_refuses_class_counts(num_classes: int) -> None:
    with pytest.raises(ValueError, match=f"confusion matrix of {num_classes} classes"):
        ConfusionMatrix(num_classes)


def test_merge_refuses_other_class_counts() -> None:
    with pytest.raises(ValueError, match="2 and 3 classes"):
        ConfusionMatrix(2).merge(ConfusionMatrix(3))


train_ids = st.sampled_from([0, 1, 2, 3, 4, 255])


@given(
    pairs=hnp.array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(
        lambda shape: st.tuples(*[hnp.arrays(np.uint8, shape, elements=train_ids)] * 2)
    ),
    cut=st.integers(0, 12),
)
def test_equals_a_pixel_loop_and_merges_exactly(pairs: tuple[np.ndarray, np.ndarray], cut: int) -> None:
    label, predicted = pairs
    expected = np.zeros((5, 6), np.int64)
    for truth, guess in zip(label.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        if truth != 255:
            expected[truth, min(guess, 5)] += 1
    top, bottom = ConfusionMatrix(5), ConfusionMatrix(5)
    top.update(label[:cut], predicted[:cut])
    bottom.update(label[cut:], predicted[cut:])
    top.merge(bottom)
    assert np.array_equal(top.counts, expected)


def test_strided_views_count_as_copies_do() -> None:
    generator = np.random.default_rng(5)
    label = generator.choice([0, 1, 2, 255], (8, 10)).astype(np.uint8)
    predicted = generator.integers(0, 3, (8, 10)).astype(np.uint8)
    view, copied = ConfusionMatrix(3), ConfusionMatrix(3)
    view.update(label[::2, ::-1], predicted[::2, ::-1])
    copied.update(label[::2].copy(), predicted[::2].copy())
    assert np.array_equal(view.counts, copied.counts)
