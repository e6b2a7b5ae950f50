from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextnet.training.losses.regions import Extent, lovasz_softmax, soft_dice

EXTENTS: tuple[Extent, ...] = ("image", "batch")


def random_case(seed: int, shape: tuple[int, int, int, int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores (N, C, H, W) and labels with void; the last class never occurs."""
    random = np.random.default_rng(seed)
    count, classes, height, width = shape
    labels = random.integers(0, classes - 1, (count, height, width))
    labels[random.random(labels.shape) < 0.3] = 255
    return random.normal(scale=2, size=shape), labels


def soft_max(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def jaccard_distance(wrong: set[int], members: set[int]) -> float:
    """1 - IoU where exactly ``wrong`` of all pixels are misjudged and ``members`` are those of the class."""
    return len(wrong) / len(members | wrong)


def numpy_lovasz(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Lovász extension by its definition on sets of pixels; probabilities are (pixels, classes), truth (pixels,)."""
    pixels = np.flatnonzero(truth != 255)
    losses = []
    for k in sorted(set(truth[pixels].tolist())):
        members = set(np.flatnonzero(truth == k).tolist())
        error = {int(p): abs(float(p in members) - probabilities[p, k]) for p in pixels}
        wrong: set[int] = set()
        loss = 0.0
        for pixel in sorted(error, key=lambda p: -error[p]):
            loss += error[pixel] * (jaccard_distance(wrong | {pixel}, members) - jaccard_distance(wrong, members))
            wrong.add(pixel)
        losses.append(loss)
    return float(np.mean(losses)) if losses else 0.0


def as_pixels(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.moveaxis(soft_max(scores), 1, -1).reshape(-1, scores.shape[1])


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (2, 3, 5, 7), (3, 8, 4, 4)])
def test_lovasz_softmax_against_its_definition_on_sets(shape: tuple[int, int, int, int]) -> None:
    scores, labels = random_case(3, shape)
    labels[0, 0, 0] = 0
    of_batch = numpy_lovasz(as_pixels(scores), labels.ravel())
    of_images = [numpy_lovasz(as_pixels(scores[i : i + 1]), labels[i].ravel()) for i in range(shape[0])]
    got = {e: lovasz_softmax(torch.tensor(scores), torch.tensor(labels), e).item() for e in EXTENTS}
    assert got["batch"] == pytest.approx(of_batch, rel=1e-9)
    assert got["image"] == pytest.approx(np.mean(of_images), rel=1e-9)
    if shape[0] > 1:
        assert got["batch"] != pytest.approx(got["image"], rel=1e-3)


def test_lovasz_softmax_of_certain_predictions_is_one_minus_iou() -> None:
    # Class 0: predicted in 3 pixels, true in 3, both in 2 (the void pixel aside): IoU 2/4. Class 1: 1 of 3.
    truth = torch.tensor([[[0, 0, 0, 1, 1, 255]]])
    predicted = torch.tensor([[[0, 0, 1, 0, 1, 0]]])
    scores = 60 * torch.nn.functional.one_hot(predicted, 4).movedim(-1, 1).double()
    assert lovasz_softmax(scores, truth).item() == pytest.approx(((1 - 2 / 4) + (1 - 1 / 3)) / 2, abs=1e-12)


def test_lovasz_softmax_by_hand() -> None:
    # Two pixels, one of each class, every probability 1/2: both errors 1/2; distances of one and two wrong pixels are
    # 1 (or 1/2, the other order) and 1, so the extension is 1/2 for either class and any order.
    assert lovasz_softmax(torch.zeros((1, 2, 1, 2)), torch.tensor([[[0, 1]]])).item() == pytest.approx(0.5)


def test_image_without_labels_counts_as_zero_per_image_and_not_at_all_in_a_batch() -> None:
    scores, labels = random_case(5, (2, 3, 4, 4))
    labels[1] = 255
    alone = lovasz_softmax(torch.tensor(scores[:1]), torch.tensor(labels[:1])).item()
    assert lovasz_softmax(torch.tensor(scores), torch.tensor(labels), "image").item() == pytest.approx(alone / 2)
    assert lovasz_softmax(torch.tensor(scores), torch.tensor(labels), "batch").item() == pytest.approx(alone)


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (2, 3, 5, 7), (3, 8, 4, 4)])
def test_soft_dice_against_numpy(shape: tuple[int, int, int, int]) -> None:
    scores, labels = random_case(4, shape)
    labels[0, 0, 0] = 0
    probabilities, truth = as_pixels(scores), labels.ravel()
    probabilities, truth = probabilities[truth != 255], truth[truth != 255]
    losses = []
    for k in np.unique(truth):
        p, t = probabilities[:, k], (truth == k).astype(float)
        losses.append(1 - 2 * np.sum(p * t) / (np.sum(p**2) + np.sum(t**2)))
    assert soft_dice(torch.tensor(scores), torch.tensor(labels)).item() == pytest.approx(np.mean(losses), rel=1e-9)


def test_soft_dice_by_hand() -> None:
    # Every probability 1/2; one pixel of class 0, three of class 1: Dice 2·(1/2)/(1 + 1) and 2·(3/2)/(1 + 3).
    loss = soft_dice(torch.zeros((1, 2, 1, 5)), torch.tensor([[[0, 1, 1, 1, 255]]]))
    assert loss.item() == pytest.approx(((1 - 1 / 2) + (1 - 3 / 4)) / 2)


@pytest.mark.parametrize("extent", EXTENTS)
def test_lovasz_softmax_gradient(extent: Extent) -> None:
    scores, labels = random_case(6, (2, 3, 2, 3))
    leaf = torch.tensor(scores, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: lovasz_softmax(s, torch.tensor(labels), extent), leaf)


def test_soft_dice_gradient() -> None:
    scores, labels = random_case(7, (2, 3, 2, 3))
    leaf = torch.tensor(scores, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: soft_dice(s, torch.tensor(labels)), leaf)


Loss = Callable[[Tensor, Tensor], Tensor]
LOSSES = pytest.mark.parametrize(
    "loss",
    [partial(lovasz_softmax, extent="image"), partial(lovasz_softmax, extent="batch"), soft_dice],
    ids=["image", "batch", "dice"],
)


@LOSSES
def test_void_batch_has_zero_region_loss_and_zero_gradient(loss: Loss) -> None:
    scores = torch.randn((2, 3, 4, 5), generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = loss(scores, torch.full((2, 4, 5), 255))
    value.backward()
    assert value.item() == 0.0
    assert scores.grad is not None
    assert torch.equal(scores.grad, torch.zeros_like(scores))


@LOSSES
def test_void_pixels_get_no_gradient_and_the_others_do(loss: Loss) -> None:
    scores, labels = random_case(8, (2, 3, 4, 4))
    leaf = torch.tensor(scores, requires_grad=True)
    loss(leaf, torch.tensor(labels)).backward()
    assert leaf.grad is not None
    moved = leaf.grad.abs().sum(1).numpy()
    assert (moved[labels == 255] == 0).all()
    assert (moved[labels != 255] > 0).mean() > 0.9


@LOSSES
def test_bfloat16_scores_are_counted_in_float32(loss: Loss) -> None:
    # 40,000 pixels: a running sum in bfloat16 would stand still at 256.
    scores, labels = random_case(9, (1, 3, 200, 200))
    low = torch.tensor(scores).bfloat16()
    value = loss(low, torch.tensor(labels))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(low.double(), torch.tensor(labels)).item(), rel=1e-4)
