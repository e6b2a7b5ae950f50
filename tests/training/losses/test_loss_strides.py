"""The loss of networks whose scores span 1, 4 or 8 pixels, against PyTorch's own pieces, pixel by pixel."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from contextnet.models.network_output import NetworkOutput
from contextnet.training.losses.regions import lovasz_softmax, soft_dice
from contextnet.training.losses.segmentation import SegmentationLoss, build_loss
from contextnet.training.recipe.loss import LossOptions, OhemOptions
from training_data import LABELS

SIZE_HW = (37, 53)
PADDED_HW = (64, 64)
# Labels at the centres of the cells: pixel 4 of 8, 2 of 4, 0 of 1.
CENTRES = {8: (5, 7), 4: (9, 13), 1: (37, 53)}


def case(stride: int, auxiliary_stride: int | None, seed: int = 0) -> tuple[NetworkOutput, Tensor]:
    """Scores and auxiliary scores of the padded image, and labels of the image with void in it."""
    generator = torch.Generator().manual_seed(seed)

    def scores(spans: int) -> Tensor:
        return torch.randn((2, 3, PADDED_HW[0] // spans, PADDED_HW[1] // spans), generator=generator)

    labels = torch.randint(0, 3, (2, *SIZE_HW), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.3] = 255
    return NetworkOutput(scores(stride), None if auxiliary_stride is None else scores(auxiliary_stride)), labels


def raised(scores: Tensor, factor: int, size_hw: tuple[int, int]) -> Tensor:
    if factor > 1:
        scores = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
    return scores[:, :, : size_hw[0], : size_hw[1]]


def mean_of_labelled(scores: Tensor, labels: Tensor) -> float:
    """Cross-entropy over labelled pixels, one after the other, in float64."""
    total, count = 0.0, 0
    log_shares = scores.double().log_softmax(dim=1).numpy()
    for n, y, x in np.argwhere(labels.numpy() != 255):
        total -= float(log_shares[n, int(labels[n, y, x]), y, x])
        count += 1
    return total / count


def at_centres(labels: Tensor, stride: int) -> Tensor:
    rows, columns = (range(stride // 2, side, stride) for side in SIZE_HW)
    picked = [[[int(labels[n, y, x]) for x in columns] for y in rows] for n in range(len(labels))]
    return torch.tensor(picked)


@pytest.mark.parametrize(("stride", "auxiliary_stride"), [(1, None), (1, 8), (4, 8), (4, 4), (4, 32), (8, 32), (8, 8)])
@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_main_and_auxiliary_loss(stride: int, auxiliary_stride: int | None, weight: float) -> None:
    output, labels = case(stride, auxiliary_stride)
    expected = mean_of_labelled(raised(output.scores, stride, SIZE_HW), labels)
    centres = at_centres(labels, stride)
    assert centres.shape == (2, *CENTRES[stride])
    if output.auxiliary is not None and auxiliary_stride is not None:
        factor = auxiliary_stride // stride
        expected += weight * mean_of_labelled(raised(output.auxiliary, factor, CENTRES[stride]), centres)
    loss = SegmentationLoss(weight, stride=stride)
    assert loss(output, labels).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("stride", [1, 4])
def test_losses_of_regions_are_at_the_centres_of_the_cells(stride: int) -> None:
    output, labels = case(stride, None, seed=1)
    centres = at_centres(labels, stride)
    cells = output.scores[:, :, : CENTRES[stride][0], : CENTRES[stride][1]]
    plain = SegmentationLoss(stride=stride)(output, labels).item()
    for changes, added in (
        ({"lovasz_weight": 0.7}, 0.7 * lovasz_softmax(cells, centres, "image")),
        ({"lovasz_weight": 0.7, "lovasz_extent": "batch"}, 0.7 * lovasz_softmax(cells, centres, "batch")),
        ({"dice_weight": 1.3}, 1.3 * soft_dice(cells, centres)),
    ):
        found = SegmentationLoss(stride=stride, **changes)(output, labels).item()
        assert float(added) > 0.01
        assert found - plain == pytest.approx(float(added), rel=1e-4)


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_label_weights_count_pixels_and_centres(stride: int) -> None:
    _, labels = case(stride, None, seed=2)
    counts = [(part != 255).sum().item() for part in (labels, at_centres(labels, stride))]
    assert SegmentationLoss(stride=stride).label_weights(labels).tolist() == counts
    if stride == 1:
        assert counts[0] == counts[1], "every pixel is its cell's centre"


def test_given_label_weights_divide_both_parts() -> None:
    output, labels = case(4, 8, seed=3)
    loss = SegmentationLoss(0.4, stride=4)
    own = loss.label_weights(labels)
    main = mean_of_labelled(raised(output.scores, 4, SIZE_HW), labels)
    auxiliary = mean_of_labelled(raised(output.auxiliary, 2, CENTRES[4]), at_centres(labels, 4))
    found = loss(output, labels, torch.stack([own[0] * 2, own[1] * 5])).item()
    assert found == pytest.approx(main / 2 + 0.4 * auxiliary / 5, rel=1e-5)


@pytest.mark.parametrize("stride", [1, 4])
def test_gradients_reach_every_cell_of_the_picture_and_none_of_the_padding(stride: int) -> None:
    output, labels = case(stride, 8, seed=4)
    scores = output.scores.clone().requires_grad_()
    assert output.auxiliary is not None
    auxiliary = output.auxiliary.clone().requires_grad_()
    labels = labels.where(labels != 255, 0)
    SegmentationLoss(stride=stride)(NetworkOutput(scores, auxiliary), labels).backward()
    assert scores.grad is not None
    assert auxiliary.grad is not None
    reached = scores.grad.abs().sum(dim=(0, 1)) > 0
    rows, columns = (-(-side // stride) for side in SIZE_HW)
    assert reached[:rows, :columns].all()
    assert not reached[rows + 1 :].any()
    assert not reached[:, columns + 1 :].any()
    assert (auxiliary.grad.abs() > 0).any()


def test_a_recipes_loss_is_of_its_networks_stride() -> None:
    def none() -> np.ndarray:
        raise AssertionError("no weighting counts pixels")

    device = torch.device("cpu")
    for stride in (1, 4, 8):
        assert build_loss(LossOptions(), LABELS, none, device, stride) == SegmentationLoss(stride=stride)


@pytest.mark.parametrize("stride", [8, 4, 1])
@pytest.mark.parametrize("pixel_stride", [2, 4])
def test_a_pixel_stride_sees_one_grid_of_pixels_and_every_grid_at_times(stride: int, pixel_stride: int) -> None:
    output, labels = case(stride, None)
    full = raised(output.scores, stride, SIZE_HW)
    grids = {}
    for y, x in itertools.product(range(pixel_stride), repeat=2):
        seen = labels[:, y::pixel_stride, x::pixel_stride]
        losses = F.cross_entropy(full[:, :, y::pixel_stride, x::pixel_stride], seen, ignore_index=255, reduction="sum")
        grids[y, x] = losses.item() / ((labels != 255).sum().item() / pixel_stride**2)
    loss, found = SegmentationLoss(pixel_stride=pixel_stride, stride=stride), set()
    for step in range(5, 5 + pixel_stride**2):
        value = loss(output, labels, None, step).item()
        nearest = min(grids, key=lambda grid: abs(grids[grid] - value))
        assert value == pytest.approx(grids[nearest], rel=1e-5)
        found.add(nearest)
    assert found == set(grids)
    # All grids together have seen each pixel once.
    assert sum(grids.values()) / len(grids) == pytest.approx(SegmentationLoss(stride=stride)(output, labels).item())


@pytest.mark.parametrize(
    "changes", [{"class_weights": torch.tensor([0.5, 2.0, 1.0])}, {"ohem": OhemOptions()}], ids=str
)
def test_a_pixel_stride_leaves_what_is_added_to_the_main_cross_entropy_alone(changes: dict[str, Any]) -> None:
    output, labels = case(8, 32)
    for name, value in {"auxiliary_weight": 0.4, "lovasz_weight": 0.5, "dice_weight": 0.5}.items():
        none = {"auxiliary_weight": 0.0}
        added = [
            SegmentationLoss(**changes, **(none | {name: value}), pixel_stride=stride, stride=8)(output, labels)
            - SegmentationLoss(**changes, **none, pixel_stride=stride, stride=8)(output, labels)
            for stride in (1, 2)
        ]
        assert added[0].item() == pytest.approx(added[1].item(), rel=1e-4), name


def test_the_recipe_reaches_the_pixel_stride() -> None:
    def none() -> np.ndarray:
        raise AssertionError

    built = build_loss(LossOptions(pixel_stride=2), LABELS, none, torch.device("cpu"), 8)
    assert built == SegmentationLoss(pixel_stride=2, stride=8)
