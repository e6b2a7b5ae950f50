"""Which feature maps matter least, and how many of each group stay.

Filters are ranked by the sum of their weights' magnitudes (Li et al. 2017, "Pruning Filters for Efficient ConvNets"),
as section 3.4 of the paper does. Within a group of several layers the sums are added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contextnet.compression.pruning.groups import ChannelGroup, channel_groups
from contextnet.network_spec import NetworkSpec

Criterion = Literal["l1", "l1-folded"]
"""The weights as they are, or with batch norm's scale folded into them, as they act."""

Scope = Literal["local", "global"]
"""Every group loses the same share, or all channels compete, by their sums over the mean of their group."""

LEAST_SHARE = 0.1
"""So much of a group stays, however small its sums: a group that is gone is a branch that is cut."""

_EPSILON = nn.BatchNorm2d(1).eps
_TINY = 1e-12

Norms = Mapping[str, NDArray[np.float64]]
"""By a group's name, its channels' sums."""


def channel_norms(spec: NetworkSpec, tensors: Mapping[str, Tensor], criterion: Criterion = "l1") -> Norms:
    """Sum the magnitudes of every channel's filters, for each group of a network (width,)."""
    return {
        group.name: sum(
            (_filter_norms(unit, tensors, criterion) for unit in group.filters), np.zeros(group.width, np.float64)
        )
        for group in channel_groups(spec)
    }


def _filter_norms(unit: str, tensors: Mapping[str, Tensor], criterion: Criterion) -> NDArray[np.float64]:
    norms = tensors[f"{unit}.conv.weight"].double().abs().flatten(1).sum(1)
    if criterion == "l1-folded":
        variance = tensors[f"{unit}.norm.running_var"].double()
        norms = norms * tensors[f"{unit}.norm.weight"].double().abs() / torch.sqrt(variance + _EPSILON)
    return np.asarray(norms, np.float64)


def strongest_channels(norms: Norms, widths: Mapping[str, int]) -> dict[str, list[int]]:
    """Give the channels with the largest sums, so many of each group as ``widths`` says, in ascending order."""
    kept = {}
    for name, width in widths.items():
        order = np.argsort(-norms[name], kind="stable")
        kept[name] = sorted(order[:width].tolist())
    return kept


@dataclass(frozen=True)
class WidthLadder:
    """All the ways from the whole network to the smallest one: a width for every group at each severity.

    ``multiple`` is what widths are rounded to, where the group was as wide: engines compute some widths faster.
    ``prices`` say what a channel of each group costs; where all channels compete, the expensive ones go first.
    """

    groups: Sequence[ChannelGroup]
    norms: Norms
    scope: Scope = "local"
    multiple: int = 1
    prices: Mapping[str, float] | None = None

    def widths(self, severity: float) -> dict[str, int]:
        """Give the widths when so much (0..1) is asked to go: of each group, or of all channels together."""
        threshold = self._threshold(severity) if self.scope == "global" else 0.0
        widths: dict[str, int] = {}
        for group in self.groups:
            if group.share_of is not None:
                continue
            if self.scope == "global":
                wanted = int((self._worth(group.name) > threshold).sum())
            else:
                wanted = round(group.width * (1 - severity))
            widths[group.name] = self._rounded(max(wanted, 1), group.width)
        return with_shares(self.groups, widths)

    def _threshold(self, severity: float) -> float:
        worths = [self._worth(group.name) for group in self.groups if group.share_of is None]
        pooled = np.sort(np.concatenate(worths))
        removed = min(len(pooled) - 1, round(severity * len(pooled)) - 1)
        return -1.0 if removed < 0 else float(pooled[removed])

    def _worth(self, name: str) -> NDArray[np.float64]:
        """Give what each channel of a group is worth: its sum over the mean of them, a unit of its price."""
        worths = self.norms[name] / max(float(self.norms[name].mean()), _TINY)
        return worths if self.prices is None else worths / max(self.prices[name], _TINY)

    def _rounded(self, wanted: int, width: int) -> int:
        least = max(1, round(LEAST_SHARE * width))
        rounded = max(1, round(wanted / self.multiple)) * self.multiple
        return min(width, max(rounded, least))


def with_shares(groups: Sequence[ChannelGroup], widths: Mapping[str, int]) -> dict[str, int]:
    """Add the widths of the groups that are a share of another one."""
    shares = {}
    for group in groups:
        if group.share_of is not None:
            of, parts = group.share_of
            shares[group.name] = max(1, widths[of] // parts)
    return {**widths, **shares}
