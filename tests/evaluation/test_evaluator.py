from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_scenes import MemoryData, Replay, random_scene, sample_of
from numpy.typing import NDArray

from contextnet.data.reading import DECODING_THREADS, READ_AHEAD
from contextnet.data.sample import Sample
from contextnet.errors import ContextNetError, DataError, ImageError
from contextnet.evaluation import evaluate
from contextnet.labels import CAMVID, CITYSCAPES, LabelSet


def sample(label: list[int] | None, name: str = "a.png", instances: list[int] | None = None, width: int = 4) -> Sample:
    return Sample(
        np.zeros((1, width, 3), np.uint8),
        None if label is None else np.array([label], np.uint8),
        Path(name),
        Path(name.replace(".png", "_mask.png")),
        None if instances is None else np.array([instances], np.int32),
    )


def replay(*rows: list[int]) -> Replay:
    return Replay([np.array([row], np.uint8) for row in rows])


def test_scores_of_the_split_and_of_each_image() -> None:
    data = MemoryData([sample([0, 0, 1, 1], "a.png"), sample([255] * 4, "b.png"), sample([2, 2, 2, 255], "c.png")])
    calls: list[tuple[int, int]] = []
    evaluation = evaluate(
        replay([0, 0, 1, 0], [5, 5, 5, 5], [2, 2, 2, 7]), data, progress=lambda done, total: calls.append((done, total))
    )
    assert evaluation.scores.class_iou[:3] == pytest.approx([2 / 3, 1 / 2, 1])
    assert evaluation.scores.miou == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert evaluation.scores.pixel_accuracy == pytest.approx(6 / 7)
    # b.png has no labelled pixel and so no score of its own.
    assert [str(image.path) for image in evaluation.per_image] == ["a.png", "c.png"]
    assert [image.miou for image in evaluation.per_image] == pytest.approx([(2 / 3 + 1 / 2) / 2, 1])
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert data.reads == 3


def test_iiou_only_with_instances() -> None:
    row, ids = [13, 13, 0, 255], [26001, 26001, 7, 0]
    with_instances = evaluate(replay([13, 0, 0, 0]), MemoryData([sample(row, instances=ids)])).scores
    without = evaluate(replay([13, 0, 0, 0]), MemoryData([sample(row)])).scores
    assert with_instances.class_iiou[13] == pytest.approx(1 / 2)
    assert math.isnan(without.class_iiou[13])
    assert with_instances.class_iou[13] == without.class_iou[13] == pytest.approx(1 / 2)


