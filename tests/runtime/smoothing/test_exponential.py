from __future__ import annotations

import numpy as np
import pytest

from contextnet.runtime.smoothing.exponential import Exponential

IMAGE = np.zeros((8, 8, 3), np.uint8)


def scores(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, np.float32).reshape(-1, 1, 1)


@pytest.mark.parametrize(
    ("weight", "given", "expected"),
    [
        pytest.param(0.5, [4, 0, 0, 8], [4, 2, 1, 4.5], id="half of what was before"),
        pytest.param(0.25, [4, 0, 8], [4, 1, 6.25], id="a quarter"),
        pytest.param(0.0, [4, 0, 8], [4, 0, 8], id="nothing"),
    ],
)
def test_each_score_is_averaged_with_the_smoothed_one_before(
    weight: float, given: list[float], expected: list[float]
) -> None:
    smoother = Exponential(weight)
    found = [smoother.smooth(scores(value, -value), IMAGE).ravel().tolist() for value in given]
    assert found == [[value, -value] for value in expected]


def test_given_scores_stay_as_they_are() -> None:
    smoother, first, second = Exponential(0.5), scores(4), scores(0)
    smoother.smooth(first, IMAGE)
    smoother.smooth(second, IMAGE)
    assert (first.item(), second.item()) == (4, 0)


def test_it_forgets_when_told_and_when_the_shape_changes() -> None:
    smoother = Exponential(0.5)
    smoother.smooth(scores(4), IMAGE)
    smoother.reset()
    assert smoother.smooth(scores(0), IMAGE).item() == 0
    np.testing.assert_array_equal(smoother.smooth(scores(8, 8), IMAGE), scores(8, 8))
    np.testing.assert_array_equal(smoother.smooth(scores(0, 8), IMAGE), scores(4, 8))


@pytest.mark.parametrize("weight", [-0.1, 1.0, float("nan")])
def test_weights_out_of_range_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="of the frames before; 0 to below 1"):
        Exponential(weight)
