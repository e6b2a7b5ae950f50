from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_processes import Ended, raises_in_time, run_ranks
from torch import Tensor, nn

from contextnet.models.contextnet import ContextNet
from contextnet.models.folding import fold_batch_norm
from contextnet.training.messages import average_gradients, total_over_ranks
from contextnet.training.ranks import ALONE, Ranks
from contextnet.training.synchronized_norm import SynchronizedBatchNorm2d, synchronize_batch_norm
from training_data import tiny_recipe

PAIR = Ranks(0, 2, 0, 2)


@dataclass(frozen=True)
class Case:
    """A batch cut between two or three ranks, images each, and how far the outcome may be from the whole batch's."""

    images: tuple[int, ...]
    size_hw: tuple[int, int] = (5, 7)
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    offset: float = 0.0
    momentum: float | None = 0.1
    autocast: bool = False
    tolerance: float = 1e-5

    def batch(self) -> tuple[Tensor, Tensor]:
        """Draw the whole batch and the gradient that its output gets; every rank and the reference draw the same."""
        generator = torch.Generator().manual_seed(7)
        shape = (sum(self.images), 3, *self.size_hw)
        spread = torch.tensor([0.5, 1.0, 4.0]).view(1, 3, 1, 1)
        whole = torch.randn(shape, generator=generator, dtype=torch.float64) * spread + self.offset
        whole += torch.arange(sum(self.images)).view(-1, 1, 1, 1)  # the ranks' own means are far apart
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        gradient = torch.randn(shape, generator=generator, dtype=torch.float64)
        return whole.to(self.dtype).contiguous(memory_format=layout), gradient.to(self.dtype)

    def norm(self) -> nn.BatchNorm2d:
        """Make a batch norm that is not as new."""
        norm = nn.BatchNorm2d(3, momentum=self.momentum, dtype=torch.promote_types(self.dtype, torch.float32))
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([0.5, -1.5, 2.0]))
            norm.bias.copy_(torch.tensor([1.0, 0.0, -3.0]))
            assert norm.running_mean is not None
            norm.running_mean.fill_(2.0)
        return norm


CASES = {
    "equal parts": Case((2, 2)),
    "unequal parts": Case((1, 3)),
    "three unequal parts": Case((2, 1, 4)),
    "one value each": Case((1, 1), size_hw=(1, 1)),
    "channels last": Case((1, 3), channels_last=True),
    "far from zero": Case((2, 1), offset=300.0, tolerance=1e-4),
    "double": Case((1, 3), dtype=torch.float64, tolerance=1e-12),
    "cumulative": Case((2, 2), momentum=None),
    "bfloat16": Case((2, 3), dtype=torch.bfloat16, channels_last=True, autocast=True, tolerance=4e-2),
}


def passed(norm: nn.Module, case: Case, part: slice) -> dict[str, Any]:
    """Pass a part of the batch forward and back, once to warm up; give all that came of it."""
    whole, gradient = case.batch()
    features = whole[part].detach().requires_grad_()
    norm.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=case.autocast), torch.no_grad():
        norm(features * 2)
    with torch.autocast("cpu", torch.bfloat16, enabled=case.autocast):
        output = norm(features)
    inputs = [features, norm.get_parameter("weight"), norm.get_parameter("bias")]
    for_features, for_weight, for_bias = torch.autograd.grad(output, inputs, gradient[part])
    layout = torch.channels_last if case.channels_last else torch.contiguous_format
    return {
        "output": output.detach(),
        "input": for_features,
        "weight": for_weight,
        "bias": for_bias,
        "mean": norm.get_buffer("running_mean"),
        "variance": norm.get_buffer("running_var"),
        "batches": int(norm.get_buffer("num_batches_tracked")),
        "keeps its layout": output.is_contiguous(memory_format=layout)
        and for_features.is_contiguous(memory_format=layout),
    }


def own_part(images: tuple[int, ...], rank: int) -> slice:
    return slice(sum(images[:rank]), sum(images[: rank + 1]))


