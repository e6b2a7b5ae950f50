from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from contextnet.errors import ContextNetError
from contextnet.models.contextnet import ContextNet
from contextnet.models.folding import fold_batch_norm
from contextnet.models.muted import Branch, muted
from contextnet.models.predictor import NetworkPredictor
from contextnet.spec import variant
from lively_networks import CLASSES, lively_network, patches

pytestmark = pytest.mark.parametrize("name", ["cn14", "cn124"])

PIXELS = patches((64, 96), seed=4)
IMAGE = torch.from_numpy(PIXELS).permute(2, 0, 1)[None]


def small_network(name: str) -> ContextNet:
    return lively_network(variant(name, CLASSES, width=0.25))


def scores_of(network: ContextNet) -> Tensor:
    with torch.no_grad():
        scores: Tensor = network(IMAGE).scores
    return scores


def scores_by_hand(network: ContextNet, branch: Branch) -> Tensor:
    """Run the network's parts one by one, with zeros of the branch's shape; 64×96 needs no padding."""
    assert network.context is not None
    with torch.no_grad():
        image = IMAGE.float() * (1 / 255)
        features = network.context(image)
        if branch == "context":
            features = torch.zeros(features.shape)
        for detail, fusion in zip(network.details, network.fusions, strict=True):
            fine = detail(image)
            features = fusion(features, torch.zeros(fine.shape) if branch == "detail" else fine)
        scores: Tensor = network.classifier(features)
    return scores


def hook_count(network: ContextNet) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


@pytest.mark.parametrize("branch", ["context", "detail"])
def test_the_fusion_gets_zeros_from_the_branch(name: str, branch: Branch) -> None:
    network = small_network(name)
    before, expected = scores_of(network), scores_by_hand(network, branch)
    with muted(network, branch):
        found = scores_of(network)
    assert torch.equal(found, expected)
    assert not torch.allclose(found, before, atol=0.1)
    assert torch.equal(scores_of(network), before)
    assert hook_count(network) == 0


def test_nothing_of_the_image_is_left_with_both_muted(name: str) -> None:
    network = small_network(name)
    with muted(network, "context"), muted(network, "detail"), torch.no_grad():
        assert torch.equal(network(IMAGE).scores, network(255 - IMAGE).scores)
    assert hook_count(network) == 0


@pytest.mark.parametrize("branch", ["context", "detail"])
def test_a_network_with_folded_batch_norm_is_muted_alike(name: str, branch: Branch) -> None:
    network = small_network(name)
    expected = scores_by_hand(network, branch)
    folded = fold_batch_norm(network)
    with muted(folded, branch):
        torch.testing.assert_close(scores_of(folded), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("branch", ["context", "detail"])
def test_a_predictor_made_meanwhile_stays_muted(name: str, branch: Branch) -> None:
    network = small_network(name)
    with muted(network, branch):
        predictor = NetworkPredictor(network)
    folded = fold_batch_norm(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with muted(folded, branch), torch.no_grad():
        expected = folded.full_size_scores(IMAGE)[0].argmax(dim=0).numpy()
    plain = NetworkPredictor(network).labels(PIXELS)
    assert float(np.mean(predictor.labels(PIXELS) == expected)) > 0.999
    assert float(np.mean(plain == expected)) < 0.95


def test_an_exception_leaves_no_hook(name: str) -> None:
    network = small_network(name)
    before = scores_of(network)
    with pytest.raises(ZeroDivisionError), muted(network, "detail"):
        _ = 1 / 0
    assert hook_count(network) == 0
    assert torch.equal(scores_of(network), before)


@pytest.mark.parametrize(
    ("alone", "message"), [("cn14-context", "has a context branch alone"), ("cn14-detail", "has a detail branch alone")]
)
@pytest.mark.parametrize("branch", ["context", "detail"])
def test_a_network_needs_both_branches(name: str, alone: str, message: str, branch: Branch) -> None:
    network = ContextNet(variant(alone, CLASSES, width=0.25))
    expected = f"^network '{alone}-x0.25' {message}; [^.;]*such as cn14$"
    with pytest.raises(ContextNetError, match=expected), muted(network, branch):
        pass
    assert hook_count(network) == 0
