from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from contextnet.labels import LabelClass, LabelSet
from contextnet.models.network_output import NetworkOutput
from contextnet.models.resize import upscale
from contextnet.training.losses.class_weights import bounded_log_weights
from contextnet.training.losses.cross_entropy import hard_cross_entropy
from contextnet.training.losses.regions import lovasz_softmax, soft_dice
from contextnet.training.losses.segmentation import SegmentationLoss, build_loss
from contextnet.training.recipe.loss import LossOptions, OhemOptions

LossFunction = Callable[[NetworkOutput, Tensor], Tensor]
LossOfScores = Callable[[Tensor, Tensor], Tensor]


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
    loss = SegmentationLoss(auxiliary_weight, stride=8)(output, torch.tensor(labels))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_without_auxiliary_scores_the_main_loss_stands_alone() -> None:
    scores, labels = random_case(2, (1, 3, 2, 2))
    full = torch.tensor(labels).repeat_interleave(8, 1).repeat_interleave(8, 2)
    output = NetworkOutput(torch.tensor(scores), None)
    expected = numpy_cross_entropy(numpy_upscale(scores, 8), full.numpy(), np.ones(3))
    assert SegmentationLoss(0.4, stride=8)(output, full).item() == pytest.approx(expected, rel=1e-5)


# What a recipe may add or change, each with numbers far enough from none to show.
CHANGES = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_weights": torch.tensor([0.5, 2.0, 1.0])},
        {"label_smoothing": 0.2},
        {"label_smoothing": 0.2, "class_weights": torch.tensor([0.5, 2.0, 1.0])},
        {"ohem": OhemOptions()},
        {"lovasz_weight": 0.7},
        {"lovasz_weight": 0.7, "lovasz_extent": "batch"},
        {"dice_weight": 1.3},
        {"ohem": OhemOptions(), "label_smoothing": 0.2, "lovasz_weight": 0.7, "dice_weight": 1.3},
    ],
    ids=lambda changes: " and ".join(changes) or "default",
)


def street(seed: int, size_hw: tuple[int, int] = (64, 96), count: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Scores at 1/8, auxiliary scores at 1/32, and labels in blocks, the further down the image pile the more void."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size_hw
    cells_h, cells_w = -(-height // 32), -(-width // 32)
    blocks = torch.randint(0, 3, (count, 8 * cells_h, 8 * cells_w), generator=generator)
    labels = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, :height, :width].clone()
    void_share = torch.linspace(0, 0.95, count)[:, None, None]
    labels[torch.rand(labels.shape, generator=generator) < void_share] = 255
    scores = torch.randn((count, 3, 4 * cells_h, 4 * cells_w), generator=generator)
    return scores, torch.randn((count, 3, cells_h, cells_w), generator=generator), labels


def loss_and_gradients(loss: LossFunction, scores: Tensor, auxiliary: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    leaves = scores.clone().requires_grad_(), auxiliary.clone().requires_grad_()
    value = loss(NetworkOutput(*leaves), labels)
    value.backward()
    return value.detach(), leaves[0].grad, leaves[1].grad


@CHANGES
def test_void_batch_has_zero_loss_and_zero_gradient(changes: dict[str, Any]) -> None:
    scores, auxiliary, labels = street(0)
    loss = SegmentationLoss(**changes, stride=8)
    value, *gradients = loss_and_gradients(loss, scores, auxiliary, torch.full_like(labels, 255))
    assert value.item() == 0.0
    for gradient in gradients:
        assert torch.equal(gradient, torch.zeros_like(gradient))


@CHANGES
@pytest.mark.parametrize("size_hw", [(3, 4), (5, 200)])
def test_images_smaller_than_a_cell_have_a_finite_loss(changes: dict[str, Any], size_hw: tuple[int, int]) -> None:
    for part in loss_and_gradients(SegmentationLoss(**changes, stride=8), *street(1, size_hw)):
        assert torch.isfinite(part).all()


@CHANGES
def test_loss_of_bfloat16_scores_is_computed_in_float32(changes: dict[str, Any]) -> None:
    scores, auxiliary, labels = street(2)
    low = scores.bfloat16(), auxiliary.bfloat16()
    value, *gradients = loss_and_gradients(SegmentationLoss(**changes, stride=8), *low, labels)
    raised, *_ = loss_and_gradients(SegmentationLoss(**changes, stride=8), *(part.float() for part in low), labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, raised)
    assert [gradient.dtype for gradient in gradients] == [torch.bfloat16] * 2
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 2.0, 1.0])], ids=["plain", "weighted"])
@pytest.mark.parametrize("auxiliary_weight", [0.0, 0.4])
def test_default_is_cross_entropy_of_raised_scores_and_nothing_else(
    class_weights: Tensor | None, auxiliary_weight: float
) -> None:
    def mean(scores: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(scores, labels, class_weights, ignore_index=255, reduction="sum") / total(labels)

    def total(labels: Tensor) -> Tensor:
        if class_weights is None:
            return (labels != 255).sum()
        return (class_weights[labels.where(labels != 255, 0)] * (labels != 255)).sum()

    def plain(output: NetworkOutput, labels: Tensor) -> Tensor:
        loss = mean(F.interpolate(output.scores, scale_factor=8, mode="bilinear"), labels)
        if auxiliary_weight == 0:
            return loss + 0 * output.auxiliary.sum()
        raised = F.interpolate(output.auxiliary, scale_factor=4, mode="bilinear")
        return loss + auxiliary_weight * mean(raised, labels[:, 4::8, 4::8])

    def default(output: NetworkOutput, labels: Tensor) -> Tensor:
        return SegmentationLoss(auxiliary_weight, class_weights, stride=8)(output, labels) + 0 * output.auxiliary.sum()

    for got, expected in zip(
        loss_and_gradients(default, *street(3)), loss_and_gradients(plain, *street(3)), strict=True
    ):
        assert torch.allclose(got, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "region"),
    [
        ({"lovasz_weight": 0.7}, lambda s, t: 0.7 * lovasz_softmax(s, t, "image")),
        ({"lovasz_weight": 0.7, "lovasz_extent": "batch"}, lambda s, t: 0.7 * lovasz_softmax(s, t, "batch")),
        ({"dice_weight": 1.3}, lambda s, t: 1.3 * soft_dice(s, t)),
        ({"lovasz_weight": 2.0, "dice_weight": 0.1}, lambda s, t: 2 * lovasz_softmax(s, t) + 0.1 * soft_dice(s, t)),
    ],
)
@pytest.mark.parametrize("size_hw", [(64, 96), (33, 61)])
def test_losses_of_regions_are_added_at_the_cells_centres(
    changes: dict[str, Any], region: LossOfScores, size_hw: tuple[int, int]
) -> None:
    scores, auxiliary, labels = street(4, size_hw)
    output = NetworkOutput(scores, auxiliary)
    centres = labels[:, 4::8, 4::8]
    added = region(scores[..., : centres.shape[1], : centres.shape[2]], centres)
    assert added.item() > 0.01
    difference = SegmentationLoss(**changes, stride=8)(output, labels) - SegmentationLoss(stride=8)(output, labels)
    assert difference.item() == pytest.approx(added.item(), rel=1e-5)


