from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from contextnet.compression.judges import AgreementJudge, MeanIouJudge
from contextnet.data.sample import Sample
from contextnet.export.parity import Labeller
from lively_networks import some_labels

NETWORK = onnx.ModelProto()


def image_of(labels: list[list[int]]) -> NDArray[np.uint8]:
    """An image whose red channel is what a network would say."""
    return np.repeat(np.array(labels, np.uint8)[..., None], 3, axis=-1)


def seen_in_red(network: onnx.ModelProto) -> Labeller:
    assert network is NETWORK
    return lambda image: image[..., 0]


class GivenSplit:
    """Samples whose predictions stand in their images."""

    def __init__(self, pairs: Sequence[tuple[list[list[int]], list[list[int]]]]) -> None:
        self.name = "given/val"
        self.labels = some_labels(3)
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        truth, found = self._pairs[index]
        return Sample(image_of(found), np.array(truth, np.uint8), Path(f"{index}.png"), None)


def test_agreement_is_the_mean_share_of_equal_labels() -> None:
    images = [image_of([[0, 1], [2, 2]]), image_of([[1, 1], [1, 1]]), image_of([[0, 0], [0, 1]])]
    expected = [image[..., 0].copy() for image in images]
    expected[1][:] = 0
    expected[2][1, 1] = 0
    judge = AgreementJudge(images, expected, seen_in_red)
    assert list(judge.choosing) == list(judge.accepting) == [0, 1, 2]
    assert judge(NETWORK, [0, 1, 2]) == (pytest.approx((1 + 0 + 0.75) / 3), [1.0, 0.0, 0.75])
    assert judge(NETWORK, [2, 0]) == (0.875, [0.75, 1.0])
    assert judge.measure == "equal labels on 3 images"


@pytest.mark.parametrize(
    ("count", "choosing", "accepting"),
    [(1, [0], [0]), (3, [0, 1, 2], [0, 1, 2]), (4, [0, 2], [1, 3]), (5, [0, 2, 4], [1, 3])],
)
def test_from_four_images_on_those_that_choose_do_not_accept(
    count: int, choosing: list[int], accepting: list[int]
) -> None:
    images = [image_of([[index]]) for index in range(count)]
    judge = AgreementJudge(images, [image[..., 0] for image in images], seen_in_red)
    assert (list(judge.choosing), list(judge.accepting)) == (choosing, accepting)
    assert judge.measure == f"equal labels on {len(accepting)} images"


def test_miou_is_that_of_all_images_together() -> None:
    split = GivenSplit(
        [
            # Of class 0 one pixel of two is found, class 1 gets one too many; the void pixel does not count.
            ([[0, 0], [1, 255]], [[0, 1], [1, 0]]),
            ([[2, 2], [1, 1]], [[2, 2], [1, 1]]),
        ]
    )
    judge = MeanIouJudge(split, seen_in_red)
    # Class 0: 1 of 2; class 1: 3 of 4; class 2: 2 of 2.
    assert judge(NETWORK, [0, 1]) == (pytest.approx((0.5 + 0.75 + 1) / 3), [pytest.approx(2 / 3), 1.0])
    assert judge(NETWORK, [1]) == (1.0, [1.0])
    assert list(judge.choosing) == list(judge.accepting) == [0, 1]
    assert judge.measure == "mIoU on given/val"
