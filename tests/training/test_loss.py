from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextnet.models.contextnet import NetworkOutput
from contextnet.training.loss import SegmentationLoss, bounded_log_weights, cross_entropy


def numpy_cross_entropy(scores: NDArray[np.float64], labels: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    """Weighted mean over labelled pixels, one pixel after the other."""
    total = norm = 0.0
    for n, y, x in np.ndindex(labels.shape):
        truth = labels[n, y, x]
        if truth == 255:
            continue
        pixel = scores[n, :, y, x]
        total += weights[truth] * (np.log(np.sum(np.exp(pixel - pixel.max()))) + pixel.max() - pixel[truth])
        norm += weights[truth]
    return total / norm


def numpy_upscale(scores: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Bilinear enlargement with half-pixel centres and replicated edges, (N, C, H, W)."""

    def matrix(size: int) -> NDArray[np.float64]:
        out = np.zeros((size * factor, size))
        for i in range(size * factor):
            position = min(max((i + 0.5) / factor - 0.5, 0), size - 1)
            low = min(int(position), size - 1)
            high = min(low + 1, size - 1)
            out[i, low] += 1 - (position - low)
            out[i, high] += position - low
        return out

    return np.einsum("yh,nchw,xw->ncyx", matrix(scores.shape[2]), scores, matrix(scores.shape[3]))


def random_case(seed: int, shape: tuple[int, int, int, int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    count, classes, height, width = shape
    labels = random.integers(0, classes, (count, height, width))
    labels[random.random(labels.shape) < 0.3] = 255
    return random.normal(scale=4, size=shape), labels


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (2, 3, 5, 7), (3, 19, 4, 4)])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_against_numpy(shape: tuple[int, int, int, int], weighted: bool) -> None:
    scores, labels = random_case(3, shape)
    labels[0, 0, 0] = 1
    weights = np.random.default_rng(4).uniform(0.2, 5, shape[1]) if weighted else np.ones(shape[1])
    loss = cross_entropy(torch.tensor(scores), torch.tensor(labels), torch.tensor(weights) if weighted else None)
    assert loss.item() == pytest.approx(numpy_cross_entropy(scores, labels, weights), rel=1e-9)


def test_cross_entropy_by_hand() -> None:
    # Two classes with scores (0, ln 3): probabilities 1/4 and 3/4; one pixel of each class and a void one.
    scores = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1).expand(1, 2, 1, 3)
    labels = torch.tensor([[[0, 1, 255]]])
    assert cross_entropy(scores, labels, None).item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)
    weighted = cross_entropy(scores, labels, torch.tensor([3.0, 1.0])).item()
    assert weighted == pytest.approx((3 * math.log(4) + math.log(4 / 3)) / 4)


@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 2.0, 1.0])])
def test_void_batch_has_zero_loss_and_zero_gradient(class_weights: Tensor | None) -> None:
    scores = torch.randn((2, 3, 4, 8), generator=torch.Generator().manual_seed(0), requires_grad=True)
    auxiliary = torch.randn((2, 3, 1, 2), generator=torch.Generator().manual_seed(1), requires_grad=True)
    labels = torch.full((2, 32, 64), 255)
    loss = SegmentationLoss(0.4, class_weights)(NetworkOutput(scores, auxiliary), labels)
    loss.backward()
    assert loss.item() == 0.0
    for part in (scores, auxiliary):
        assert part.grad is not None
        assert torch.equal(part.grad, torch.zeros_like(part))


def test_void_image_beside_a_labelled_one_changes_nothing() -> None:
    scores, labels = random_case(8, (2, 3, 4, 4))
    labels[1] = 255
    both = cross_entropy(torch.tensor(scores), torch.tensor(labels), None)
    alone = cross_entropy(torch.tensor(scores[:1]), torch.tensor(labels[:1]), None)
    assert both.item() == pytest.approx(alone.item(), rel=1e-12)


# Scores stand on the padded image's grid: 1/8 of it, and 1/32 for the auxiliary ones.
@pytest.mark.parametrize("size_hw", [(32, 64), (33, 61), (8, 8), (40, 97), (31, 5)])
@pytest.mark.parametrize("auxiliary_weight", [0.0, 0.4, 1.5])
def test_main_and_auxiliary_loss_against_numpy(size_hw: tuple[int, int], auxiliary_weight: float) -> None:
    height, width = size_hw
    cells_h, cells_w = -(-height // 32), -(-width // 32)
    random = np.random.default_rng(11)
    scores = random.normal(size=(2, 3, 4 * cells_h, 4 * cells_w))
    auxiliary = random.normal(size=(2, 3, cells_h, cells_w))
    labels = random.integers(0, 3, (2, height, width))
    labels[:, :3, :] = 255
    ones = np.ones(3)
    expected = numpy_cross_entropy(numpy_upscale(scores, 8)[..., :height, :width], labels, ones)
    centres = labels[:, 4::8, 4::8]
    if centres.size and auxiliary_weight:
        raised = numpy_upscale(auxiliary, 4)[..., : centres.shape[1], : centres.shape[2]]
        expected += auxiliary_weight * numpy_cross_entropy(raised, centres, ones)
    output = NetworkOutput(torch.tensor(scores), torch.tensor(auxiliary))
    loss = SegmentationLoss(auxiliary_weight)(output, torch.tensor(labels))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_without_auxiliary_scores_the_main_loss_stands_alone() -> None:
    scores, labels = random_case(2, (1, 3, 2, 2))
    full = torch.tensor(labels).repeat_interleave(8, 1).repeat_interleave(8, 2)
    output = NetworkOutput(torch.tensor(scores), None)
    expected = numpy_cross_entropy(numpy_upscale(scores, 8), full.numpy(), np.ones(3))
    assert SegmentationLoss(0.4)(output, full).item() == pytest.approx(expected, rel=1e-5)


def test_loss_of_bfloat16_scores_is_computed_in_float32() -> None:
    scores, labels = random_case(6, (1, 3, 2, 2))
    full = torch.tensor(labels).repeat_interleave(8, 1).repeat_interleave(8, 2)
    low = torch.tensor(scores).bfloat16()
    loss = SegmentationLoss()(NetworkOutput(low, None), full)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(SegmentationLoss()(NetworkOutput(low.float(), None), full).item(), rel=1e-7)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # 1 / ln(1.52) = 2.388286 for both, scaled to a mean of one over the pixels.
        ([50, 50], [1.0, 1.0]),
        # Raw 1/ln(1.92) = 1.532978, 1/ln(1.12) = 8.823891; nine tenths of the one and one of the other are 2.262069.
        ([900, 100], [0.677688, 3.900805]),
        # An absent class gets the bound 1/ln(1.02) = 50.498350; raw 1/ln(2.02) = 1.422278 is the mean.
        ([10, 0], [1.0, 35.505260]),
    ],
)
def test_bounded_log_weights_by_hand(counts: list[int], expected: list[float]) -> None:
    weights = bounded_log_weights(np.array(counts, np.int64))
    assert weights.dtype == torch.float32
    assert weights.tolist() == pytest.approx(expected, rel=1e-5)


def test_bounded_log_weights_without_a_labelled_pixel_are_finite() -> None:
    assert torch.isfinite(bounded_log_weights(np.zeros(4, np.int64))).all()