@pytest.mark.parametrize("auxiliary_weight", [0.0, 0.4])
def test_hard_pixels_and_smoothing_apply_to_both_cross_entropies(auxiliary_weight: float) -> None:
    scores, auxiliary, labels = street(5)
    weights = torch.tensor([0.5, 2.0, 1.0])
    ohem = OhemOptions(threshold=0.4, min_kept=0.3)
    loss = SegmentationLoss(auxiliary_weight, weights, label_smoothing=0.1, ohem=ohem, stride=8)
    hard = partial(hard_cross_entropy, class_weights=weights, threshold=0.4, min_kept=0.3, label_smoothing=0.1)
    expected = hard(upscale(scores, 8), labels)
    expected = expected + auxiliary_weight * hard(upscale(auxiliary, 4), labels[:, 4::8, 4::8])
    assert loss(NetworkOutput(scores, auxiliary), labels).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("correction", [0.5, 1.0])
def test_correction_adds_the_weights_logarithm_to_scores_of_both_cross_entropies(correction: float) -> None:
    weights, random = np.array([0.5, 1.0, 4.0]), np.random.default_rng(12)
    scores, auxiliary = random.normal(size=(2, 3, 4, 8)), random.normal(size=(2, 3, 1, 2))
    labels = random.integers(0, 3, (2, 32, 64))
    shift = correction * np.log(weights)[:, None, None]
    expected = numpy_cross_entropy(numpy_upscale(scores, 8) + shift, labels, weights)
    expected += 0.4 * numpy_cross_entropy(numpy_upscale(auxiliary, 4) + shift, labels[:, 4::8, 4::8], weights)
    loss = SegmentationLoss(0.4, torch.tensor(weights, dtype=torch.float32), correction, stride=8)
    assert loss(NetworkOutput(torch.tensor(scores), torch.tensor(auxiliary)), torch.tensor(labels)).item() == (
        pytest.approx(expected, rel=1e-5)
    )


