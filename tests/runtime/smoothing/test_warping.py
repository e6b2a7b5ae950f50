from __future__ import annotations

import numpy as np
import pytest

from contextnet.runtime.smoothing.warping import Places, enlarged

PLANE = np.array([[0, 1, 2], [10, 11, 12]], np.float32)


@pytest.mark.parametrize(
    ("motion", "expected", "inside"),
    [
        pytest.param((0, 0), [[0, 1, 2], [10, 11, 12]], [[1, 1, 1], [1, 1, 1]], id="stands still"),
        pytest.param((0, 1), [[1, 2, 2], [11, 12, 12]], [[1, 1, 0], [1, 1, 0]], id="from the right"),
        pytest.param((-1, 0), [[0, 1, 2], [0, 1, 2]], [[0, 0, 0], [1, 1, 1]], id="from above"),
        pytest.param((0.25, 0.5), [[3, 4, 4.5], [10.5, 11.5, 12]], [[1, 1, 1], [1, 1, 1]], id="between cells"),
        pytest.param((-99, 99), [[2, 2, 2], [2, 2, 2]], [[0, 0, 0], [0, 0, 0]], id="far outside"),
    ],
)
def test_reading_by_hand(motion: tuple[float, float], expected: list[list[float]], inside: list[list[int]]) -> None:
    places = Places.moved_by(np.broadcast_to(np.array(motion, np.float32)[:, None, None], (2, 2, 3)))
    np.testing.assert_allclose(places.read(PLANE), expected, atol=1e-6)
    np.testing.assert_array_equal(places.inside, np.array(inside, np.bool_))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 5), (5, 1)])
def test_planes_of_one_row_or_column(size_hw: tuple[int, int]) -> None:
    plane = np.random.default_rng(1).random(size_hw, np.float32)
    np.testing.assert_array_equal(Places.moved_by(np.zeros((2, *size_hw), np.float32)).read(plane), plane)
    far = Places.moved_by(np.full((2, *size_hw), 9, np.float32))
    np.testing.assert_array_equal(far.read(plane), np.full(size_hw, plane[-1, -1]))


def test_random_motion_against_a_plain_loop() -> None:
    rng = np.random.default_rng(2)
    plane, motion = rng.random((7, 9), np.float32), rng.normal(0, 3, (2, 7, 9)).astype(np.float32)
    found = Places.moved_by(motion).read(plane)
    for row, column in np.ndindex(7, 9):
        y = min(max(row + float(motion[0, row, column]), 0.0), 6.0)
        x = min(max(column + float(motion[1, row, column]), 0.0), 8.0)
        # The tent function of the distance is the bilinear weight of every cell.
        tents = np.maximum(0, 1 - abs(np.arange(7) - y))[:, None] * np.maximum(0, 1 - abs(np.arange(9) - x))
        assert found[row, column] == pytest.approx((tents * plane).sum(), abs=1e-5)


@pytest.mark.parametrize(
    ("plane", "factor", "expected"),
    [
        pytest.param([[0, 8]], 2, [[0, 2, 6, 8]] * 2, id="a row"),
        pytest.param([[0], [16]], 8, [[v] * 8 for v in (0, 0, 0, 0, *range(1, 16, 2), 16, 16, 16, 16)], id="a column"),
        pytest.param([[5]], 2, [[5, 5], [5, 5]], id="one cell"),
        pytest.param([[1, 2], [3, 4]], 1, [[1, 2], [3, 4]], id="as it is"),
    ],
)
def test_enlarging_by_hand(plane: list[list[float]], factor: int, expected: list[list[float]]) -> None:
    assert enlarged(np.array(plane, np.float32), factor).tolist() == expected


@pytest.mark.parametrize("factor", [2, 8])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 5), (5, 1), (7, 9)])
def test_enlarging_against_plain_interpolation(factor: int, size_hw: tuple[int, int]) -> None:
    plane = np.random.default_rng(3).normal(0, 9, size_hw).astype(np.float32)
    before = plane.copy()
    # NumPy holds the edges.
    down, aside = ((np.arange(factor * length) + 0.5) / factor - 0.5 for length in size_hw)
    rows = np.stack([np.interp(down, np.arange(size_hw[0]), column) for column in plane.T], axis=1)
    expected = np.stack([np.interp(aside, np.arange(size_hw[1]), row) for row in rows])
    found = enlarged(plane, factor)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(plane, before)