PREDICTED = [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("samples", "predicted", "labels", "message"),
    [
        pytest.param([], [], CITYSCAPES, "memory/val: the split is empty", id="empty split"),
        pytest.param([sample(None)], [PREDICTED], CITYSCAPES, "^a.png: the image has no ground truth", id="no truth"),
        pytest.param([sample([255] * 4)], [PREDICTED], CITYSCAPES, "memory/val: no labelled pixel", id="all void"),
        pytest.param(
            [sample(PREDICTED, "a.png", PREDICTED), sample(PREDICTED, "b.png")],
            [PREDICTED] * 2,
            CITYSCAPES,
            "^b.png: the image has no instance mask and the images before it have one",
            id="instances missing",
        ),
        pytest.param(
            [sample(PREDICTED, "a.png"), sample(PREDICTED, "b.png", PREDICTED)],
            [PREDICTED] * 2,
            CITYSCAPES,
            "^b.png: the image has an instance mask and the images before it have none",
            id="instances too many",
        ),
        pytest.param(
            [sample(PREDICTED, "a.png", [99001] * 4)],
            [PREDICTED],
            CITYSCAPES,
            "^a_mask.png: the instance mask holds object 99001 of file id 99",
            id="unknown object",
        ),
        pytest.param(
            [sample([0, 0, 0])],
            [PREDICTED],
            CITYSCAPES,
            "^a_mask.png: the ground truth is 1 × 3 pixels",
            id="mask size",
        ),
        pytest.param(
            [sample(PREDICTED)], [[0, 0, 0]], CITYSCAPES, r"^a.png: the prediction has shape \(1, 3\)", id="size"
        ),
        pytest.param(
            [sample(PREDICTED)],
            [[0, 18, 0, 255]],
            CAMVID,
            "^a.png: the prediction holds train id 18; the data has 11 classes",
            id="network of another label set",
        ),
        pytest.param(
            [sample([0, 11, 0, 0])], [PREDICTED], CAMVID, "^a_mask.png: the ground truth holds train id 11", id="truth"
        ),
    ],
)
def test_refuses_by_name(samples: list[Sample], predicted: list[list[int]], labels: LabelSet, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(replay(*predicted), MemoryData(samples, labels))


def test_a_predictor_with_another_dtype_is_refused() -> None:
    predictor = Replay([np.zeros((1, 4), np.int64)])
    with pytest.raises(TypeError, match="a predictor returns uint8 train ids; found int64"):
        evaluate(predictor, MemoryData([sample(PREDICTED)]))


def test_few_images_are_held_at_a_time() -> None:
    generator = np.random.default_rng(3)
    scenes = [random_scene(generator) for _ in range(40)]
    alive: list[weakref.ref[Sample]] = []

    class Watched(MemoryData):
        def __getitem__(self, index: int) -> Sample:
            made = replace(super().__getitem__(index))
            alive.append(weakref.ref(made))
            return made

    counts: list[int] = []

    def count(done: int, total: int) -> None:
        counts.append(sum(reference() is not None for reference in alive))

    data = Watched([sample_of(scene, Path(f"{i}.png")) for i, scene in enumerate(scenes)])
    evaluate(Replay([scene.predicted for scene in scenes]), data, progress=count)
    assert len(counts) == 40
    assert 1 < max(counts) <= READ_AHEAD + DECODING_THREADS


class Signalling(MemoryData):
    """Samples of which each is read when what it waits for has happened, and may then fail."""

    def __init__(self, count: int, errors: dict[int, Exception]) -> None:
        super().__init__([sample(PREDICTED, f"{i}.png") for i in range(count)])
        self._errors = errors
        self.asked = [threading.Event() for _ in range(count)]
        self.waits: dict[int, threading.Event] = {}

    def __getitem__(self, index: int) -> Sample:
        self.asked[index].set()
        if index in self.waits:
            assert self.waits[index].wait(5)
        if index in self._errors:
            raise self._errors[index]
        return super().__getitem__(index)


class Counting:
    """A predictor that counts its images, and acts before it answers."""

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        self._act = act
        self.images = 0

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.images += 1
        self._act()
        return np.zeros(image_HW3.shape[:2], np.uint8)


def test_the_next_images_are_read_while_one_is_predicted() -> None:
    data = Signalling(READ_AHEAD, {})
    predictor = Counting(lambda: pytest.fail("not read ahead") if not data.asked[-1].wait(5) else None)
    assert evaluate(predictor, data).scores.miou == 1
    assert sorted(data.indices) == list(range(READ_AHEAD))


@pytest.mark.parametrize(
    ("errors", "expected", "predicted"),
    [
        ({2: DataError("2.png: wrong"), 3: ImageError("3.png: cut off")}, (DataError, "^2.png: wrong$"), 2),
        ({2: ImageError("2.png: cut off"), 3: KeyError("a mistake")}, (ImageError, "^2.png: cut off$"), 2),
        ({2: KeyError("a mistake"), 3: DataError("3.png: wrong")}, (KeyError, "^'a mistake'$"), 2),
        ({0: ContextNetError("no data error"), 1: DataError("1.png: wrong")}, (ContextNetError, "^no data error$"), 0),
    ],
)
def test_the_first_sample_that_fails_is_raised_after_those_before_it(
    errors: dict[int, Exception], expected: tuple[type[Exception], str], predicted: int
) -> None:
    # The first of the two that fail waits until the second has been asked for.
    data, predictor = Signalling(6, errors), Counting()
    first, second = sorted(errors)
    data.waits = {first: data.asked[second]}
    with pytest.raises(expected[0], match=expected[1]) as caught:
        evaluate(predictor, data)
    assert caught.value is errors[first]
    assert predictor.images == predicted


def test_a_fault_of_the_predictor_comes_before_that_of_a_later_sample() -> None:
    data = Signalling(4, {1: DataError("1.png: wrong")})

    def act() -> None:
        assert data.asked[1].wait(5)
        raise RuntimeError("the network failed")

    with pytest.raises(RuntimeError, match="the network failed"):
        evaluate(Counting(act), data)


def test_reading_ends_with_an_evaluation_that_failed() -> None:
    data = Signalling(1000, {0: DataError("0.png: wrong")})
    with pytest.raises(DataError, match=r"0\.png"):
        evaluate(Counting(), data)
    for thread in threading.enumerate():
        if thread.name.startswith("decode-"):
            thread.join(timeout=10)
            assert not thread.is_alive()
    assert data.reads < READ_AHEAD


def test_order_of_images_does_not_change_the_scores() -> None:
    generator = np.random.default_rng(7)
    scenes = [random_scene(generator) for _ in range(6)]
    make: Callable[[int], Sample] = lambda i: sample_of(scenes[i], Path(f"{i}.png"))  # noqa: E731
    orders = [list(range(6)), list(reversed(range(6)))]
    first, second = (
        evaluate(Replay([scenes[i].predicted for i in order]), MemoryData([make(i) for i in order])).scores
        for order in orders
    )
    assert np.array_equal(first.confusion, second.confusion)
    np.testing.assert_allclose(first.class_iiou, second.class_iiou, rtol=1e-12)
