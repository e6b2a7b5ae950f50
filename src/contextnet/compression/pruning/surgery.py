"""Removing feature maps: from a network and the channels that stay to a smaller network with its own spec."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from contextnet.compression.pruning.groups import ChannelGroup, channel_groups
from contextnet.errors import CompressionError
from contextnet.models.contextnet import ContextNet
from contextnet.spec import BottleneckSpec, ContextBranchSpec, ContextNetSpec, DetailBranchSpec

Kept = Mapping[str, Sequence[int]]
"""By a group's name, the channels of it that stay, in ascending order."""


@dataclass(frozen=True)
class Pruned:
    """A smaller network: its description and its tensors by name."""

    spec: ContextNetSpec
    tensors: dict[str, Tensor]


def prune_channels(spec: ContextNetSpec, tensors: Mapping[str, Tensor], kept: Kept, name: str) -> Pruned:
    """Remove all channels but ``kept`` from the network ``spec`` with these ``tensors``; ``name`` is the new one's.

    Groups that are not named keep all; those that are a share of another one (pyramid pooling) may not be left out when
    that one is cut. The smaller network gives the same scores as the larger one with the removed maps set to zero
    wherever they are made. Raises ``CompressionError`` for channels that do not exist or are too few.
    """
    groups = {group.name: group for group in channel_groups(spec)}
    if unknown := sorted(set(kept) - set(groups)):
        raise CompressionError(f"network '{spec.name}' has no group '{unknown[0]}'; it has {', '.join(groups)}")
    whole = {group.name: list(kept.get(group.name, range(group.width))) for group in groups.values()}
    for group in groups.values():
        _require_channels(group, whole)
    cuts = _Cuts(groups.values(), whole)
    smaller = with_widths(spec, {group: len(channels) for group, channels in whole.items()}, name)
    return Pruned(smaller, {tensor_name: cuts.cut(tensor_name, tensor) for tensor_name, tensor in tensors.items()})


def with_widths(spec: ContextNetSpec, widths: Mapping[str, int], name: str) -> ContextNetSpec:
    """Describe the network of this structure whose groups, given by name, have other widths.

    Raises ``WeightsError`` where the numbers do not make a network.
    """
    maps = {**{group.name: group.width for group in channel_groups(spec)}, **widths}
    units = {unit: maps[group.name] for group in channel_groups(spec) for unit in group.filters}
    context = None if spec.context is None else _context_with(spec.context, maps, units)
    details = tuple(_detail_with(f"details.{index}", detail, units) for index, detail in enumerate(spec.details))
    fusions = tuple(maps[f"fusions.{index}"] for index in range(len(spec.fusion_widths)))
    return replace(spec, name=name, context=context, details=details, fusion_widths=fusions)


def parameter_counter(spec: ContextNetSpec) -> Callable[[Mapping[str, int]], int]:
    """Give what counts the parameters of this network with other widths, as ``contextnet info`` does, in no time."""
    with torch.device("meta"):
        network = ContextNet(replace(spec, auxiliary=False))
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    groups = channel_groups(network.spec)

    def count(widths: Mapping[str, int]) -> int:
        cuts = _Cuts(groups, {group.name: range(widths.get(group.name, group.width)) for group in groups})
        return sum(prod(cuts.shape(name, shape)) for name, shape in shapes.items())

    return count


def _context_with(branch: ContextBranchSpec, maps: Mapping[str, int], units: Mapping[str, int]) -> ContextBranchSpec:
    blocks: list[BottleneckSpec] = []
    width_in = branch.stem
    for index, block in enumerate(branch.blocks):
        unit = f"context.blocks.{index}"
        # A sum stays one, and widths that happen to meet make none.
        residual = block.adds_input(width_in)
        blocks.append(replace(block, hidden=maps[f"{unit}.hidden"], width=units[f"{unit}.project"], residual=residual))
        width_in = block.width
    return replace(branch, stem=units["context.stem"], blocks=tuple(blocks), head=units["context.head"])


def _detail_with(prefix: str, branch: DetailBranchSpec, units: Mapping[str, int]) -> DetailBranchSpec:
    blocks = (replace(b, width=units[f"{prefix}.blocks.{i}.pointwise"]) for i, b in enumerate(branch.blocks))
    return replace(branch, stem=units[f"{prefix}.stem"], blocks=tuple(blocks))


def _require_channels(group: ChannelGroup, whole: Mapping[str, Sequence[int]]) -> None:
    channels = whole[group.name]
    if not channels or list(channels) != sorted(set(channels)) or not 0 <= channels[0] <= channels[-1] < group.width:
        raise CompressionError(
            f"group '{group.name}' has the channels 0 to {group.width - 1}; keep one or more, in ascending order"
        )
    if group.share_of is not None:
        of, parts = group.share_of
        share = max(1, len(whole[of]) // parts)
        if len(channels) != share:
            raise CompressionError(
                f"group '{group.name}' keeps {len(channels)} channels; where '{of}' keeps {len(whole[of])} it has to "
                f"keep {share}"
            )


class _Cuts:
    """What stays of each tensor: rows, where its module makes maps, and columns, where it reads them."""

    def __init__(self, groups: Iterable[ChannelGroup], whole: Mapping[str, Sequence[int]]) -> None:
        self._rows: dict[str, Sequence[int]] = {}
        columns: dict[str, list[tuple[int, Sequence[int]]]] = {}
        for group in groups:
            for unit in (*group.filters, *group.depthwise):
                self._rows |= {f"{unit}.{part}": whole[group.name] for part in ("conv", "norm")}
            for reader, first in group.readers:
                columns.setdefault(reader, []).append((first, whole[group.name]))
        self._columns = {
            reader: [first + channel for first, channels in sorted(parts) for channel in channels]
            for reader, parts in columns.items()
        }

    def shape(self, name: str, shape: Sequence[int]) -> tuple[int, ...]:
        """Give the shape of what stays of the tensor of this name and shape."""
        module, _, part = name.rpartition(".")
        smaller = list(shape)
        if smaller and (rows := self._rows.get(module)) is not None:
            smaller[0] = len(rows)
        if part == "weight" and (columns := self._columns.get(module)) is not None:
            smaller[1] = len(columns)
        return tuple(smaller)

    def cut(self, name: str, tensor: Tensor) -> Tensor:
        """Give what stays of the tensor of this name."""
        module, _, part = name.rpartition(".")
        if tensor.dim() and (rows := self._rows.get(module)) is not None:
            tensor = tensor[torch.tensor(rows)]
        if part == "weight" and (columns := self._columns.get(module)) is not None:
            tensor = tensor[:, torch.tensor(columns)]
        return tensor.clone(memory_format=torch.contiguous_format)
