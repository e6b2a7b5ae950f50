from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextnet.training.losses.cross_entropy import cross_entropy, hard_cross_entropy, pixel_weights

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]


def random_case(seed: int, shape: tuple[int, int, int, int]) -> tuple[Scores, Labels]:
    random = np.random.default_rng(seed)
    count, classes, height, width = shape
    labels = random.integers(0, classes, (count, height, width))
    labels[random.random(labels.shape) < 0.3] = 255
    labels[0, 0, 0] = 1
    return random.normal(scale=2, size=shape), labels


def labelled_pixels(scores: Scores, labels: Labels) -> list[tuple[int, Scores]]:
    """Class and log-probabilities of every labelled pixel."""
    found = []
    for n, y, x in np.ndindex(labels.shape):
        pixel = scores[n, :, y, x]
        if labels[n, y, x] != 255:
            found.append((int(labels[n, y, x]), pixel - pixel.max() - np.log(np.sum(np.exp(pixel - pixel.max())))))
    return found


def numpy_smoothed(scores: Scores, labels: Labels, weights: Scores, smoothing: float) -> float:
    total = norm = 0.0
    for truth, log_probabilities in labelled_pixels(scores, labels):
        target = np.full(len(log_probabilities), smoothing / len(log_probabilities))
        target[truth] += 1 - smoothing
        total -= weights[truth] * float(target @ log_probabilities)
        norm += weights[truth]
    return total / norm


def numpy_hard(scores: Scores, labels: Labels, weights: Scores, threshold: float, min_kept: float) -> float:
    pixels = sorted((p[truth], truth) for truth, p in labelled_pixels(scores, labels))
    hard = sum(math.exp(log_probability) < threshold for log_probability, _ in pixels)
    kept = pixels[: max(hard, math.ceil(min_kept * len(pixels)))]
    return -sum(weights[t] * lp for lp, t in kept) / sum(weights[t] for _, t in kept) if kept else 0.0


SHAPES = pytest.mark.parametrize("shape", [(1, 2, 1, 1), (2, 3, 5, 7), (3, 19, 4, 4)])
WEIGHTED = pytest.mark.parametrize("weighted", [False, True])


def class_weights(num_classes: int, weighted: bool) -> tuple[Tensor | None, Scores]:
    values = np.random.default_rng(4).uniform(0.2, 5, num_classes) if weighted else np.ones(num_classes)
    return torch.tensor(values) if weighted else None, values


@SHAPES
@WEIGHTED
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_smoothed_cross_entropy_against_numpy(
    shape: tuple[int, int, int, int], weighted: bool, smoothing: float
) -> None:
    scores, labels = random_case(3, shape)
    weights, values = class_weights(shape[1], weighted)
    loss = cross_entropy(torch.tensor(scores), torch.tensor(labels), weights, label_smoothing=smoothing)
    assert loss.item() == pytest.approx(numpy_smoothed(scores, labels, values, smoothing), rel=1e-9)


def test_cross_entropy_by_hand() -> None:
    # Two classes with scores (0, ln 3): probabilities 1/4 and 3/4; one pixel of each class and a void one.
    scores = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1).expand(1, 2, 1, 3)
    labels = torch.tensor([[[0, 1, 255]]])
    assert cross_entropy(scores, labels, None).item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 2)
    weighted = cross_entropy(scores, labels, torch.tensor([3.0, 1.0])).item()
    assert weighted == pytest.approx((3 * math.log(4) + math.log(4 / 3)) / 4)
    # Half of the truth spread over both classes: 3/4 for the pixel's own, 1/4 for the other.
    smoothed = cross_entropy(scores[..., :1], labels[..., :1], None, label_smoothing=0.5).item()
    assert smoothed == pytest.approx(0.75 * math.log(4) + 0.25 * math.log(4 / 3))


def test_total_weight_replaces_the_pixels_own() -> None:
    scores, labels = random_case(5, (2, 3, 4, 4))
    for smoothing in (0.0, 0.2):
        of = partial(cross_entropy, torch.tensor(scores), torch.tensor(labels), None, label_smoothing=smoothing)
        labelled = int((labels != 255).sum())
        assert of(total_weight=torch.tensor(7)).item() == pytest.approx(of().item() * labelled / 7, rel=1e-9)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [(None, [[1, 1], [0, 1]]), (torch.tensor([0.5, 2.0, 3.0]), [[0.5, 3.0], [0.0, 2.0]])],
)
def test_pixel_weights(weights: Tensor | None, expected: list[list[float]]) -> None:
    assert pixel_weights(torch.tensor([[[0, 2], [255, 1]]]), weights)[0].tolist() == expected


