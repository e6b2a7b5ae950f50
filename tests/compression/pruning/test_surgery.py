from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from contextnet.compression.pruning.groups import channel_groups
from contextnet.compression.pruning.surgery import parameter_counter, prune_channels, with_widths
from contextnet.errors import CompressionError
from contextnet.models.contextnet import ContextNet
from contextnet.models.cost import measure_cost
from contextnet.models.network_output import NetworkOutput
from contextnet.spec import VARIANTS, ContextNetSpec, variant
from lively_networks import lively_network, patches

NETWORKS = {
    **{name: variant(name, 5, auxiliary=not name.endswith("detail")) for name in VARIANTS},
    "cn14-x1.5": variant("cn14", 5, width=1.5),
    "cn14-pyramid": variant("cn14", 5, pyramid_pooling=True, auxiliary=True),
    "cn124-pyramid": variant("cn124", 5, pyramid_pooling=True),
    "cn14-x0.3": variant("cn14", 5, width=0.3),
}


def random_choice(spec: ContextNetSpec, seed: int) -> dict[str, list[int]]:
    """Keep between one and all channels of every group."""
    generator = np.random.default_rng(seed)
    kept: dict[str, list[int]] = {}
    groups = channel_groups(spec)
    for group in sorted(groups, key=lambda group: group.share_of is not None):
        if group.share_of is None:
            number = int(generator.integers(1, group.width + 1))
        else:
            number = max(1, len(kept[group.share_of[0]]) // group.share_of[1])
        kept[group.name] = sorted(generator.permutation(group.width)[:number].tolist())
    return kept


def masked_scores(network: ContextNet, kept: Mapping[str, Sequence[int]], image: Tensor) -> NetworkOutput:
    """Run the whole network with the other channels set to zero wherever one of its modules makes them."""
    modules = dict(network.named_modules())
    with ExitStack() as hooks:
        for group in channel_groups(network.spec):
            mask = torch.zeros(group.width, 1, 1)
            mask[list(kept[group.name])] = 1

            def hide(module: Any, inputs: Any, output: Tensor, mask: Tensor = mask) -> Tensor:
                return output * mask

            for unit in (*group.filters, *group.depthwise):
                hooks.callback(modules[unit].register_forward_hook(hide).remove)
        with torch.no_grad():
            output: NetworkOutput = network(image)
            return output


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NETWORKS)
def test_a_pruned_network_scores_as_the_whole_one_with_the_removed_maps_masked(name: str, seed: int) -> None:
    spec = replace(NETWORKS[name], dropout=0.0)
    network = lively_network(spec, seed)
    kept = random_choice(spec, seed)
    image = torch.from_numpy(patches((96, 160), seed)).permute(2, 0, 1)[None]
    pruned = prune_channels(spec, network.state_dict(), kept, "smaller")
    smaller = ContextNet(pruned.spec).eval()
    smaller.load_state_dict(pruned.tensors)
    expected, found = masked_scores(network, kept, image).scores, smaller(image).scores
    assert expected.std() > 1e-3, "the networks say something"
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_the_auxiliary_classifier_is_pruned_along() -> None:
    spec = replace(NETWORKS["cn14"], dropout=0.0)
    network = lively_network(spec)
    kept = random_choice(spec, 7)
    pruned = prune_channels(spec, network.state_dict(), kept, "smaller")
    smaller = ContextNet(pruned.spec)
    smaller.load_state_dict(pruned.tensors)
    image = torch.from_numpy(patches((96, 160), 7)).permute(2, 0, 1)[None]
    for each in (network, smaller):
        assert each.auxiliary is not None
        each.train()
        for module in each.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
    expected, found = masked_scores(network, kept, image).auxiliary, smaller(image).auxiliary
    assert expected is not None
    assert found is not None
    assert (found - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_every_channel_of_every_tensor_belongs_to_a_group(name: str) -> None:
    """Halving all groups halves every side of every tensor that is no image channel and no class."""
    spec = NETWORKS[name]
    kept = {}
    for group in channel_groups(spec):
        kept[group.name] = list(range(group.width))
    whole = ContextNet(spec).state_dict()
    same = prune_channels(spec, whole, kept, spec.name)
    assert same.spec.to_json() | {"context": None} == spec.to_json() | {"context": None}
    assert {n: t.shape for n, t in same.tensors.items()} == {n: t.shape for n, t in whole.items()}
    for group in channel_groups(spec):
        for unit in (*group.filters, *group.depthwise):
            assert len(whole[f"{unit}.conv.weight"]) == group.width
    read: dict[str, int] = {}
    for group in channel_groups(spec):
        for reader, first in group.readers:
            read[reader] = max(read.get(reader, 0), first + group.width)
    wide = {
        n.removesuffix(".weight"): t.shape[1] for n, t in whole.items() if t.dim() == 4 and t.shape[1] not in {1, 3}
    }
    assert read == wide


def test_widths_that_come_to_be_equal_make_no_sum() -> None:
    """cn14's tenth block takes 64 maps to 96 at stride 1; pruned to 64 it must not begin to add."""
    spec = variant("cn14", 5, dropout=0.0)
    assert spec.context is not None
    block = next(i for i, b in enumerate(spec.context.blocks) if b.width == 96)
    network = lively_network(spec)
    kept = {group.name: list(range(group.width)) for group in channel_groups(spec)}
    kept[f"context.blocks.{block}"] = list(range(20, 84))
    pruned = prune_channels(spec, network.state_dict(), kept, "smaller")
    smaller = ContextNet(pruned.spec).eval()
    smaller.load_state_dict(pruned.tensors)
    image = torch.from_numpy(patches((64, 64), 1)).permute(2, 0, 1)[None]
    assert (smaller(image).scores - masked_scores(network, kept, image).scores).abs().max() <= 1e-5
    again = prune_channels(pruned.spec, pruned.tensors, {}, "same")
    assert again.spec == replace(pruned.spec, name="same")


@pytest.mark.parametrize(
    ("kept", "complaint"),
    [
        ({"context.nose": [0]}, "has no group 'context.nose'"),
        ({"context.stem": []}, "keep one or more"),
        ({"context.stem": [1, 0]}, "in ascending order"),
        ({"context.stem": [0, 0]}, "in ascending order"),
        ({"context.stem": [32]}, "has the channels 0 to 31"),
        ({"context.stem": [-1, 0]}, "has the channels 0 to 31"),
        ({"context.head": list(range(64))}, "it has to keep 16"),
    ],
)
def test_channels_that_cannot_be_kept_are_refused(kept: dict[str, list[int]], complaint: str) -> None:
    spec = variant("cn14", 5, pyramid_pooling=True)
    with pytest.raises(CompressionError, match=complaint):
        prune_channels(spec, ContextNet(spec).state_dict(), kept, "smaller")


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_counted_without_the_network(name: str) -> None:
    spec = NETWORKS[name]
    count = parameter_counter(spec)
    assert count({}) == measure_cost(spec, (64, 64)).parameters
    widths = {group: len(channels) for group, channels in random_choice(spec, 5).items()}
    assert count(widths) == measure_cost(with_widths(spec, widths, "smaller"), (64, 64)).parameters
