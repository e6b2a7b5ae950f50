"""Errors are mean end-point errors in pixels; a cell is 8×8 pixels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from moving_pictures import picture, true_motion
from numpy.typing import NDArray

from contextnet.data.synthetic import Drive
from contextnet.runtime.smoothing.brightness import cell_brightness, pyramid
from contextnet.runtime.smoothing.motion_estimate import Motion, box_mean, estimate_motion
from contextnet.runtime.smoothing.warping import Plane

SIZE_HW = (256, 512)


def levels(image: NDArray[np.uint8]) -> tuple[Plane, ...]:
    return pyramid(cell_brightness(image, (image.shape[0] // 8, image.shape[1] // 8)))


def error_px(found: Motion, expected_px: NDArray[np.floating], where: NDArray[np.bool_]) -> float:
    return float(np.hypot(*(8 * found - expected_px))[where].mean())


@pytest.mark.parametrize(
    ("shift_px", "zoom", "most_px"),
    [
        pytest.param((0, 0), 1.0, 0.01, id="stands still"),
        pytest.param((3, -5), 1.0, 0.8, id="less than a cell"),
        pytest.param((0, 24), 1.0, 1.0, id="three cells"),
        pytest.param((-20, 40), 1.0, 1.5, id="45 pixels aslant"),
        pytest.param((0, 0), 0.95, 0.9, id="forward, 14 pixels in the corners"),
        pytest.param((0, 0), 0.8, 3.5, id="forward, 57 pixels in the corners"),
        pytest.param((4, 8), 1.1, 1.5, id="backward and turning"),
    ],
)
def test_known_motion_is_found(shift_px: tuple[float, float], zoom: float, most_px: float) -> None:
    expected_px = true_motion(SIZE_HW, shift_px, zoom)
    y, x = expected_px + true_motion(SIZE_HW, zoom=2.0)
    seen_before = (abs(y) < SIZE_HW[0] / 2) & (abs(x) < SIZE_HW[1] / 2)
    errors_px = []
    for seed in range(3):
        found = estimate_motion(levels(picture(SIZE_HW, seed, shift_px, zoom)), levels(picture(SIZE_HW, seed)))
        errors_px.append(error_px(found, expected_px, seen_before))
    assert np.mean(errors_px) <= most_px


def test_steady_motion_is_followed_further_with_the_motion_before_as_a_guess() -> None:
    zoom, motion = 0.7, None
    expected_px = true_motion(SIZE_HW, zoom=zoom)
    everywhere = np.ones(expected_px.shape[1:], np.bool_)
    errors_px = []
    for _ in range(3):
        motion = estimate_motion(levels(picture(SIZE_HW, 1, zoom=zoom)), levels(picture(SIZE_HW, 1)), motion)
        errors_px.append(error_px(motion, expected_px, everywhere))
    assert errors_px[2] < 0.7 * errors_px[0]


def test_what_shows_nothing_does_not_move() -> None:
    flat = levels(np.full((*SIZE_HW, 3), 90, np.uint8))
    assert not estimate_motion(flat, flat).any()


@pytest.mark.parametrize("size_hw", [(8, 8), (8, 200), (136, 232)])
def test_sizes_that_do_not_halve_evenly(size_hw: tuple[int, int]) -> None:
    now = levels(picture(size_hw, 5))
    first = estimate_motion(now, now)
    again = estimate_motion(now, now, first)
    assert first.shape == again.shape == (2, size_hw[0] // 8, size_hw[1] // 8)
    np.testing.assert_allclose(again, 0, atol=1e-6)


def test_a_drive_is_followed() -> None:
    """Where there is more to see than road and pavement the error is below half of the motion."""
    drive = Drive(10_001, SIZE_HW, 8)
    frames = [drive.frame(index) for index in range(4)]
    motion, errors_px, lengths_px = None, [], []
    for before, now in pairwise(frames):
        motion = estimate_motion(levels(now.image), levels(before.image), motion)
        flow_px = np.moveaxis(drive.motion_of(now)[4::8, 4::8], 2, 0)
        structured = np.isfinite(flow_px).all(axis=0) & (now.label_ids[4::8, 4::8] > 8)
        errors_px.append(error_px(motion, flow_px, structured))
        lengths_px.append(float(np.hypot(*flow_px)[structured].mean()))
    assert np.mean(errors_px) < 0.5 * np.mean(lengths_px)


def test_box_means_by_hand() -> None:
    plane = np.array([[9, 0, 0], [0, 0, 0], [0, 0, 18]], np.float32)
    # In a corner, repeated edges put four of the nine cells on the corner's own value.
    expected = [[4, 2, 0], [2, 3, 4], [0, 4, 8]]
    np.testing.assert_allclose(box_mean(np.stack([plane, 2 * plane]), 1)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(box_mean(np.stack([plane, 2 * plane]), 1)[1], 2 * np.array(expected), rtol=1e-6)
