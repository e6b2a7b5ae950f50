from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from contextnet.errors import ContextNetError
from contextnet.models.contextnet import ContextNet
from contextnet.models.ensemble import Ensemble
from contextnet.models.folding import fold_batch_norm
from contextnet.models.score_field import best_classes
from contextnet.spec import variant
from lively_networks import CLASSES, lively_network, patches

SIZES = [(1, 1), (37, 53), (96, 128)]


def members(*names: str) -> list[ContextNet]:
    return [lively_network(variant(name, CLASSES, width=0.25), seed) for seed, name in enumerate(names)]


def as_tensor(size_hw: tuple[int, int], seed: int = 0) -> Tensor:
    return torch.from_numpy(patches(size_hw, seed)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("names", [("cn14-context", "cn14-detail"), ("cn14", "cn124", "cn18")])
def test_equals_the_mean_of_the_soft_max(names: tuple[str, ...], size_hw: tuple[int, int]) -> None:
    networks, image = members(*names), as_tensor(size_hw, seed=3)
    with torch.inference_mode():
        scores = [fold_batch_norm(network).full_size_scores(image) for network in networks]
        expected = sum(score.softmax(dim=1) for score in scores) / len(networks)
        field = Ensemble(networks).field(image)
        found = field.rows(0, size_hw[0])
    assert isinstance(expected, Tensor)
    assert field.size_hw == size_hw
    assert field.are_probabilities
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(1, *size_hw))


@pytest.mark.parametrize("size_hw", SIZES)
def test_labels_are_the_best_of_the_mean(size_hw: tuple[int, int]) -> None:
    networks, pixels = members("cn14-context", "cn14-detail"), patches(size_hw, seed=5)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    labels = Ensemble(networks).labels(pixels)
    with torch.inference_mode():
        scores = [fold_batch_norm(network).full_size_scores(image) for network in networks]
        mean = torch.stack([score.softmax(dim=1) for score in scores]).mean(dim=0)[0]
    assert labels.dtype == np.uint8
    assert labels.shape == size_hw
    # Where two classes come out equal but for rounding, either is right.
    best = mean.gather(0, torch.from_numpy(labels).long()[None])[0]
    assert float((mean.max(dim=0).values - best).max()) <= 4e-5


def test_a_network_that_is_sure_outvotes_one_that_is_not() -> None:
    # 0.9, 0.1 and 0.4, 0.6 have the mean 0.65, 0.35; turned round, 0.1, 0.9 and 0.4, 0.6 the mean 0.25, 0.75.
    networks = [ContextNet(variant("cn14-detail", 2, width=0.125)).eval() for _ in range(2)]
    for network, chances in zip(networks, ([0.9, 0.1], [0.4, 0.6]), strict=True):
        torch.nn.init.zeros_(network.classifier.weight)
        assert network.classifier.bias is not None
        network.classifier.bias.data = torch.tensor(chances).log()
    pixels = patches((9, 10))
    ensemble = Ensemble(networks)
    assert np.all(ensemble.labels(pixels) == 0)
    with torch.inference_mode():
        rows = ensemble.field(as_tensor((9, 10))).rows(4, 6)
    torch.testing.assert_close(rows, torch.tensor([0.65, 0.35])[None, :, None, None].expand(1, 2, 2, 10))
    assert networks[1].classifier.bias is not None
    networks[0].classifier.bias.data = torch.tensor([0.1, 0.9]).log()
    assert np.all(Ensemble(networks).labels(pixels) == 1)


def test_the_size_of_the_bands_does_not_change_the_labels() -> None:
    with torch.inference_mode():
        field = Ensemble(members("cn14-context", "cn14-detail", "cn14")).field(as_tensor((75, 60), seed=8))
        labels = best_classes(field)
        assert labels.unique().numel() > 2
        for band_values in (1, 10_000, 100_000):
            assert torch.equal(best_classes(field, band_values), labels)


@pytest.mark.parametrize("count", [0, 1])
def test_one_network_is_no_ensemble(count: int) -> None:
    with pytest.raises(ContextNetError, match=f"^an ensemble of {count} networks; at least two are needed$"):
        Ensemble([ContextNet(variant("cn14-detail", 2, width=0.125))] * count)


def test_the_networks_must_score_the_same_classes() -> None:
    networks = [ContextNet(variant("cn14-detail", count, width=0.125)) for count in (5, 5, 7)]
    with pytest.raises(ContextNetError, match=r"^'cn14-detail-x0\.125' scores 5 classes and 'cn14-detail-x0\.125' 7; "):
        Ensemble(networks)