def all_cases(ranks: Ranks) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, case in CASES.items():
        if len(case.images) == ranks.world_size:
            norm = synchronize_batch_norm(case.norm(), ranks)
            found[name] = passed(norm, case, own_part(case.images, ranks.rank))
    return {**found, "numeric": numeric_gradients(ranks), "network": network_step(ranks)}


def numeric_gradients(ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Give the input's gradient as computed, and by central differences of the sum of all ranks' losses."""
    generator = torch.Generator().manual_seed(3)
    shape = (ranks.world_size, 1 + ranks.rank, 2, 2, 2)
    whole, weight = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    norm = synchronize_batch_norm(nn.BatchNorm2d(2, dtype=torch.float64), ranks)

    def loss_of(features: Tensor) -> Tensor:
        return (norm(features).square() * weight[ranks.rank]).sum()

    features = whole[ranks.rank].clone().requires_grad_()
    loss_of(features).backward()
    numeric = torch.zeros_like(features)
    for rank in range(ranks.world_size):
        for index in range((1 + rank) * 8):  # each rank's values in turn; all ranks pass forward each time
            losses = []
            for step in (1e-5, -1e-5):
                moved = whole[ranks.rank].clone()
                if rank == ranks.rank:
                    moved.view(-1)[index] += step
                losses.append(total_over_ranks(loss_of(moved), ranks))
            if rank == ranks.rank:
                numeric.view(-1)[index] = (losses[0] - losses[1]) / 2e-5
    assert features.grad is not None
    return features.grad, numeric


def tiny_network() -> ContextNet:
    torch.manual_seed(0)
    recipe = tiny_recipe(network={"variant": "cn14-160", "width": 0.25, "dropout": 0.0})
    return ContextNet(recipe.network.spec(3)).double()


def step_of(network: ContextNet, part: slice, ranks: Ranks) -> dict[str, Tensor]:
    """Take one backward pass; give every gradient and buffer by name."""
    images = torch.rand((6, 3, 32, 64), generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 255
    output = network.train()(images[part])
    assert output.auxiliary is not None
    (output.scores.square().mean() + output.auxiliary.exp().mean()).backward()
    average_gradients(network, ranks)
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return gradients | {name: buffer.clone() for name, buffer in network.named_buffers()}


def network_step(ranks: Ranks) -> dict[str, Tensor]:
    network = tiny_network()
    synchronize_batch_norm(network, ranks)
    share = 6 // ranks.world_size
    return step_of(network, slice(ranks.rank * share, (ranks.rank + 1) * share), ranks)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Ended]:
    return run_ranks(all_cases, 2, tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> list[Ended]:
    return run_ranks(all_cases, 3, tmp_path_factory.mktemp("trio"))


def of_ranks(request: pytest.FixtureRequest, world_size: int, name: str) -> list[Any]:
    """What each rank found in a case, by rank."""
    ended: list[Ended] = request.getfixturevalue({2: "pair", 3: "trio"}[world_size])
    assert [one.code for one in ended] == [0] * world_size, [one.errors for one in ended]
    return [one.result[name] for one in ended]


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_ranks_do_what_one_does_with_the_whole_batch(name: str, request: pytest.FixtureRequest) -> None:
    case = CASES[name]
    found = of_ranks(request, len(case.images), name)
    whole = passed(case.norm(), case, slice(None))
    for rank, one in enumerate(found):
        part = own_part(case.images, rank)
        assert one["output"].dtype == whole["output"].dtype == case.dtype
        close(one["output"], whole["output"][part], case.tolerance)
        close(one["input"], whole["input"][part], case.tolerance)
        # Statistics are float32 also where the values are not.
        close(one["mean"], whole["mean"], min(case.tolerance, 1e-5))
        close(one["variance"], whole["variance"], min(case.tolerance, 1e-5))
        # Bit for bit, so that the ranks' networks never drift apart.
        assert torch.equal(one["mean"], found[0]["mean"])
        assert torch.equal(one["variance"], found[0]["variance"])
        assert (one["batches"], one["keeps its layout"]) == (2, True)
    for parameter in ("weight", "bias"):
        close(sum(one[parameter] for one in found), whole[parameter], case.tolerance * 10)


def test_running_statistics_by_hand(request: pytest.FixtureRequest) -> None:
    # Two ranks with one value each, a and b: the mean is (a + b) / 2, the variance over n - 1 is (a - b)² / 2, and of
    # the doubled values that came before it four times as much.
    (a, b), _ = (values.double().view(2, 3) for values in CASES["one value each"].batch())
    mean, variance = (a + b) / 2, (a - b).square() / 2
    for one in of_ranks(request, 2, "one value each"):
        close(one["mean"].double(), 0.81 * 2 + 0.09 * 2 * mean + 0.1 * mean, 1e-5)
        close(one["variance"].double(), 0.81 + 0.09 * 4 * variance + 0.1 * variance, 1e-5)


@pytest.mark.parametrize("world_size", [2, 3])
def test_gradients_by_central_differences(world_size: int, request: pytest.FixtureRequest) -> None:
    for rank, (computed, numeric) in enumerate(of_ranks(request, world_size, "numeric")):
        assert computed.shape == (1 + rank, 2, 2, 2)
        assert computed.abs().max() > 0.1
        close(computed, numeric, 1e-7)


@pytest.mark.parametrize("world_size", [2, 3])
def test_a_network_learns_as_from_the_whole_batch(world_size: int, request: pytest.FixtureRequest) -> None:
    expected = step_of(tiny_network(), slice(None), ALONE)
    assert any(name.endswith("running_var") for name in expected)
    for one in of_ranks(request, world_size, "network"):
        assert one.keys() == expected.keys()
        for name, values in expected.items():
            close(one[name], values, 1e-9)


def test_the_network_is_the_same_in_all_but_its_statistics() -> None:
    network, before = tiny_network(), tiny_network()
    parameters, tensors = dict(network.named_parameters()), network.state_dict(keep_vars=True)
    assert synchronize_batch_norm(network, PAIR) is network
    assert {name: id(p) for name, p in network.named_parameters()} == {name: id(p) for name, p in parameters.items()}
    assert {name: id(t) for name, t in network.state_dict(keep_vars=True).items()} == {
        name: id(t) for name, t in tensors.items()
    }
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(isinstance(norm, SynchronizedBatchNorm2d) for norm in norms)
    assert len(norms) == sum(isinstance(m, nn.BatchNorm2d) for m in before.modules()) > 10
    image = torch.rand(1, 3, 32, 64, dtype=torch.float64) * 255
    assert torch.equal(network.eval()(image).scores, before.eval()(image).scores)
    folded = fold_batch_norm(network)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    close(folded(image).scores, before(image).scores, 1e-9)


def test_a_copy_of_the_network_is_its_own() -> None:
    network = tiny_network()
    synchronize_batch_norm(network, PAIR)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert all(p.abs().sum() > 0 for name, p in network.named_parameters() if name.endswith("norm.weight"))
    assert twin.load_state_dict(tiny_network().state_dict(), strict=True)


def test_evaluation_needs_no_other_rank() -> None:
    case = CASES["equal parts"]
    features, _ = case.batch()
    norm = synchronize_batch_norm(case.norm().eval(), PAIR)
    assert isinstance(norm, SynchronizedBatchNorm2d)
    assert torch.equal(norm(features), case.norm().eval()(features))


def test_one_rank_keeps_its_batch_norm() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3))
    assert type(synchronize_batch_norm(network, ALONE)[0]) is nn.BatchNorm2d  # type: ignore[index]


def lose_rank_1_between_the_passes(ranks: Ranks) -> None:
    norm = synchronize_batch_norm(nn.BatchNorm2d(2), ranks)
    output = norm(torch.rand(2, 2, 3, 3, requires_grad=True))
    if ranks.rank == 1:
        os._exit(3)
    raises_in_time(output.sum().backward)


def test_a_rank_lost_in_the_backward_pass_is_named(tmp_path: Path) -> None:
    ended = run_ranks(lose_rank_1_between_the_passes, 2, tmp_path)
    assert [one.code for one in ended] == [2, 3]
    assert "rank 0: another process of the run has ended or does not answer" in ended[0].errors
