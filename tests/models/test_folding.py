"""Batch-norm folding: the folded network gives the source's scores and labels."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from contextnet.models.contextnet import ContextNet
from contextnet.models.folding import fold_batch_norm
from contextnet.spec import VARIANTS, variant
from lively_baselines import SMALL, lively_baseline

IMAGE = (128, 192)
CASES = [(n, False) for n in VARIANTS] + [(n, True) for n in VARIANTS if n != "cn14-detail"]


def _trained_like(name: str, pyramid_pooling: bool) -> ContextNet:
    """A network with random batch norm that carries its signal through, as a trained one does.

    Kernels are scaled so that every layer puts out variance 1; then come random means, variances of 0.5…2, scales of
    0.5…1.5 of both signs, and shifts. The classifier is fitted too: scores differ by about 1 from pixel to pixel.
    """
    torch.manual_seed(11)
    network = ContextNet(variant(name, pyramid_pooling=pyramid_pooling))
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.cat([_image(), _image().flip(2)]))
        for unit in [m for m in network.modules() if isinstance(m, nn.Sequential) and hasattr(m, "norm")]:
            unit.conv.weight /= unit.norm.running_var.sqrt()[:, None, None, None]
            unit.norm.running_mean /= unit.norm.running_var.sqrt()
        for norm in norms:
            norm.running_mean += 0.3 * torch.randn_like(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            norm.weight *= torch.where(torch.rand_like(norm.weight) < 0.1, -1, 1)
            nn.init.uniform_(norm.bias, -0.2, 0.5)
        scores = network.eval()(_image()).scores
        spread = scores.std(dim=(0, 2, 3))
        network.classifier.weight /= spread[:, None, None, None]
        network.classifier.bias.copy_(-scores.mean(dim=(0, 2, 3)) / spread)
    return network


def _image() -> Tensor:
    """Coloured blocks of 16 pixels with noise on them."""
    generator = torch.Generator().manual_seed(12)
    blocks = torch.randint(0, 200, (1, 3, IMAGE[0] // 16, IMAGE[1] // 16), generator=generator)
    noise = torch.randint(0, 56, (1, 3, *IMAGE), generator=generator)
    return (blocks.repeat_interleave(16, 2).repeat_interleave(16, 3) + noise).to(torch.uint8)


@pytest.mark.parametrize(("name", "pyramid_pooling"), CASES)
@torch.no_grad()
def test_folding_keeps_scores_and_labels(name: str, pyramid_pooling: bool) -> None:
    network = _trained_like(name, pyramid_pooling)
    folded = fold_batch_norm(network)
    scores, folded_scores = network.full_size_scores(_image()), folded.full_size_scores(_image())
    labels, folded_labels = scores.argmax(dim=1), folded_scores.argmax(dim=1)
    assert 0.5 < float(scores.std()) < 2
    assert len(labels.unique()) > 10
    assert float((scores - folded_scores).abs().max()) <= 1e-4
    assert float((labels == folded_labels).double().mean()) >= 0.9999


@pytest.mark.parametrize(("name", "pyramid_pooling"), CASES)
def test_nothing_is_left_unfolded(name: str, pyramid_pooling: bool) -> None:
    network = _trained_like(name, pyramid_pooling)
    folded = fold_batch_norm(network)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    convolutions = [m for m in folded.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == sum(isinstance(m, nn.Conv2d) for m in network.modules())
    assert all(c.bias is not None for c in convolutions)
    assert not any(p.requires_grad for p in folded.parameters())


def test_one_kernel_by_hand() -> None:
    network = _trained_like("cn14-detail", False)
    unit = network.details[0].stem
    scale = unit.norm.weight / (unit.norm.running_var + unit.norm.eps).sqrt()
    conv = fold_batch_norm(network).details[0].stem.conv
    torch.testing.assert_close(conv.weight, (unit.conv.weight * scale[:, None, None, None]).detach())
    torch.testing.assert_close(conv.bias, (unit.norm.bias - unit.norm.running_mean * scale).detach())


def test_the_source_is_left_as_it_is() -> None:
    network = _trained_like("cn14-160", True).train()
    before = copy.deepcopy(network.state_dict())
    folded = fold_batch_norm(network)
    assert network.training
    assert not folded.training
    assert all(p.requires_grad for p in network.parameters())
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_folding_twice_changes_nothing_more() -> None:
    once = fold_batch_norm(_trained_like("cn14-160", False))
    twice = fold_batch_norm(once)
    assert once.state_dict().keys() == twice.state_dict().keys()
    assert all(torch.equal(tensor, once.state_dict()[name]) for name, tensor in twice.state_dict().items())


# Units of transposed convolutions, whose weights have input and output maps in the other order.


@pytest.mark.parametrize(
    "conv",
    [
        nn.ConvTranspose2d(3, 5, 3, 2, padding=1, output_padding=1, bias=False),
        nn.ConvTranspose2d(4, 4, 2, 2),
        nn.Conv2d(4, 6, 3, groups=2, bias=False),
    ],
    ids=["doubling", "square, with a bias", "not transposed"],
)
@torch.no_grad()
def test_a_unit_of_any_convolution_is_folded(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
    torch.manual_seed(13)
    norm = nn.BatchNorm2d(conv.out_channels, 1e-3)
    nn.init.uniform_(norm.weight, -1.5, 1.5)
    for tensor, low, high in ((norm.bias, -0.5, 0.5), (norm.running_mean, -1, 1), (norm.running_var, 0.2, 2)):
        nn.init.uniform_(tensor, low, high)
    unit = nn.Sequential(OrderedDict(conv=conv, norm=norm, act=nn.ReLU())).eval()
    network = nn.Sequential(nn.Identity(), unit)
    features = torch.randn(2, conv.in_channels, 5, 7)
    expected, before = network(features), {n: t.clone() for n, t in network.state_dict().items()}
    folded = fold_batch_norm(network)
    torch.testing.assert_close(folded(features), expected, rtol=1e-5, atol=1e-5)
    assert isinstance(folded[1].norm, nn.Identity)
    assert type(folded[1].conv) is type(conv)
    assert folded[1].conv.bias is not None
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items()), "the source is left as it is"


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_folding_keeps_the_scores_of_the_compared_networks(name: str) -> None:
    network = lively_baseline(name)
    scores, folded = network(_image()).scores, fold_batch_norm(network)
    assert float((folded(_image()).scores - scores).abs().max()) <= 2e-3 * float(scores.std())
    # Batch norm stays where no convolution stands before it.
    unfolded = {p for p, m in folded.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert all(p.endswith(("pooled.norm", "before.norm", "between.norm")) or "injection" in p for p in unfolded)
    assert bool(unfolded) == (name in {"enet", "erfnet", "dabnet"})
    transposed = [m for m in folded.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(transposed) == {"enet": 3, "erfnet": 3}.get(name, 0)
    assert all(m.bias is not None for m in transposed)
