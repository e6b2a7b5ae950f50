from __future__ import annotations

import numpy as np
import pytest

from contextnet.runtime.smoothing.brightness import cell_brightness, halved, pyramid


def test_a_cell_is_the_mean_green_of_half_its_pixels() -> None:
    image = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    rows, columns = np.mgrid[:16, :24]
    read = (rows + columns) % 2 == 0
    expected = [
        [image[8 * i : 8 * i + 8, 8 * j : 8 * j + 8, 1][read[:8, :8]].mean() for j in range(3)] for i in range(2)
    ]
    found = cell_brightness(image, (2, 3))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("cells_hw", [(4, 6), (3, 5), (1, 1)])
def test_any_number_of_cells_are_means_over_a_chessboard(cells_hw: tuple[int, int]) -> None:
    height, width = (8 * cells for cells in cells_hw)
    image = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
    expected = np.zeros(cells_hw)
    for i, j in np.ndindex(cells_hw):
        cell = image[8 * i : 8 * (i + 1), 8 * j : 8 * (j + 1), 1]
        expected[i, j] = np.mean([cell[y, x] for y, x in np.ndindex(cell.shape) if (y + x) % 2 == 0])
    found = cell_brightness(image, cells_hw)
    assert (found.dtype, found.shape) == (np.float32, cells_hw)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("size_hw", "cells_hw"), [((8, 8), (4, 4)), ((1, 1), (2, 3)), ((13, 9), (2, 2)), ((9, 15), (4, 4))]
)
def test_edges_are_repeated_where_the_cells_reach_beyond(size_hw: tuple[int, int], cells_hw: tuple[int, int]) -> None:
    image = np.zeros((*size_hw, 3), np.uint8)
    image[:] = np.linspace(0, 250, size_hw[1]).astype(np.uint8)[:, None]
    beyond = [(0, 8 * cells - pixels) for cells, pixels in zip(cells_hw, size_hw, strict=True)]
    padded = np.pad(image, [*beyond, (0, 0)], mode="edge")
    np.testing.assert_array_equal(cell_brightness(image, cells_hw), cell_brightness(padded, cells_hw))


def test_a_picture_beyond_its_cells_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a picture of \(9, 8\) for \(1, 1\) cells of 8×8"):
        cell_brightness(np.zeros((9, 8, 3), np.uint8), (1, 1))


@pytest.mark.parametrize(
    ("plane", "expected"),
    [
        pytest.param([[1, 3], [5, 7]], [[4]], id="one square"),
        pytest.param([[1, 3, 10]], [[2, 10]], id="odd sides are repeated"),
        pytest.param([[6]], [[6]], id="one cell"),
    ],
)
def test_halving(plane: list[list[float]], expected: list[list[float]]) -> None:
    assert halved(np.array(plane, np.float32)).tolist() == expected


@pytest.mark.parametrize(
    ("size_hw", "expected"),
    [
        ((128, 256), [(128, 256), (64, 128), (32, 64), (16, 32), (8, 16)]),
        ((45, 33), [(45, 33), (23, 17), (12, 9)]),
        ((15, 99), [(15, 99)]),
    ],
)
def test_a_pyramid_ends_below_16_cells(size_hw: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    assert [level.shape for level in pyramid(np.zeros(size_hw, np.float32))] == expected
