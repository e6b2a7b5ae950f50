from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
import torch

from contextnet.compression.pruning.budget import fit_budget
from contextnet.compression.pruning.groups import channel_groups
from contextnet.compression.pruning.ranking import Scope, WidthLadder, channel_norms, strongest_channels
from contextnet.compression.pruning.surgery import parameter_counter, prune_channels, with_widths
from contextnet.errors import CompressionError
from contextnet.models.cost import measure_cost
from contextnet.spec import ContextNetSpec, variant
from lively_networks import lively_network


def parameters_of(spec: ContextNetSpec, widths: Mapping[str, int]) -> int:
    return measure_cost(with_widths(spec, widths, "smaller"), (64, 64)).parameters


def ladder_of(spec: ContextNetSpec, scope: Scope, multiple: int = 1) -> WidthLadder:
    norms = channel_norms(spec, lively_network(spec).state_dict())
    return WidthLadder(channel_groups(spec), norms, scope, multiple)


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("target", [490_459, 157_000, 800_000])
def test_a_budget_of_parameters_is_used_to_a_hundredth(scope: Scope, target: int) -> None:
    spec = variant("cn14", 11)
    fit = fit_budget(ladder_of(spec, scope), parameter_counter(spec), target)
    assert 0.99 * target <= fit.cost <= target
    assert fit.cost == parameters_of(spec, fit.widths)


@pytest.mark.parametrize("scope", ["local", "global"])
def test_the_ladder_goes_down_all_the_way(scope: Scope) -> None:
    spec = variant("cn14", 5, pyramid_pooling=True)
    ladder = ladder_of(spec, scope)
    rungs = [ladder.widths(severity) for severity in np.linspace(0, 1, 21)]
    assert rungs[0] == {group.name: group.width for group in ladder.groups}
    for wider, narrower in pairwise(rungs):
        assert all(narrower[name] <= width for name, width in wider.items())
    # A tenth of each group stays.
    assert all(rungs[-1][group.name] <= 0.15 * group.width + 1 for group in ladder.groups)


def test_all_groups_lose_the_same_share_or_the_weakest_channels_go_wherever_they_are() -> None:
    spec = variant("cn14", 5)
    tensors = lively_network(spec).state_dict()
    # Half of the first hidden maps say next to nothing.
    tensors["context.blocks.2.expand.conv.weight"][::2] *= 1e-3
    norms = channel_norms(spec, tensors)
    groups = channel_groups(spec)
    local = WidthLadder(groups, norms, "local").widths(0.05)
    assert all(local[group.name] == round(0.95 * group.width) for group in groups)
    everywhere = WidthLadder(groups, norms, "global").widths(0.02)
    assert everywhere["context.blocks.2.hidden"] < 0.75 * 192
    kept = strongest_channels(norms, everywhere | {"context.blocks.2.hidden": 96})
    assert kept["context.blocks.2.hidden"] == list(range(1, 192, 2))


def test_sums_of_a_group_are_over_every_layer_that_makes_its_maps() -> None:
    spec = variant("cn14", 5)
    tensors = lively_network(spec).state_dict()
    norms = channel_norms(spec, tensors)
    both = [tensors[f"fusions.0.{side}.conv.weight"].abs().sum((1, 2, 3)) for side in ("context", "detail")]
    np.testing.assert_allclose(norms["fusions.0"], torch.stack(both).sum(0), rtol=1e-6)


def test_folded_sums_are_those_of_the_kernels_that_act() -> None:
    """Scaling a filter and its batch norm's statistics alike changes nothing of what it does."""
    spec = variant("cn14", 5)
    tensors = lively_network(spec).state_dict()
    scaled = {name: tensor.clone() for name, tensor in tensors.items()}
    scaled["context.head.conv.weight"][3] *= 100
    scaled["context.head.norm.running_var"][3] *= 100**2
    before = channel_norms(spec, tensors, "l1-folded")["context.head"]
    after = channel_norms(spec, scaled, "l1-folded")["context.head"]
    np.testing.assert_allclose(after, before, rtol=1e-3)
    plain = channel_norms(spec, scaled)["context.head"]
    assert plain[3] == pytest.approx(100 * channel_norms(spec, tensors)["context.head"][3])


def test_widths_are_rounded_to_what_an_engine_likes() -> None:
    spec = variant("cn14", 5)
    widths = ladder_of(spec, "local", multiple=16).widths(0.4)
    assert all(width % 16 == 0 for width in widths.values())


def test_a_network_that_fits_already_stays_whole() -> None:
    spec = variant("cn14", 11)
    fit = fit_budget(ladder_of(spec, "local"), parameter_counter(spec), 10_000_000)
    assert fit.cost == parameters_of(spec, {})
    assert fit.widths == {group.name: group.width for group in channel_groups(spec)}
    norms = channel_norms(spec, lively_network(spec).state_dict())
    tensors = lively_network(spec).state_dict()
    pruned = prune_channels(spec, tensors, strongest_channels(norms, fit.widths), spec.name)
    assert all(torch.equal(pruned.tensors[name], tensor) for name, tensor in tensors.items())


def test_a_budget_below_the_smallest_network_is_refused() -> None:
    spec = variant("cn14", 11)
    with pytest.raises(CompressionError, match=r"the target 100 cannot be reached: the smallest network costs \d+"):
        fit_budget(ladder_of(spec, "local"), parameter_counter(spec), 100)
