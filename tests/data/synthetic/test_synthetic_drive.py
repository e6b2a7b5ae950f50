"""Drives: determinism, classes, agreement of the ground truths, depth order, sizes, faults."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from contextnet.data.synthetic import Drive, StreetFrame, drives_for
from contextnet.data.synthetic.ids import HAS_INSTANCES, LABEL_ID, InstanceNumbers
from contextnet.errors import DataError
from contextnet.labels import CITYSCAPES

SMALL = (128, 256)


@pytest.fixture(scope="module")
def drive() -> Drive:
    return Drive(seed=3, size_hw=SMALL, frame_count=24)


@pytest.fixture(scope="module")
def frame(drive: Drive) -> StreetFrame:
    return drive.frame(8)


def test_a_frame_is_a_pure_function_of_seed_and_index(drive: Drive, frame: StreetFrame) -> None:
    again: Drive = pickle.loads(pickle.dumps(drive))
    assert len(again) == 24
    again.frame(2)
    again.release()
    other = again.frame(8)
    np.testing.assert_array_equal(frame.image, other.image)
    np.testing.assert_array_equal(frame.instance_ids, other.instance_ids)
    np.testing.assert_array_equal(frame.depth_m, other.depth_m)


def test_seeds_and_frames_differ(drive: Drive, frame: StreetFrame) -> None:
    assert np.abs(drive.frame(12).image.astype(int) - frame.image).mean() > 3
    assert np.abs(Drive(4, SMALL, 24).frame(8).image.astype(int) - frame.image).mean() > 3


def test_shapes_types_and_times(frame: StreetFrame) -> None:
    assert frame.image.shape == (128, 256, 3)
    kinds = (frame.image.dtype, frame.label_ids.dtype, frame.instance_ids.dtype, frame.depth_m.dtype)
    assert kinds == (np.uint8, np.uint8, np.int32, np.float32)
    assert frame.index == 8
    assert frame.time_s == pytest.approx(8 / 17)


@pytest.mark.parametrize("seed", [0, 10_000])
def test_all_19_classes_have_a_share_of_every_drive(seed: int) -> None:
    drive = Drive(seed, SMALL, frame_count=24)
    counts = np.zeros(19)
    for index in (0, 6, 12, 18, 23):
        counts += np.bincount(CITYSCAPES.encode(drive.frame(index).label_ids).ravel(), minlength=19)
    shares = dict(zip(CITYSCAPES.names, counts / counts.sum(), strict=True))
    assert min(shares.values()) > 0.0003, shares
    assert shares["road"] > 0.1
    assert 0.02 < shares["sky"] < 0.5


def test_instances_and_labels_agree(frame: StreetFrame) -> None:
    single = frame.instance_ids >= 1000
    np.testing.assert_array_equal(frame.instance_ids[single] // 1000, frame.label_ids[single])
    np.testing.assert_array_equal(frame.instance_ids[~single], frame.label_ids[~single])
    assert set(np.unique(frame.label_ids[single]).tolist()) <= HAS_INSTANCES
    assert not set(np.unique(frame.label_ids[~single]).tolist()) & HAS_INSTANCES


def test_the_sky_alone_is_infinitely_far(frame: StreetFrame) -> None:
    sky = frame.label_ids == LABEL_ID["sky"]
    assert np.isinf(frame.depth_m[sky]).all()
    assert np.isfinite(frame.depth_m[~sky]).all()
    assert frame.depth_m.min() > 0.2


def test_an_object_hides_the_ground_behind_it_and_stands_before_it(drive: Drive, frame: StreetFrame) -> None:
    """On a pixel's ray the ground lies at one depth; whatever is drawn there below the horizon must be nearer."""
    pose, camera = drive.pose(8), drive.camera
    down = (np.arange(128) + 0.5 - 64) / camera.focal_px
    falling = down * np.cos(pose.pitch_rad) + np.sin(pose.pitch_rad)
    rows = np.flatnonzero(falling > 0.05)
    ground_m = pose.y_m / falling[rows]
    on_ground = np.isin(frame.label_ids[rows], [LABEL_ID[name] for name in ("road", "sidewalk", "terrain")])
    ratio = frame.depth_m[rows] / ground_m[:, None]
    np.testing.assert_allclose(ratio[on_ground], 1.0, rtol=1e-4)
    assert ratio[~on_ground].max() < 1.001
    assert (~on_ground).sum() > 200


def test_a_finer_picture_shows_the_same_view(drive: Drive, frame: StreetFrame) -> None:
    finer = Drive(3, (256, 512), 24).frame(8)
    agree = finer.label_ids[::2, ::2] == frame.label_ids
    assert agree.mean() > 0.9
    averaged = finer.image.reshape(128, 2, 256, 2, 3).mean((1, 3))
    assert np.abs(averaged - frame.image).mean() < 14


@pytest.mark.parametrize("size_hw", [(97, 131), (16, 16), (131, 61)])
def test_any_size(size_hw: tuple[int, int]) -> None:
    frame = Drive(1, size_hw, 2).frame(1)
    assert frame.image.shape == (*size_hw, 3)
    assert frame.label_ids.shape == frame.depth_m.shape == size_hw


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed -1"),
        ({"seed": 0, "size_hw": (8, 64)}, "size_hw"),
        ({"seed": 0, "size_hw": (64, 9000)}, "size_hw"),
        ({"seed": 0, "frame_count": 0}, "frame_count 0"),
        ({"seed": 0, "frames_per_s": 0.0}, "frames_per_s"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Drive(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("index", [-1, 24])
def test_a_frame_beyond_the_end(drive: Drive, index: int) -> None:
    with pytest.raises(IndexError, match="24 frames"):
        drive.frame(index)


def test_iterating_gives_every_frame_in_order() -> None:
    assert [frame.index for frame in Drive(2, (32, 64), 3)] == [0, 1, 2]


def test_splits_have_seeds_of_their_own() -> None:
    seeds = {split: [drive.seed for drive in drives_for(split, 3)] for split in ("train", "val", "demo")}
    assert seeds == {"train": [0, 1, 2], "val": [10000, 10001, 10002], "demo": [20000, 20001, 20002]}


@pytest.mark.parametrize(
    ("split", "count", "message"), [("test", 1, "'test'"), ("val", 0, "0 drives"), ("val", 10_001, "10001")]
)
def test_unknown_splits_and_counts_are_named(split: str, count: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        drives_for(split, count)


def test_instance_numbers_run_out_by_name() -> None:
    numbers = InstanceNumbers()
    assert [numbers.take("car"), numbers.take("car"), numbers.take("bus"), numbers.take("pole")] == [
        26000,
        26001,
        28000,
        17,
    ]
    for _ in range(998):
        numbers.take("car")
    with pytest.raises(DataError, match="'car'"):
        numbers.take("car")
