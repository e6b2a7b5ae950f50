"""A split counted by several ranks scores as by one, to the last bit."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_scenes import MemoryData, Replay, Scene, random_scene, sample_of

from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import DataError
from contextnet.evaluation import Evaluation, Share, evaluate, evaluate_share, merge_shares
from contextnet.labels import CAMVID, CITYSCAPES, LabelSet

IMAGES = 23
MEASURED = replace(CITYSCAPES, name="measured")
"""The classes of Cityscapes without its constants: the average sizes of objects are measured on the split."""


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    generator = np.random.default_rng(31)
    scenes = [random_scene(generator) for _ in range(IMAGES)]
    # Images 4 and 9 are wholly void: they count nothing and have no score of their own.
    for index in (4, 9):
        empty = np.zeros_like(scenes[index].file_ids)
        scenes[index] = replace(scenes[index], file_ids=empty, instances=empty.astype(np.int32))
    return scenes


def data_of(scenes: list[Scene], labels: LabelSet = CITYSCAPES) -> MemoryData:
    return MemoryData([sample_of(scene, Path(f"{i:02}.png")) for i, scene in enumerate(scenes)], labels)


def shares_of(scenes: list[Scene], world_size: int, labels: LabelSet = CITYSCAPES) -> list[Share]:
    """Each rank in a process of its own: its own data and its own predictor, which sees only the rank's images."""
    return [
        evaluate_share(
            Replay([scene.predicted for scene in scenes[rank::world_size]]), data_of(scenes, labels), rank, world_size
        )
        for rank in range(world_size)
    ]


def bits(evaluation: Evaluation) -> tuple[object, ...]:
    """Everything an evaluation says; floats as their exact hexadecimal form, so that NaN equals itself."""
    scores = evaluation.scores
    floats = (*scores.class_iou, *scores.class_iiou, *scores.category_iou, *scores.category_iiou)
    means = (scores.miou, scores.miiou, scores.category_miou, scores.category_miiou, scores.pixel_accuracy)
    images = [(image.path, image.miou.hex()) for image in evaluation.per_image]
    return [value.hex() for value in (*floats, *means)], scores.confusion.tolist(), images


@pytest.mark.parametrize("labels", [CITYSCAPES, MEASURED], ids=["constants", "measured sizes"])
@pytest.mark.parametrize("world_size", [1, 2, 3, 5, IMAGES, IMAGES + 4])
def test_any_number_of_ranks_gives_the_same_bits(scenes: list[Scene], world_size: int, labels: LabelSet) -> None:
    expected = evaluate(Replay([scene.predicted for scene in scenes]), data_of(scenes, labels))
    shares = shares_of(scenes, world_size, labels)
    sizes = [len(share.images) for share in shares]
    assert sum(sizes) == IMAGES
    assert max(sizes) - min(sizes) <= 1
    assert bits(merge_shares(shares, labels)) == bits(expected)
    assert bits(merge_shares(shares[::-1], labels)) == bits(expected)
    assert [str(image.path) for image in expected.per_image] == [
        f"{i:02}.png" for i in range(IMAGES) if i not in (4, 9)
    ]
    assert sum(not math.isnan(iiou) for iiou in expected.scores.class_iiou) == 8


def test_sums_in_the_order_of_ranks_would_differ(scenes: list[Scene]) -> None:
    # The bits are worth holding: adding one rank's images after the other's does not give them.
    shares = [image.objects for image in shares_of(scenes, 1)[0].images]
    found = [[one.class_share for one in objects or () if one.train_id == 13] for objects in shares]
    in_order = sum((sum(values) for values in found), 0.0)
    assert any(
        sum(sum(sum(values) for values in found[rank::world]) for rank in range(world)) != in_order
        for world in range(2, 12)
    )


@pytest.mark.parametrize("world_size", [1, 3])
def test_shares_travel_without_losing_a_bit(scenes: list[Scene], world_size: int) -> None:
    shares = shares_of(scenes, world_size)
    as_json = [Share.from_json(json.loads(json.dumps(share.to_json()))) for share in shares]
    assert as_json == shares
    assert [pickle.loads(pickle.dumps(share)) for share in shares] == shares
    assert bits(merge_shares(as_json, CITYSCAPES)) == bits(merge_shares(shares, CITYSCAPES))


def test_a_share_by_hand() -> None:
    share = evaluate_share(Replay([np.array([[13, 13, 0, 0]], np.uint8)]), two_cars(), 1, 2)
    assert (share.rank, share.world_size, share.data_name, share.split_size) == (1, 2, "memory/val", 2)
    (image,) = share.images
    assert (image.index, image.path, image.miou) == (1, Path("b.png"), pytest.approx((2 / 3 + 1 / 2) / 2))
    assert image.objects is not None
    (cars,) = image.objects
    assert (cars.train_id, cars.objects, cars.pixels) == (13, 2, 3)
    assert (cars.class_share, cars.category_share) == (1.5, 1.5)
    assert (share.confusion[13][13], share.confusion[13][0], share.confusion[0][0]) == (2, 1, 1)
    assert sum(map(sum, share.confusion)) == 4


def two_cars() -> MemoryData:
    image, label = np.zeros((1, 4, 3), np.uint8), np.array([[13, 13, 13, 0]], np.uint8)
    objects = np.array([[26001, 26002, 26002, 7]], np.int32)
    return MemoryData([Sample(image, label, Path(name), None, objects) for name in ("a.png", "b.png")])


