"""Which layers start small because they score classes, and what the others start as."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from contextnet.models.initialization import initialize, scores_classes


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("classifier", True),
        ("auxiliary", True),
        ("body.classifier", True),
        ("body.classifier.branches.0", True),
        ("body.auxiliary.classifier", True),
        # PSPNet's head is called auxiliary as well, and its 3×3 convolution's maps are no classes.
        ("body.auxiliary", False),
        ("body.auxiliary.head.conv", False),
        ("context.head.conv", False),
        ("body.classifiers", False),
        ("", False),
    ],
)
def test_which_layers_score_classes(path: str, expected: bool) -> None:
    assert scores_classes(path) == expected


def test_a_transposed_convolution_keeps_its_weights_unless_it_scores_classes() -> None:
    torch.manual_seed(0)
    network = nn.ModuleDict({name: nn.ConvTranspose2d(16, 16, 2, 2) for name in ("decoder", "classifier")})
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert before["decoder.bias"].any()
    initialize(network)
    after = network.state_dict()
    assert torch.equal(after["decoder.weight"], before["decoder.weight"])
    assert not after["decoder.bias"].any()
    assert float(after["classifier.weight"].std()) == pytest.approx(0.01, rel=0.15)
    assert not after["classifier.bias"].any()
