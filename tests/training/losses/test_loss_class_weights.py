from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contextnet.errors import RecipeError
from contextnet.labels import CAMVID, CITYSCAPES
from contextnet.training.losses.class_weights import (
    bounded_log_weights,
    class_weights_of,
    explicit_weights,
    median_frequency_weights,
)
from contextnet.training.recipe.loss import LossOptions


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # 1 / ln(1.52) = 2.388286 for both, scaled to a mean of one over the pixels.
        ([50, 50], [1.0, 1.0]),
        # Raw 1/ln(1.92) = 1.532978, 1/ln(1.12) = 8.823891; nine tenths of the one and one of the other are 2.262069.
        ([900, 100], [0.677688, 3.900805]),
        # An absent class gets the bound 1/ln(1.02) = 50.498350; raw 1/ln(2.02) = 1.422278 is the mean.
        ([10, 0], [1.0, 35.505260]),
    ],
)
def test_bounded_log_weights_by_hand(counts: list[int], expected: list[float]) -> None:
    weights = bounded_log_weights(np.array(counts, np.int64))
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx(expected, rel=1e-5)


def test_bounded_log_weights_without_a_labelled_pixel_are_finite() -> None:
    assert torch.isfinite(bounded_log_weights(np.zeros(4, np.int64))).all()


@pytest.mark.parametrize(
    ("image_counts", "expected"),
    [
        # Both in every image: shares 3/4 and 1/4, median 1/2.
        ([[6, 2], [3, 1]], [2 / 3, 2.0]),
        # The second class is in the first image only and fills 5/10 of that; the first has 15/20. Median 5/8.
        ([[5, 5], [10, 0]], [5 / 6, 5 / 4]),
        # Three classes with shares 8/10, 1/10, 4/16: the third is in images of 10 and 6 pixels. Median 1/4.
        ([[8, 1, 1], [3, 0, 3]], [(4 / 16) / (11 / 16), 2.5, 1.0]),
        # A class that never occurs takes no part in the median and weighs one; an empty image counts nowhere.
        ([[4, 0, 4], [0, 0, 0]], [1.0, 1.0, 1.0]),
        ([[9, 0, 1]], [5 / 9, 1.0, 5.0]),
        ([[0, 0], [0, 0]], [1.0, 1.0]),
        # Images of 40 million pixels: no overflow.
        ([[30_000_000, 10_000_000]] * 100, [2 / 3, 2.0]),
    ],
)
def test_median_frequency_weights_by_hand(image_counts: list[list[int]], expected: list[float]) -> None:
    weights = median_frequency_weights(np.array(image_counts, np.int64))
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx(expected, rel=1e-6)


def test_explicit_weights_stand_in_train_id_order_and_are_one_elsewhere() -> None:
    weights = explicit_weights({"bicyclist": 5.0, "pole": 3.0, "sky": 0.5}, CAMVID)
    assert weights.tolist() == [0.5, 1, 3, 1, 1, 1, 1, 1, 1, 1, 5]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("trafic light", "no class of label set 'cityscapes'; the nearest is 'traffic light'; known: road, sidewalk, "),
        ("Road", "the nearest is 'road'"),
        ("", "names '', which is no class"),
    ],
)
def test_weight_of_a_class_that_does_not_exist(name: str, error: str) -> None:
    with pytest.raises(RecipeError, match=rf"^'loss\.class_weights' names '{name}', .*") as caught:
        explicit_weights({"road": 2.0, name: 1.0}, CITYSCAPES)
    assert error in str(caught.value)


def never_counted() -> NoReturn:
    raise AssertionError("nobody needs the pixel counts")


def three_images() -> NDArray[np.int64]:
    counts = np.zeros((3, 11), np.int64)
    counts[:, 0] = [6, 3, 9]
    counts[:, 3] = [2, 1, 3]
    return counts


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"class_weighting": "bounded-log"}, bounded_log_weights(three_images().sum(axis=0)).tolist()),
        ({"class_weighting": "median-frequency"}, [2 / 3, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_weightings_of_a_recipe_that_count(options: dict[str, Any], expected: list[float]) -> None:
    weights = class_weights_of(LossOptions(**options), CAMVID, three_images)
    assert weights is not None
    assert weights.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"class_weighting": "none"}, None),
        ({"class_weights": {"sky": 2.0}}, [2.0] + [1.0] * 10),
    ],
)
def test_weightings_of_a_recipe_that_need_no_counts(options: dict[str, Any], expected: list[float] | None) -> None:
    weights = class_weights_of(LossOptions(**options), CAMVID, never_counted)
    assert (None if weights is None else weights.tolist()) == expected
