"""Masks numbered otherwise than expected, judged from how often each value occurs."""

from __future__ import annotations

import numpy as np
import pytest

from contextnet.data.numbering import train_id_numbering, wrong_numbering
from contextnet.labels import CAMVID, CITYSCAPES, LabelClass, LabelSet

CITYSCAPES_TRAIN_IDS = train_id_numbering(CITYSCAPES)
ROAD = LabelClass("road", (1, 1, 1), "road", (0,))
ROAD_ALONE = LabelSet("road", (ROAD,), (255,))
ROAD_WITHOUT_VOID = LabelSet("road", (ROAD,), ())
SECOND_ALONE = LabelSet("road", (LabelClass("road", (1, 1, 1), "road", (1,)),), (0, 255))
BLACK_AND_WHITE = LabelSet(
    "bw", (LabelClass("no", (0, 0, 0), "no", (0,)), LabelClass("yes", (1, 1, 1), "yes", (255,))), ()
)

STREET_IDS = {7: 300, 8: 50, 11: 200, 17: 10, 20: 5, 21: 150, 23: 40, 24: 10, 26: 70, 1: 30, 3: 20}
STREET_TRAIN_IDS = {0: 300, 1: 50, 2: 200, 5: 10, 7: 5, 8: 150, 10: 40, 11: 10, 13: 70, 255: 50}


@pytest.mark.parametrize(
    ("pixels", "expected", "labels", "kind"),
    [
        (STREET_IDS, CITYSCAPES, CITYSCAPES, None),
        (STREET_TRAIN_IDS, CITYSCAPES_TRAIN_IDS, CITYSCAPES, None),
        (STREET_IDS, CITYSCAPES_TRAIN_IDS, CITYSCAPES, "file ids"),
        (STREET_TRAIN_IDS, CITYSCAPES, CITYSCAPES, "train ids"),
        # Only road and building: both readings are possible, the expected one stands.
        ({7: 60, 11: 40}, CITYSCAPES, CITYSCAPES, None),
        ({7: 60, 11: 40}, CITYSCAPES_TRAIN_IDS, CITYSCAPES, None),
        # A little void under the expected reading is no evidence for the other one, where 0 is a class.
        ({0: 10, 7: 60, 11: 40}, CITYSCAPES, CITYSCAPES, None),
        # Coarse masks: mostly unlabelled, but with ids that no train id has.
        ({0: 700, 7: 200, 21: 60, 26: 40}, CITYSCAPES, CITYSCAPES, None),
        # Neither numbering explains 77.
        ({**STREET_IDS, 77: 5}, CITYSCAPES_TRAIN_IDS, CITYSCAPES, None),
        ({0: 90, 255: 10}, CITYSCAPES, CITYSCAPES, "binary masks"),
        ({0: 90, 255: 10}, CAMVID, CAMVID, "binary masks"),
        ({0: 90, 255: 10}, BLACK_AND_WHITE, BLACK_AND_WHITE, None),
        # One class and void are written 0 and 255, and nothing else can occur.
        ({0: 90, 255: 10}, ROAD_ALONE, ROAD_ALONE, None),
        ({0: 90, 255: 10}, ROAD_WITHOUT_VOID, ROAD_WITHOUT_VOID, "binary masks"),
        ({0: 90, 255: 10}, SECOND_ALONE, SECOND_ALONE, "binary masks"),
        ({0: 90, 1: 10}, CAMVID, CAMVID, None),
        ({0: 30, 3: 50, 11: 20}, CAMVID, CAMVID, None),
        ({}, CITYSCAPES, CITYSCAPES, None),
    ],
)
def test_wrong_numbering(pixels: dict[int, int], expected: LabelSet, labels: LabelSet, kind: str | None) -> None:
    counts = np.zeros(256, np.int64)
    counts[list(pixels)] = list(pixels.values())
    suspicion = wrong_numbering(counts, expected, labels)
    assert (suspicion.kind if suspicion else None) == kind


def test_train_id_numbering_is_the_identity_on_classes() -> None:
    ids = np.array([*range(19), 255], np.uint8)
    np.testing.assert_array_equal(CITYSCAPES_TRAIN_IDS.encode(ids), ids)
    assert CITYSCAPES_TRAIN_IDS.names == CITYSCAPES.names
    assert CITYSCAPES_TRAIN_IDS.unknown_ids(np.array([19, 33], np.uint8)) == {19: 1, 33: 1}