@pytest.mark.parametrize(("correction", "decided"), [(0.0, 1), (1.0, 0)])
def test_with_correction_scores_decide_by_what_is_more_frequent(correction: float, decided: int) -> None:
    # 3 of 4 pixels that look alike are of class 0, but class 1 weighs 9 times as much.
    labels = torch.tensor([[[0, 0, 0, 1]]])
    loss = SegmentationLoss(0.0, torch.tensor([1.0, 9.0]), correction, stride=1)
    scores = torch.zeros(1, 2, 1, 1, requires_grad=True)
    for _ in range(400):
        (gradient,) = torch.autograd.grad(loss(NetworkOutput(scores.expand(1, 2, 1, 4), None), labels), scores)
        scores = (scores - gradient).detach().requires_grad_()
    assert scores.argmax(1).item() == decided
    share = torch.softmax(scores + correction * torch.tensor([1.0, 9.0]).log()[:, None, None], 1)[0, 1].item()
    assert share == pytest.approx(9 / 12, abs=1e-3), "the weighted share of class 1"


def test_label_weights_by_hand() -> None:
    labels = torch.full((2, 16, 8), 255)
    labels[0, :, :5] = 2  # 80 pixels, and the centres (4, 4) and (12, 4)
    labels[1, 0, 0] = 0
    assert SegmentationLoss(stride=8).label_weights(labels).tolist() == [81, 2]
    weighted = SegmentationLoss(0.4, torch.tensor([3.0, 1.0, 0.5]), stride=8)
    assert weighted.label_weights(labels).tolist() == [43, 1]


# Four images on two ranks or four: the further down the more void, and the last rank may have nothing but void.
SHARED = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_weights": torch.tensor([0.5, 2.0, 1.0])},
        {"label_smoothing": 0.2, "class_weights": torch.tensor([0.5, 2.0, 1.0])},
        {"lovasz_weight": 0.7},
        {"pixel_stride": 2},
    ],
    ids=lambda changes: " and ".join(changes) or "default",
)


@SHARED
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("last_is_void", [False, True])
def test_mean_over_ranks_is_the_loss_of_the_whole_batch(
    changes: dict[str, Any], ranks: int, last_is_void: bool
) -> None:
    scores, auxiliary, labels = street(6)
    if last_is_void:
        labels[-1] = 255
    loss = SegmentationLoss(**changes, stride=8)
    parts = list(zip(*(values.chunk(ranks) for values in (scores, auxiliary, labels)), strict=True))
    mean_weights = torch.stack([loss.label_weights(part_labels) for _, _, part_labels in parts]).mean(0)
    whole = loss_and_gradients(loss, scores, auxiliary, labels)

    def averaged(weights: Tensor | None) -> tuple[Tensor, ...]:
        of_rank = [loss_and_gradients(partial(loss, label_weights=weights), *part) for part in parts]
        values, *gradients = zip(*of_rank, strict=True)
        return torch.stack(values).mean(), *(torch.cat(gradient) / ranks for gradient in gradients)

    for got, expected in zip(averaged(mean_weights), whole, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-8)
    # Each rank by its own weight gives void-rich images too much say, so the comparison above can tell.
    assert not torch.allclose(averaged(None)[1], whole[1], rtol=0.01, atol=1e-8)


LABELS = LabelSet("three", tuple(LabelClass(name, (0, 0, 0), name, (i,)) for i, name in enumerate("abc")))


def test_loss_of_a_recipe_has_its_numbers() -> None:
    options = LossOptions(
        auxiliary_weight=0.2,
        class_weights={"b": 3.0},
        weight_correction=0.75,
        label_smoothing=0.1,
        ohem=OhemOptions(threshold=0.6, min_kept=0.1),
        lovasz_weight=0.5,
        lovasz_extent="batch",
        dice_weight=0.25,
    )
    loss = build_loss(options, LABELS, lambda: np.zeros((1, 3), np.int64), torch.device("cpu"), 8)
    assert loss.class_weights is not None
    assert loss.class_weights.tolist() == [1, 3, 1]
    assert replace(loss, class_weights=None) == SegmentationLoss(
        0.2, None, 0.75, 0.1, OhemOptions(threshold=0.6, min_kept=0.1), 0.5, "batch", 0.25, stride=8
    )


def test_loss_of_the_default_recipe_is_the_default_loss() -> None:
    counts = np.array([[900, 50, 0], [0, 0, 50]])
    device = torch.device("cpu")
    assert build_loss(LossOptions(), LABELS, lambda: counts, device, 8) == SegmentationLoss(stride=8)
    weighted = build_loss(LossOptions(class_weighting="bounded-log"), LABELS, lambda: counts, device, 8)
    assert weighted.class_weights is not None
    assert torch.equal(weighted.class_weights, bounded_log_weights(np.array([900, 50, 50])))
