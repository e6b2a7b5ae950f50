"""Scores under conditions, worked out by hand; and that every network sees the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_scenes import MemoryData
from numpy.typing import NDArray

from contextnet.data.conditions.catalogue import CONDITIONS, Condition, find_conditions
from contextnet.data.conditions.contrast import LowContrast
from contextnet.data.conditions.exposure import OverExposure
from contextnet.data.conditions.scaling import Scaling
from contextnet.data.sample import Sample
from contextnet.errors import DataError
from contextnet.evaluation.robustness import measure_robustness, under
from contextnet.evaluation.scaled import ScaledPredictor
from contextnet.labels import LabelClass, LabelSet
from street_picture import StreetData, street_picture

TWO = LabelSet(
    "two", (LabelClass("dark", (0, 0, 0), "tone", (0,)), LabelClass("bright", (255, 255, 255), "tone", (1,)))
)

BRIGHTER = Condition("overexposed", "medium", OverExposure(1))
FLATTER = Condition("low-contrast", "medium", LowContrast(0.5))
SMALLER = Condition("smaller", "medium", Scaling(0.5))


class Threshold:
    """Calls a pixel bright from a value on, and keeps what it was shown."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.seen: list[NDArray[np.uint8]] = []

    def labels(self, image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.seen.append(image_HW3.copy())
        return (image_HW3[..., 0] >= self.value).astype(np.uint8)


def tones() -> MemoryData:
    """Columns of the values 50, 118, 180 and 250, of which the last two are bright; two rows of void below."""
    image = np.array([50, 118, 180, 250], np.uint8)[None, :, None].repeat(6, axis=0).repeat(3, axis=2)
    label = np.array([0, 0, 1, 1], np.uint8)[None].repeat(6, axis=0)
    label[4:] = 255
    return MemoryData([Sample(image, label, Path("tones.png"))], TWO, "tones/val")


def test_miou_loss_mean_and_order_by_hand() -> None:
    # Twice the light turns 118 into 162: at 150 three of four columns are called bright. IoU of dark 4 of 8, of bright
    # 8 of 12. Half the contrast about the mean of 149.5 leaves every column on its side.
    found = measure_robustness(Threshold(150), tones(), (FLATTER, BRIGHTER))
    assert found.clean.class_iou == (1.0, 1.0)
    flatter, brighter = found.worsened
    assert brighter.scores.class_iou == pytest.approx((1 / 2, 2 / 3))
    assert flatter.scores.class_iou == (1.0, 1.0)
    assert found.loss(brighter) == pytest.approx(1 - 7 / 12)
    assert found.loss(flatter) == 0
    assert found.mean_miou == pytest.approx((1 + 7 / 12) / 2)
    assert found.mean_loss == pytest.approx(5 / 24)
    assert found.by_loss() == (brighter, flatter)


def test_json_has_every_condition_and_class() -> None:
    values = json.loads(json.dumps(measure_robustness(Threshold(150), tones(), (FLATTER, BRIGHTER)).to_json()))
    assert list(values["conditions"]) == ["low-contrast", "overexposed"]
    assert values["conditions"]["overexposed"] == {
        "severity": "medium",
        "change": "1 EV more light",
        "loss": pytest.approx(5 / 12),
        "miou": pytest.approx(7 / 12),
        "pixel_accuracy": 0.75,
        "classes": {"dark": 0.5, "bright": pytest.approx(2 / 3)},
    }
    assert values["clean"] == {"miou": 1, "pixel_accuracy": 1, "classes": {"dark": 1, "bright": 1}}
    assert values["mean"] == {"miou": pytest.approx(19 / 24), "loss": pytest.approx(5 / 24)}


def test_a_class_that_is_nowhere_has_no_iou() -> None:
    data = tones()
    image, label = data[0].image[:, :2], np.zeros((6, 2), np.uint8)
    dark = MemoryData([Sample(image, label, Path("dark.png"))], TWO)
    values = measure_robustness(Threshold(150), dark, (BRIGHTER,)).to_json()
    assert values["clean"]["classes"] == {"dark": 1, "bright": None}
    # Predicted and never true, it counts as 0.
    assert values["conditions"]["overexposed"]["miou"] == 0.25


def test_another_size_is_labelled_there_and_scored_at_the_size_of_the_truth() -> None:
    network = Threshold(150)
    found = measure_robustness(network, tones(), (SMALLER,))
    assert [image.shape for image in network.seen] == [(6, 4, 3), (3, 2, 3)]
    # The two columns become mixtures of 50, 118, 180 and of 118, 180, 250; each stands for two columns of the truth.
    assert found.worsened[0].scores.confusion.tolist() == [[8, 0, 0], [0, 8, 0]]


def test_a_scaled_predictor_answers_at_the_size_of_the_image() -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    image[:, 5:] = 255
    network = Threshold(128)
    labels = ScaledPredictor(network, Scaling(0.8)).labels(image)
    assert network.seen[0].shape == (8, 8, 3)
    # Columns 0…3 of 8 are dark; column i of 10 takes ⌊(i + ½) · 0.8⌋.
    assert labels[0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


STREETS = StreetData(2, (120, 160))


def test_every_network_sees_the_same_pixels() -> None:
    one, other = Threshold(100), Threshold(200)
    conditions = find_conditions("strong")
    for network in (one, other):
        measure_robustness(network, STREETS, conditions)
    assert len(one.seen) == len(other.seen) == 2 * (1 + len(CONDITIONS))
    for ours, theirs in zip(one.seen, other.seen, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for index in range(2, len(one.seen)):
        clean = one.seen[index % 2]
        assert one.seen[index].shape != clean.shape or (one.seen[index] != clean).any()


def test_conditions_scored_alone_or_together_give_the_same() -> None:
    conditions = find_conditions("medium", ("noise", "dirt", "larger"))
    together = measure_robustness(Threshold(150), STREETS, conditions)
    for condition, row in zip(conditions, together.worsened, strict=True):
        (alone,) = measure_robustness(Threshold(150), STREETS, (condition,)).worsened
        assert alone.scores.confusion.tolist() == row.scores.confusion.tolist()


def test_progress_counts_the_images_of_all_evaluations() -> None:
    told: list[tuple[int, int]] = []
    measure_robustness(
        Threshold(150), StreetData(3, (48, 64)), (BRIGHTER,), lambda done, total: told.append((done, total))
    )
    assert told == [(done, 6) for done in range(1, 7)]


def test_a_fault_names_the_image_or_the_split() -> None:
    without_truth = MemoryData([Sample(street_picture((8, 8)), None, Path("bare.png"))], TWO)
    with pytest.raises(DataError, match=r"^bare\.png: the image has no ground truth"):
        measure_robustness(Threshold(150), without_truth, (BRIGHTER,))
    with pytest.raises(DataError, match="the split is empty"):
        measure_robustness(Threshold(150), MemoryData([], TWO), (BRIGHTER,))
    with pytest.raises(ValueError, match="no conditions"):
        measure_robustness(Threshold(150), tones(), ())


def test_the_ground_truth_stays_under_every_condition() -> None:
    data = STREETS
    for condition in find_conditions("strong"):
        _, split = under(condition, Threshold(150), data)
        label, truth = split[1].label, data[1].label
        assert label is not None
        assert truth is not None
        np.testing.assert_array_equal(label, truth)
