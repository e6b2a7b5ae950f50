"""The decision tuned for mIoU: the offsets that an exhaustive search finds, kept in the classifier's bias."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from contextnet.data.decoding import DecodedSplit
from contextnet.errors import TrainingError
from contextnet.labels import LabelClass, LabelSet
from contextnet.models.network import build_network
from contextnet.network_spec import BASELINES, BaselineSpec
from contextnet.spec import variant
from contextnet.training.decision import class_offsets, classifier_bias, tune_decision

LABELS = LabelSet("three", tuple(LabelClass(name, (i, 0, 0), name, (i,)) for i, name in enumerate("abc")))


def miou(scores: Tensor, labels: Tensor) -> float:
    """The definition, class by class."""
    decided, values = scores.argmax(1), []
    for index in range(scores.shape[1]):
        if (labels == index).any():
            both, either = (decided == index) & (labels == index), (decided == index) | (labels == index)
            values.append((both.sum() / either.sum()).item())
    return sum(values) / len(values)


def streets(seed: int, pixels: int = 4000) -> tuple[Tensor, Tensor]:
    """Scores as cross-entropy makes them: logarithms of the probabilities by which the labels were drawn."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(pixels, 3, generator=generator) + torch.tensor([2.0, 1.0, -1.5])
    labels = torch.multinomial(scores.softmax(1), 1, generator=generator)[:, 0]
    return scores, labels


@pytest.mark.parametrize("seed", range(4))
def test_offsets_are_as_good_as_the_best_on_a_grid(seed: int) -> None:
    scores, labels = streets(seed)
    offsets = class_offsets(scores, labels)
    grid = torch.arange(-2.0, 2.01, 0.25)
    best = max(miou(scores + torch.stack([torch.tensor(0.0), b, c]), labels) for b, c in itertools.product(grid, grid))
    assert miou(scores + offsets, labels) > best - 0.01
    assert miou(scores + offsets, labels) > miou(scores, labels) + 0.02
    assert offsets[2] > offsets[0], "the rare class is decided for more often"


def test_a_decision_that_cannot_gain_stays() -> None:
    labels = torch.arange(3).repeat(50)
    assert class_offsets(5.0 * torch.eye(3)[labels], labels).tolist() == [0.0, 0.0, 0.0]


def test_of_offsets_that_are_as_good_the_nearest_is_taken() -> None:
    # A fifth of class 0 is scored 0.45 lower than class 2; all else is so clear that any offset from 0.5 on will do.
    labels = torch.cat([torch.zeros(100), torch.ones(100), torch.full((100,), 2)]).long()
    scores = 9.0 * torch.eye(3)[labels]
    scores[:20] = torch.tensor([0.0, -9.0, 0.45])
    assert class_offsets(scores, labels).tolist() == pytest.approx([0.5, 0.0, 0.0])


def test_offsets_stay_within_reach() -> None:
    labels = torch.cat([torch.zeros(100), torch.ones(100)]).long()
    scores = torch.tensor([[7.0, 0.0]]).repeat(200, 1) + torch.linspace(0, 0.5, 200)[:, None] * torch.tensor(
        [-1.0, 1.0]
    )
    assert class_offsets(scores, labels).abs().max() <= 2


def test_a_class_that_is_not_labelled_neither_counts_nor_is_decided_for() -> None:
    scores, labels = streets(0)
    kept = labels != 2
    offsets = class_offsets(scores[kept], labels[kept])
    assert offsets[2] == 0
    assert miou(scores[kept] + offsets, labels[kept]) >= miou(scores[kept], labels[kept])


def split_of(count: int, size_hw: tuple[int, int]) -> DecodedSplit:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (count, 3, *size_hw), dtype=torch.uint8, generator=generator)
    masks = (images[:, 0] > 200).to(torch.uint8)
    masks[:, :4] = 255
    return DecodedSplit("noise", LABELS, "", tuple(images), tuple(masks), ())


@pytest.mark.parametrize(("count", "size_hw"), [(3, (64, 96)), (130, (32, 32)), (1, (300, 400))])
def test_the_bias_alone_moves_and_training_images_score_higher(count: int, size_hw: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network, split = build_network(variant("cn14", 3)), split_of(count, size_hw)
    network.eval()

    def score() -> float:
        with torch.no_grad():
            scores = torch.cat([network.full_size_scores(i[None])[0].flatten(1).T for i in split.images])
        labels = torch.cat([mask.flatten() for mask in split.masks]).long()
        return miou(scores[labels != 255], labels[labels != 255])

    start, before = {name: value.clone() for name, value in network.state_dict().items()}, score()
    tune_decision(network, split, torch.device("cpu"))
    moved = [name for name, value in network.state_dict().items() if not torch.equal(value, start[name])]
    assert moved == ["classifier.bias"]
    assert score() > before


def test_a_run_that_is_to_stop_does_not_tune() -> None:
    network = build_network(variant("cn14", 3))
    start = network.classifier.bias.detach().clone()
    asked = iter([False, False, True])
    tune_decision(network, split_of(9, (32, 32)), torch.device("cpu"), is_stopping=lambda: next(asked))
    assert torch.equal(network.classifier.bias, start)


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"dabnet", "deeplab-v2"}))
def test_the_compared_networks_have_a_bias_too(name: str) -> None:
    with torch.device("meta"):
        network = build_network(BaselineSpec(name, 5))
    assert classifier_bias(network).shape == (5,)


@pytest.mark.parametrize("name", ["dabnet", "deeplab-v2"])
def test_a_classifier_without_one_bias_is_refused(name: str) -> None:
    with torch.device("meta"):
        network = build_network(BaselineSpec(name, 3))
    with pytest.raises(TrainingError, match=rf"'tune_decision' shifts the bias .* '{name}' has no such bias"):
        classifier_bias(network)
