"""Muon: its orthogonal steps against PyTorch's own for matrices, its other steps against PyTorch's AdamW."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from contextnet.models.contextnet import ContextNet
from contextnet.models.network import build_network
from contextnet.network_spec import BaselineSpec
from contextnet.spec import variant
from contextnet.training.muon import Muon, muon_groups
from contextnet.training.optimizer import build_optimizer, decay_groups
from contextnet.training.recipe.optimizer import MuonOptions


def orthogonal(*weights: nn.Parameter, decay: float = 0.0) -> dict[str, object]:
    return {"params": list(weights), "weight_decay": decay, "orthogonal": True}


@pytest.mark.parametrize("shape", [(32, 48, 1, 1), (48, 32, 1, 1), (16, 8, 3, 3), (24, 24, 1, 1)], ids=str)
def test_steps_for_kernels_are_pytorchs_for_matrices(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(shape))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = Muon([orthogonal(kernel, decay=0.1)], 0.01, momentum=0.9)
    theirs = torch.optim.Muon([matrix], 0.01, weight_decay=0.1, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    for _ in range(10):
        kernel.grad = torch.randn(shape)
        matrix.grad = kernel.grad.flatten(1).clone()
        before = matrix.detach().clone()
        ours.step()
        theirs.step()
        # PyTorch iterates in bfloat16.
        difference = (kernel.detach().flatten(1) - matrix.detach()).norm()
        assert difference < 0.05 * (matrix.detach() - before).norm()
        kernel.data.copy_(matrix.data.reshape(shape))


def test_a_step_is_as_strong_along_every_direction() -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.zeros(32, 64, 1, 1))
    kernel.grad = (torch.randn(32, 4) @ torch.randn(4, 64) + 0.05 * torch.randn(32, 64)).reshape(kernel.shape)
    given = torch.linalg.svdvals(kernel.grad.flatten(1))
    assert given[0] > 20 * given[-1], "the gradient has strong and weak directions"
    Muon([orthogonal(kernel)], 1.0).step()
    made = torch.linalg.svdvals(kernel.detach().flatten(1)) / (0.2 * 64**0.5)
    assert made[-1] > 0.5
    assert made[0] < 1.3


def test_other_parameters_follow_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(5, 1, 3, 3)) for _ in range(2))
    muon = Muon([{"params": [ours], "weight_decay": 0.1, "orthogonal": False}], 0.01, betas=(0.8, 0.99))
    adamw = torch.optim.AdamW([theirs], 0.01, betas=(0.8, 0.99), weight_decay=0.1)
    for _ in range(12):
        ours.grad = theirs.grad = torch.randn(ours.shape)
        muon.step()
        adamw.step()
        torch.testing.assert_close(ours, theirs)


def test_hidden_dense_kernels_alone_are_orthogonal() -> None:
    network = ContextNet(variant("cn14", 11))
    names = {id(p): name for name, p in network.named_parameters()}
    groups = muon_groups(network, decay_groups(network, 0.02))
    seen = {(group["orthogonal"], group["weight_decay"]): [names[id(p)] for p in group["params"]] for group in groups}
    assert sorted(itertools.chain(*seen.values())) == sorted(names.values())
    assert all(".conv.weight" in name and "depthwise" not in name for name in seen[True, 0.02])
    assert {"context.stem.conv.weight", "fusions.0.detail.conv.weight"} <= set(seen[True, 0.02])
    assert set(seen[False, 0.02]) == {"classifier.weight"}
    assert {"fusions.0.smooth.conv.weight", "classifier.bias"} <= set(seen[False, 0.0])


@pytest.mark.parametrize(
    ("name", "left", "made"),
    [("dabnet", "body.classifier.weight", "body.stem.0.conv.weight"), ("icnet", "body.classifier.weight", None)],
)
def test_the_classifiers_of_the_compared_networks_are_not(name: str, left: str, made: str | None) -> None:
    network = build_network(BaselineSpec(name, 3))
    names = {id(p): name for name, p in network.named_parameters()}
    groups = muon_groups(network, [{"params": list(network.parameters())}])
    chosen = {names[id(p)] for group in groups if group["orthogonal"] for p in group["params"]}
    assert left in names.values()
    assert left not in chosen
    assert not any("auxiliary" in name for name in chosen)
    assert made is None or made in chosen
    assert len(chosen) > 20


def test_a_parameter_without_a_gradient_stays() -> None:
    moved, still = nn.Parameter(torch.ones(4, 4, 1, 1)), nn.Parameter(torch.ones(4, 4, 1, 1))
    moved.grad = torch.eye(4).reshape(moved.shape)
    Muon([orthogonal(moved, still, decay=0.5)], 0.1).step()
    assert torch.equal(still, torch.ones_like(still))
    assert not torch.equal(moved, torch.ones_like(moved))


def test_the_recipe_reaches_it() -> None:
    network = ContextNet(variant("cn14", 11))
    built = build_optimizer(network, MuonOptions(kind="muon", learning_rate=0.004, momentum=0.9, betas=(0.7, 0.9)))
    assert isinstance(built, Muon)
    assert {(g["lr"], g["momentum"], g["betas"]) for g in built.param_groups} == {(0.004, 0.9, (0.7, 0.9))}
