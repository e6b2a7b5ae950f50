"""Outlines: hand-drawn masks, and regions found by flood fill with their rings filled back by the even-odd rule."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from contextnet.runtime.polygons import Polygon, trace_polygons

Mask = NDArray[np.bool_]


def mask_of(*rows: str) -> Mask:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def regions_of(mask: Mask) -> list[Mask]:
    """Flood every 4-connected region, the topmost and then leftmost first."""
    left = mask.copy()
    regions = []
    while left.any():
        region = np.zeros_like(mask)
        front = [tuple(int(i) for i in np.argwhere(left)[0])]
        left[front[0]] = False
        while front:
            y, x = front.pop()
            region[y, x] = True
            for beside in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= beside[0] < mask.shape[0] and 0 <= beside[1] < mask.shape[1] and left[beside]:
                    left[beside] = False
                    front.append(beside)
        regions.append(region)
    return regions


def filled(rings: tuple[NDArray[np.int64], ...], size_hw: tuple[int, int]) -> Mask:
    """Set the pixels whose centre has an odd number of edges to its left."""
    picture = np.zeros(size_hw, np.bool_)
    for ring in rings:
        for (x, y), (next_x, next_y) in pairwise(ring.tolist()):
            if x == next_x:
                picture[min(y, next_y) : max(y, next_y), x:] ^= True
    return picture


def shoelace(ring: NDArray[np.int64]) -> float:
    return sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairwise(ring.tolist())) / 2


def assert_simple(ring: NDArray[np.int64]) -> None:
    points = [tuple(point) for point in ring.tolist()]
    assert points[0] == points[-1], "open"
    assert len(set(points)) == len(points) - 1, "comes to a point twice"
    steps = [(b[0] - a[0] != 0, b[1] - a[1] != 0) for a, b in pairwise(points)]
    for step, after in pairwise([*steps, steps[0]]):
        assert {step, after} == {(True, False), (False, True)}, "not a corner"


def assert_outlines(mask: Mask) -> None:
    polygons, regions = trace_polygons(mask), regions_of(mask)
    assert len(polygons) == len(regions)
    for polygon, region in zip(polygons, regions, strict=True):
        for ring in polygon.rings:
            assert_simple(ring)
        outside = regions_of(~np.pad(region, 1))
        assert len(polygon.rings) == len(outside)  # the outer ring stands for the outside, a hole for each other one
        areas = [shoelace(ring) for ring in polygon.rings]
        assert areas[0] > 0
        assert all(area < 0 for area in areas[1:])
        assert sum(areas) == polygon.area_px == region.sum()
        np.testing.assert_array_equal(filled(polygon.rings, mask.shape), region)


def squares(polygons: tuple[Polygon, ...]) -> list[list[list[list[int]]]]:
    return [polygon.coordinates() for polygon in polygons]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(["..", ".."], [], id="nothing"),
        pytest.param(["#"], [[[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]], id="one pixel"),
        pytest.param(["....", ".##."], [[[[1, 1], [3, 1], [3, 2], [1, 2], [1, 1]]]], id="no point on a line"),
        pytest.param(
            ["#.", ".#"],
            [[[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]], [[[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]]],
            id="touching at a corner, falling",
        ),
        pytest.param(
            [".#", "#."],
            [[[[1, 0], [2, 0], [2, 1], [1, 1], [1, 0]]], [[[0, 1], [1, 1], [1, 2], [0, 2], [0, 1]]]],
            id="touching at a corner, rising",
        ),
        pytest.param(
            ["###", "#.#", "###"],
            [[[[0, 0], [3, 0], [3, 3], [0, 3], [0, 0]], [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]]],
            id="hole",
        ),
        pytest.param(
            ["###", "#.#", "##."],
            [
                [
                    [[0, 0], [3, 0], [3, 2], [2, 2], [2, 3], [0, 3], [0, 0]],
                    [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]],
                ]
            ],
            id="a gap closed by a corner is a hole",
        ),
    ],
)
def test_outlines_drawn_by_hand(rows: list[str], expected: list[list[list[list[int]]]]) -> None:
    traced = squares(trace_polygons(mask_of(*rows)))
    assert [[turned(ring) for ring in polygon] for polygon in traced] == [
        [turned(ring) for ring in polygon] for polygon in expected
    ]


def turned(ring: list[list[int]]) -> list[list[int]]:
    """Begin a ring at its least point, since any may be the first."""
    first = ring.index(min(ring))
    return ring[first:-1] + ring[:first]


def test_every_mask_of_nine_pixels() -> None:
    for bits in range(512):
        assert_outlines(np.array([bits >> i & 1 for i in range(9)], np.bool_).reshape(3, 3))


@pytest.mark.parametrize("size_hw", [(1, 40), (40, 1), (12, 17), (23, 8)])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.6, 0.75, 0.9])
def test_random_masks(size_hw: tuple[int, int], share: float) -> None:
    generator = np.random.default_rng(17)
    for _ in range(10):
        assert_outlines(generator.random(size_hw) < share)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(["#####", "#...#", "#.#.#", "#...#", "#####"], id="island in a hole"),
        pytest.param(["#####", "##..#", "#.#.#", "#..##", "#####"], id="island touching the ring around it"),
        pytest.param(["######", "#.#..#", "##.#.#", "#....#", "######"], id="holes touching each other"),
        pytest.param(["#.#.#", ".#.#.", "#.#.#", ".#.#."], id="chess board"),
        pytest.param(["######", "#..#.#", "####.#", "#....#", "######"], id="hole right of a hole"),
        pytest.param(["######", "##..##", "#.##.#", "##..##", "######"], id="holes around an island's corners"),
    ],
)
def test_regions_within_regions(rows: list[str]) -> None:
    assert_outlines(mask_of(*rows))


def test_large_blobs_fill_back() -> None:
    generator = np.random.default_rng(23)
    mask = np.zeros((190, 310), np.bool_)
    for _ in range(400):
        y, x = generator.integers(0, mask.shape)
        mask[y : y + generator.integers(1, 30), x : x + generator.integers(1, 30)] ^= True
    rings = tuple(ring for polygon in trace_polygons(mask) for ring in polygon.rings)
    np.testing.assert_array_equal(filled(rings, mask.shape), mask)


@pytest.mark.parametrize(("min_area_px", "areas"), [(0, [5, 1, 8]), (1, [5, 1, 8]), (2, [5, 8]), (6, [8]), (9, [])])
def test_small_regions_are_left_out_and_small_holes_are_not(min_area_px: int, areas: list[int]) -> None:
    mask = mask_of("#####..", ".......", "......#", "###....", "#.#....", "###....")
    polygons = trace_polygons(mask, min_area_px)
    assert [polygon.area_px for polygon in polygons] == areas
    if areas:
        assert len(polygons[-1].rings) == 2


def test_uint8_masks_are_read_as_well() -> None:
    mask = np.array([[0, 255], [255, 255]], np.uint8)
    assert squares(trace_polygons(mask)) == squares(trace_polygons(mask > 0))