def test_sizes_are_averaged_over_the_ranks_by_hand() -> None:
    # One car of 2 pixels, found, and one of 4 on the other rank, missed: 3 on average. A road pixel is called car.
    rows = [
        ([13, 13, 0, 0, 0], [26001, 26001, 7, 7, 7], [13, 13, 0, 0, 0]),
        ([13, 13, 13, 13, 0], [26001, 26001, 26001, 26001, 7], [0, 0, 0, 0, 13]),
    ]
    samples = [
        Sample(
            np.zeros((1, 5, 3), np.uint8),
            np.array([label], np.uint8),
            Path(f"{i}.png"),
            None,
            np.array([ids], np.int32),
        )
        for i, (label, ids, _) in enumerate(rows)
    ]
    data = MemoryData(samples, MEASURED)
    shares = [
        evaluate_share(Replay([np.array([predicted], np.uint8)]), data, rank, 2)
        for rank, (_, _, predicted) in enumerate(rows)
    ]
    scores = merge_shares(shares, MEASURED).scores
    assert scores.class_iiou[13] == pytest.approx(3 / (3 + 3 + 1))
    assert scores.class_iou[13] == pytest.approx(2 / (2 + 4 + 1))


def test_progress_counts_the_ranks_own_images(scenes: list[Scene]) -> None:
    calls: list[tuple[int, int]] = []
    data = data_of(scenes[:5])
    evaluate_share(
        Replay([scene.predicted for scene in scenes[1:5:2]]),
        data,
        1,
        2,
        lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 2), (2, 2)]
    assert sorted(data.indices) == [1, 3]


def test_a_rank_without_an_image_adds_nothing(scenes: list[Scene]) -> None:
    empty = shares_of(scenes[:2], 3)[2]
    assert empty.images == ()
    assert not np.any(empty.confusion)


@pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (0, 0)])
def test_refuses_a_rank_that_there_is_not(rank: int, world_size: int) -> None:
    with pytest.raises(ValueError, match=f"rank {rank} of {world_size}"):
        evaluate_share(Replay([]), data_of([]), rank, world_size)


def test_every_rank_names_an_empty_split() -> None:
    for rank in range(2):
        with pytest.raises(DataError, match="memory/val: the split is empty"):
            evaluate_share(Replay([]), data_of([]), rank, 2)


def test_refuses_shares_that_are_not_one_of_each_rank(scenes: list[Scene]) -> None:
    first, second, third = shares_of(scenes, 3)
    for shares in ([], [first], [first, second], [first, second, second], [first, second, third, third]):
        with pytest.raises(ValueError, match="one share of every rank makes a split"):
            merge_shares(shares, CITYSCAPES)
    short = replace(third, images=third.images[:-1])
    with pytest.raises(ValueError, match="the share of rank 2 does not hold its images"):
        merge_shares([first, second, short], CITYSCAPES)


def test_refuses_ranks_that_saw_other_data(scenes: list[Scene]) -> None:
    first, second = shares_of(scenes, 2)
    with pytest.raises(DataError, match="rank 1 found 22 images there and rank 0 23 in memory/val"):
        merge_shares([first, shares_of(scenes[:-1], 2)[1]], CITYSCAPES)
    with pytest.raises(DataError, match=r"^other/val: rank 1 found 23 images there and rank 0 23 in memory/val"):
        merge_shares([first, replace(second, data_name="other/val")], CITYSCAPES)
    with pytest.raises(DataError, match=r"rank 0 counted the classes road, sidewalk.* expected those of 'camvid'"):
        merge_shares([first, second], CAMVID)


def mixed(*with_instances: bool) -> SegmentationData:
    image, label = np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2), np.uint8)
    objects = np.full((1, 2), 7, np.int32)
    return MemoryData(
        [Sample(image, label, Path(f"{i}.png"), None, objects if has else None) for i, has in enumerate(with_instances)]
    )


@pytest.mark.parametrize(
    ("with_instances", "message"),
    [
        ((True, False, True, False), "^1.png: the image has no instance mask and the images before it have one"),
        ((False, True, False, True), "^1.png: the image has an instance mask and the images before it have none"),
    ],
)
def test_instances_that_only_some_ranks_saw(with_instances: tuple[bool, ...], message: str) -> None:
    # Each of the two ranks sees images of one kind and cannot know it alone.
    data, road = mixed(*with_instances), np.zeros((1, 2), np.uint8)
    shares = [evaluate_share(Replay([road] * 2), data, rank, 2) for rank in range(2)]
    with pytest.raises(DataError, match=message):
        merge_shares(shares, CITYSCAPES)


def test_a_wholly_void_split_is_named_when_all_is_known() -> None:
    image, void = np.zeros((1, 2, 3), np.uint8), np.full((1, 2), 255, np.uint8)
    data = MemoryData([Sample(image, void, Path(f"{i}.png")) for i in range(3)])
    shares = [evaluate_share(Replay([np.zeros((1, 2), np.uint8)] * 2), data, rank, 2) for rank in range(2)]
    with pytest.raises(DataError, match="memory/val: no labelled pixel"):
        merge_shares(shares, CITYSCAPES)


def test_a_share_with_another_type_is_refused(scenes: list[Scene]) -> None:
    values = shares_of(scenes[:2], 1)[0].to_json()
    for spoilt in ({**values, "rank": "first"}, {k: v for k, v in values.items() if k != "images"}):
        with pytest.raises(ValueError, match="Share"):
            Share.from_json(spoilt)
