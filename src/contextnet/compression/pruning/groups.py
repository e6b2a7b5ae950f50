"""Which feature maps of a network hang together: a group's channel is removed everywhere, or nowhere.

Sums tie the maps that are added (residual blocks, the fusion unit), depth-wise convolutions those that they read to
those that they write. ``docs/compression.md`` draws the groups of cn14.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from contextnet.network_spec import NetworkSpec, require_contextnet
from contextnet.spec import ContextBranchSpec, DetailBranchSpec


@dataclass
class ChannelGroup:
    """Feature maps that are numbered alike in every module that makes or reads them.

    Modules are named as in the network's state dict. ``filters`` are the convolution units that make the maps, one
    filter for each, and are summed where there are several; ``depthwise`` the units that work on each map by itself;
    ``readers`` the convolutions that read the maps, each with the input channel at which they begin.
    ``share_of`` names the group of which this one is the given part by the architecture: pyramid pooling's averages.
    """

    name: str
    width: int
    filters: list[str]
    depthwise: list[str] = field(default_factory=list)
    readers: list[tuple[str, int]] = field(default_factory=list)
    share_of: tuple[str, int] | None = None


def channel_groups(spec: NetworkSpec) -> tuple[ChannelGroup, ...]:
    """Give all groups of a network, in the order in which an image passes them.

    Raises ``ContextNetError`` for a baseline, of which no groups are known.
    """
    spec = require_contextnet(spec, "pruned")
    groups: list[ChannelGroup] = []
    last: ChannelGroup | None = None
    if spec.context is not None:
        groups += _context_groups(spec.context)
        last = groups[-1]
        if spec.auxiliary:
            last.readers.append(("auxiliary", 0))
    for index, detail in enumerate(spec.details):
        branch = _detail_groups(f"details.{index}", detail)
        groups += branch
        if last is None:
            last = branch[-1]
            continue
        unit = f"fusions.{index}"
        last.depthwise.append(f"{unit}.smooth")
        last.readers.append((f"{unit}.context.conv", 0))
        branch[-1].readers.append((f"{unit}.detail.conv", 0))
        last = ChannelGroup(unit, spec.fusion_widths[index], [f"{unit}.context", f"{unit}.detail"])
        groups.append(last)
    assert last is not None
    last.readers.append(("classifier", 0))
    return tuple(groups)


def _context_groups(branch: ContextBranchSpec) -> list[ChannelGroup]:
    """Give the trunk's groups, as long as residual sums reach, and every block's hidden maps; the head's comes last."""
    trunk = ChannelGroup("context.stem", branch.stem, ["context.stem"])
    groups = [trunk]
    for index, block in enumerate(branch.blocks):
        unit = f"context.blocks.{index}"
        trunk.readers.append((f"{unit}.expand.conv", 0))
        hidden = ChannelGroup(f"{unit}.hidden", block.hidden, [f"{unit}.expand"], [f"{unit}.depthwise"])
        hidden.readers.append((f"{unit}.project.conv", 0))
        groups.append(hidden)
        if block.adds_input(trunk.width):
            trunk.filters.append(f"{unit}.project")
        else:
            trunk = ChannelGroup(unit, block.width, [f"{unit}.project"])
            groups.append(trunk)
    trunk.readers.append(("context.head.conv", 0))
    head = ChannelGroup("context.head", branch.head, ["context.head"])
    return [*groups, *_pyramid_groups(branch, head), head]


def _pyramid_groups(branch: ContextBranchSpec, head: ChannelGroup) -> list[ChannelGroup]:
    """Add pyramid pooling to the head, whose maps it replaces by as many; give the groups of its averages."""
    groups = []
    for index in range(len(branch.pyramid_bins)):
        share = max(1, branch.head // len(branch.pyramid_bins))
        unit = f"context.pyramid.reduce.{index}"
        head.readers.append((f"{unit}.conv", 0))
        mixed = [("context.pyramid.mix.conv", branch.head + index * share)]
        part = (head.name, len(branch.pyramid_bins))
        groups.append(ChannelGroup(unit, share, [unit], readers=mixed, share_of=part))
    if groups:
        head.readers.append(("context.pyramid.mix.conv", 0))
        head.filters.append("context.pyramid.mix")
    return groups


def _detail_groups(prefix: str, branch: DetailBranchSpec) -> list[ChannelGroup]:
    group = ChannelGroup(f"{prefix}.stem", branch.stem, [f"{prefix}.stem"])
    groups = [group]
    for index, block in enumerate(branch.blocks):
        unit = f"{prefix}.blocks.{index}"
        group.depthwise.append(f"{unit}.depthwise")
        group.readers.append((f"{unit}.pointwise.conv", 0))
        group = ChannelGroup(unit, block.width, [f"{unit}.pointwise"])
        groups.append(group)
    return groups
