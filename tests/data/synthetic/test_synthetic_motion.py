"""True motion: by hand for a point, and by warping the frame before."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from contextnet.data.synthetic import Drive
from contextnet.data.synthetic.bend import Bend
from contextnet.data.synthetic.bodies import Solid, Thing
from contextnet.data.synthetic.camera import Camera, Pose
from contextnet.data.synthetic.flow import backward_flow
from contextnet.data.synthetic.tracks import Track

STRAIGHT = Bend((), (), ())
CAMERA = Camera((100, 200), 100.0)


def test_projection_by_hand() -> None:
    pose = Pose(1.0, 1.5, 2.0, 0.0, 0.0)
    points = np.array([[1.0, 1.5, 12.0], [2.0, 0.5, 12.0], [1.0, 1.5, 1.0]])
    pixels, depth = CAMERA.project(points, pose)
    # Straight ahead: the middle. One metre right and one down at 10 m: 100 / 10 pixels each way.
    np.testing.assert_allclose(pixels[:2], [[50, 100], [60, 110]])
    np.testing.assert_allclose(depth, [10, 10, -1])
    assert np.isnan(pixels[2]).all()


def test_yaw_turns_right_and_pitch_looks_down() -> None:
    turned = Pose(0, 0, 0, np.pi / 2, 0.0)
    np.testing.assert_allclose(CAMERA.project(np.array([[5.0, 0, 0]]), turned)[0], [[50, 100]], atol=1e-9)
    lowered = Pose(0, 0, 0, 0.0, np.pi / 4)
    np.testing.assert_allclose(CAMERA.project(np.array([[0, -5.0, 5.0]]), lowered)[0], [[50, 100]], atol=1e-9)


def test_a_ground_point_moves_as_computed_by_hand() -> None:
    """Camera 1.5 m up moves 1 m forward. Row 64.5 is 14.5 px below the middle: depth 150 / 14.5 = 10.345 m.

    One metre earlier the point lay at 11.345 m, so at 150 / 11.345 = 13.222 px below: dy = -1.278. Column 120.5 is
    20.5 px right of the middle, before 20.5 · 10.345 / 11.345 = 18.693: dx = -1.807.
    """
    depth = np.full((100, 200), 150 / 14.5, np.float32)
    ids = np.full((100, 200), 7, np.int32)
    poses = Pose(0, 1.5, 1.0, 0, 0), Pose(0, 1.5, 0.0, 0, 0)
    flow = backward_flow(CAMERA, poses, (1.0, 0.0), depth, ids, [])
    np.testing.assert_allclose(flow[64, 120], [-1.278, -1.807], atol=2e-3)


def test_a_thing_at_the_cameras_speed_stands_still_and_the_sky_only_turns() -> None:
    depth = np.full((100, 200), 10.0, np.float32)
    depth[:50] = np.inf
    ids = np.where(np.isinf(depth), 23, 26_004).astype(np.int32)
    thing = Thing(Solid((), 1.0), Track(STRAIGHT, 5.0, 0.0, along_speed=2.0), (26_004,))
    poses = Pose(0, 1.5, 2.0, 0, 0), Pose(0, 1.5, 0.0, 0, 0)
    flow = backward_flow(CAMERA, poses, (1.0, 0.0), depth, ids, [thing])
    np.testing.assert_allclose(flow, 0, atol=1e-4)
    turned = Pose(0, 1.5, 2.0, 0.1, 0), Pose(0, 1.5, 0.0, 0, 0)
    flow = backward_flow(CAMERA, turned, (1.0, 0.0), depth, ids, [thing])
    # The middle looked 0.1 rad to the right; before, that direction lay tan(0.1) · 100 px right of the middle.
    # Half a pixel from the middle the tangent's slope adds 0.5 %.
    np.testing.assert_allclose(flow[49, 100, 1], 100 * np.tan(0.1) + 0.005, atol=2e-3)


def test_points_that_were_outside_have_no_motion() -> None:
    depth = np.full((100, 200), 10.0, np.float32)
    poses = Pose(1.0, 1.5, 0, 0, 0), Pose(0, 1.5, 0, 0, 0)
    flow = backward_flow(CAMERA, poses, (1.0, 0.0), depth, np.full((100, 200), 7, np.int32), [])
    # The camera went 1 m right: everything at 10 m lay 10 px further right before.
    np.testing.assert_allclose(flow[:, :189, 1], 10, atol=1e-4)
    assert np.isnan(flow[:, 191:]).all()


@pytest.mark.parametrize("seed", [3])
def test_warping_the_frame_before_explains_the_picture(seed: int) -> None:
    drive = Drive(seed, (128, 256), 12)
    before, now = drive.frame(9), drive.frame(10)
    flow = drive.motion_of(now)
    known = np.isfinite(flow).all(-1)
    assert known.mean() > 0.9
    warped, labels = _sampled(before.image, flow, known), _sampled_labels(before.label_ids, flow, known)
    plain_error = np.abs(before.image[known].astype(float) - now.image[known]).mean()
    warped_error = np.abs(warped - now.image[known]).mean()
    assert warped_error < 0.7 * plain_error
    plain_agreement = (before.label_ids[known] == now.label_ids[known]).mean()
    assert (labels == now.label_ids[known]).mean() > plain_agreement


def test_the_first_frame_has_no_motion() -> None:
    assert np.isnan(Drive(3, (32, 64), 2).motion(0)).all()


def _places(flow: NDArray[np.float32], known: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = np.nonzero(known)
    return rows + flow[known][:, 0].astype(float), columns + flow[known][:, 1].astype(float)


def _sampled(image: NDArray[np.uint8], flow: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    height, width = image.shape[:2]
    y, x = _places(flow, known)
    y, x = np.clip(y, 0, height - 1.001), np.clip(x, 0, width - 1.001)
    top, left = y.astype(int), x.astype(int)
    b, r = (y - top)[:, None], (x - left)[:, None]
    upper = image[top, left] * (1 - r) + image[top, left + 1] * r
    lower = image[top + 1, left] * (1 - r) + image[top + 1, left + 1] * r
    return upper * (1 - b) + lower * b


def _sampled_labels(
    labels: NDArray[np.uint8], flow: NDArray[np.float32], known: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    height, width = labels.shape
    y, x = _places(flow, known)
    return labels[np.clip(np.rint(y), 0, height - 1).astype(int), np.clip(np.rint(x), 0, width - 1).astype(int)]