@SHAPES
@WEIGHTED
@pytest.mark.parametrize(
    ("threshold", "min_kept"), [(0.7, 0.0625), (0.3, 0.0), (0.01, 0.5), (0.99, 0.2), (1e-9, 0.1), (0.5, 1.0)]
)
def test_hard_cross_entropy_against_numpy(
    shape: tuple[int, int, int, int], weighted: bool, threshold: float, min_kept: float
) -> None:
    scores, labels = random_case(6, shape)
    weights, values = class_weights(shape[1], weighted)
    loss = hard_cross_entropy(
        torch.tensor(scores), torch.tensor(labels), weights, threshold=threshold, min_kept=min_kept
    )
    assert loss.item() == pytest.approx(numpy_hard(scores, labels, values, threshold, min_kept), rel=1e-9)


# Probabilities of the true class 1/2, 1/4, 1/8, 1/10, of two classes; the last pixel is void.
TRUE_PROBABILITIES = (1 / 2, 1 / 4, 1 / 8, 1 / 10)


@pytest.mark.parametrize(
    ("threshold", "min_kept", "kept"),
    [
        (0.3, 0.0, 3),
        (0.9, 0.0, 4),
        (0.11, 0.0, 1),
        (0.11, 0.5, 2),
        (0.11, 0.51, 3),
        (0.05, 0.25, 1),
        (0.05, 0.0, 0),
        (0.05, 1.0, 4),
    ],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_hard_pixels_by_hand(threshold: float, min_kept: float, kept: int, smoothing: float) -> None:
    odds = torch.tensor([math.log(p / (1 - p)) for p in TRUE_PROBABILITIES] + [9.0], dtype=torch.float64)
    scores = torch.stack([odds, torch.zeros(5)])[None, :, None, :]
    labels = torch.tensor([[[0, 0, 0, 0, 255]]])
    loss = hard_cross_entropy(
        scores, labels, None, threshold=threshold, min_kept=min_kept, label_smoothing=smoothing
    ).item()
    own = 1 - smoothing / 2
    losses = [-own * math.log(p) - (1 - own) * math.log(1 - p) for p in TRUE_PROBABILITIES]
    assert loss == pytest.approx(sum(losses[4 - kept :]) / max(1, kept), rel=1e-6)


def test_easy_pixels_get_no_gradient() -> None:
    scores = torch.tensor([[3.0, 0.0], [0.0, 0.0]]).view(1, 2, 1, 2).requires_grad_()
    hard_cross_entropy(scores, torch.zeros((1, 1, 2), dtype=torch.int64), None, threshold=0.7, min_kept=0).backward()
    assert scores.grad is not None
    # The hard pixel alone: probabilities 1/2 minus the truth.
    assert scores.grad.view(2, 2).tolist() == [[0.0, -0.5], [0.0, 0.5]]


def test_equal_losses_are_all_kept() -> None:
    loss = hard_cross_entropy(
        torch.zeros((1, 4, 3, 3)), torch.ones((1, 3, 3), dtype=torch.int64), None, threshold=0.1, min_kept=0.1
    )
    assert loss.item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("min_kept", [0.0, 0.25])
def test_score_that_is_not_finite_is_not_dropped_as_easy(bad: float, min_kept: float) -> None:
    scores = torch.zeros((1, 2, 1, 8))
    scores[0, 0, 0, 3] = bad
    labels = torch.zeros((1, 1, 8), dtype=torch.int64)
    loss = hard_cross_entropy(scores, labels, None, threshold=0.9, min_kept=min_kept)
    assert not math.isfinite(loss.item())


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0, 1.0])])
@pytest.mark.parametrize(
    "loss",
    [
        cross_entropy,
        partial(cross_entropy, label_smoothing=0.1),
        partial(hard_cross_entropy, threshold=0.7, min_kept=0.1),
        partial(hard_cross_entropy, threshold=0.7, min_kept=1.0, label_smoothing=0.1),
    ],
    ids=["plain", "smoothed", "hard", "hard and smoothed"],
)
@pytest.mark.parametrize("size_hw", [(4, 5), (0, 3)])
def test_nothing_labelled_gives_zero_and_a_finite_gradient(
    weights: Tensor | None, loss: partial[Tensor], size_hw: tuple[int, int]
) -> None:
    scores = torch.randn((2, 3, *size_hw), generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = loss(scores, torch.full((2, *size_hw), 255), weights)
    value.backward()
    assert value.item() == 0.0
    assert scores.grad is not None
    assert torch.equal(scores.grad, torch.zeros_like(scores))


def test_void_image_beside_a_labelled_one_changes_nothing() -> None:
    scores, labels = random_case(8, (2, 3, 4, 4))
    labels[1] = 255
    for smoothing in (0.0, 0.1):
        both = cross_entropy(torch.tensor(scores), torch.tensor(labels), None, label_smoothing=smoothing)
        alone = cross_entropy(torch.tensor(scores[:1]), torch.tensor(labels[:1]), None, label_smoothing=smoothing)
        assert both.item() == pytest.approx(alone.item(), rel=1e-12)
