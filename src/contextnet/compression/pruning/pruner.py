"""From a network and a target to the smaller network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch

from contextnet.compression.pruning.budget import Cost, fit_budget
from contextnet.compression.pruning.groups import channel_groups
from contextnet.compression.pruning.latency import LatencyModel, Timing
from contextnet.compression.pruning.ranking import (
    LEAST_SHARE,
    Criterion,
    Scope,
    WidthLadder,
    channel_norms,
    strongest_channels,
)
from contextnet.compression.pruning.surgery import parameter_counter, prune_channels, with_widths
from contextnet.errors import CompressionError
from contextnet.models.contextnet import ContextNet
from contextnet.models.cost import count_macs
from contextnet.models.storage import Weights
from contextnet.network_spec import NetworkSpec, require_contextnet
from contextnet.spec import OUTPUT_STRIDE, VARIANTS, ContextNetSpec, variant

Unit = Literal["width", "params", "macs", "latency_ms"]

ATTEMPTS = 4
LEAST_USE = 0.95
"""A budget of time is met when it is kept, and so much of it is used."""

MOST_CORRECTION = 2.0
"""One measurement changes the budget of the prediction by no more than this factor: the machine may have been busy."""

MULTIPLES = (1, 8, 16)
"""What widths are rounded to, to see what the engine's kernels like."""


@dataclass(frozen=True)
class Target:
    """What a network is pruned to: ``value`` times the paper's width, or at most so many of another unit.

    ``params`` counts as ``contextnet info`` does, without the auxiliary classifier; ``macs`` are multiply-adds.
    """

    unit: Unit
    value: float

    def __str__(self) -> str:
        return f"{self.unit}={self.number}"

    @property
    def number(self) -> str:
        """The value in words: whole parameters and multiply-adds, four digits of the others."""
        return f"{self.value:{'.0f' if self.unit in {'params', 'macs'} else '.4g'}}"

    @property
    def slug(self) -> str:
        """The target as a part of a file's name."""
        return f"{self.unit}-{self.value:.10g}"


@dataclass(frozen=True)
class PruneOptions:
    """How channels are chosen, and for which images a network is counted and timed.

    ``multiple`` is what widths are rounded to; None tries some where time is the target, and rounds not elsewhere.
    """

    scope: Scope = "local"
    criterion: Criterion = "l1"
    multiple: int | None = None
    timing: Timing = field(default_factory=Timing)


def parse_target(text: str) -> Target:
    """Read ``params=490459``, ``macs=2e9``, ``latency_ms=20`` or ``width=0.75``; raises ``CompressionError``."""
    unit, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if unit not in get_args(Unit) or not 0 < value < float("inf"):
        raise CompressionError(f"target '{text}': give {', '.join(f'{u}=NUMBER' for u in get_args(Unit))}")
    return Target(unit, value)  # type: ignore[arg-type]  # is one of them


def width_of(spec: NetworkSpec) -> float:
    """Give a network's width in those of the variant of its name, or of cn14, by the maps that its classifier reads."""
    name = spec.name.partition("-x")[0]
    nearest = "cn14" if spec.output_stride == OUTPUT_STRIDE else "cn14-fine"
    own = variant(name if name in VARIANTS else nearest, spec.num_classes)
    return channel_groups(spec)[-1].width / channel_groups(own)[-1].width


def cost_of(weights: Weights, unit: Unit, timing: Timing) -> float:
    """Give what a network costs in a unit; time is measured."""
    if unit == "width":
        return width_of(weights.spec)
    if unit == "latency_ms":
        return timing.measure_ms(weights)
    return _counter(require_contextnet(weights.spec, "pruned"), unit, timing)({})


def prune_weights(
    weights: Weights, target: Target, name: str, options: PruneOptions, width: float | None = None
) -> Weights:
    """Prune a network to a target; the smaller one is called ``name``, and is not trained any further.

    ``width`` is that of the network in widths of the paper's, where it is known: one that was pruned by the strength of
    its channels does not show it. A network that keeps a budget already stays whole. Raises ``CompressionError`` for a
    width above the network's, and where the smallest network costs more than the target.
    """
    if target.unit == "latency_ms":
        return _prune_to_latency(weights, target, name, options)
    spec = require_contextnet(weights.spec, "pruned")
    ladder = _ladder(weights, options, options.multiple or 1)
    if target.unit == "width":
        share = _share_left(spec, target, width or width_of(spec))
        scaled = replace(ladder, scope="local").widths(1 - share)
        if options.scope == "local":
            return _pruned(weights, scaled, name, options.criterion)
        target = Target("params", parameter_counter(spec)(scaled))
    fit = fit_budget(ladder, _counter(spec, target.unit, options.timing), target.value)
    return _pruned(weights, fit.widths, name, options.criterion)


def _prune_to_latency(weights: Weights, target: Target, name: str, options: PruneOptions) -> Weights:
    """Prune until the network, measured, keeps the budget: of the widths that do, those that leave the most maps.

    What a prediction by layers leaves out is corrected by measuring what it led to.
    """
    timing = options.timing
    model = timing.model(weights)
    found: list[tuple[int, Weights]] = []
    fastest_ms = float("inf")
    for multiple in MULTIPLES if options.multiple is None else (options.multiple,):
        ladder = replace(_ladder(weights, options, multiple), prices=model.channel_ms())
        budget_ms = target.value
        for _ in range(ATTEMPTS):
            widths, is_smallest = _widths_within(ladder, model, budget_ms)
            pruned = _pruned(weights, widths, name, options.criterion)
            measured_ms = timing.measure_ms(pruned)
            fastest_ms = min(fastest_ms, measured_ms)
            if measured_ms <= target.value:
                found.append((sum(widths.values()), pruned))
            if LEAST_USE * target.value <= measured_ms <= target.value or (is_smallest and measured_ms > target.value):
                break
            correction = (1 + LEAST_USE) / 2 * target.value / measured_ms
            budget_ms *= min(max(correction, 1 / MOST_CORRECTION), MOST_CORRECTION)
    if not found:
        raise CompressionError(f"{target}: the fastest network that was found takes {fastest_ms:.3g} ms; give more")
    return max(found, key=lambda candidate: candidate[0])[1]


def _widths_within(ladder: WidthLadder, model: LatencyModel, budget_ms: float) -> tuple[dict[str, int], bool]:
    """Give the widths that are predicted to keep a budget, or the smallest ones, and whether they are these."""
    smallest = ladder.widths(1.0)
    if model.predict_ms(smallest) >= budget_ms:
        return smallest, True
    widths = fit_budget(ladder, model.predict_ms, budget_ms).widths
    return widths, widths == smallest


def _pruned(weights: Weights, widths: Mapping[str, int], name: str, criterion: Criterion) -> Weights:
    spec = require_contextnet(weights.spec, "pruned")
    kept = strongest_channels(channel_norms(spec, weights.tensors, criterion), widths)
    smaller = prune_channels(spec, weights.tensors, kept, name)
    return replace(weights, spec=smaller.spec, tensors=smaller.tensors)


def _ladder(weights: Weights, options: PruneOptions, multiple: int) -> WidthLadder:
    norms = channel_norms(weights.spec, weights.tensors, options.criterion)
    return WidthLadder(channel_groups(weights.spec), norms, options.scope, multiple)


def _share_left(spec: ContextNetSpec, target: Target, width: float) -> float:
    """Give what share of every group a network of another width has."""
    if target.value > width:
        raise CompressionError(f"{target}: '{spec.name}' has width {width:g}; give less")
    share = target.value / width
    if share < LEAST_SHARE:
        raise CompressionError(f"{target}: a tenth of each layer stays; give at least {LEAST_SHARE * width:g}")
    return share


def _counter(spec: ContextNetSpec, unit: Unit, timing: Timing) -> Cost:
    """Give what counts the parameters or the multiply-adds of this network with other widths."""
    if unit == "params":
        return parameter_counter(spec)

    def macs(widths: Mapping[str, int]) -> int:
        with torch.device("meta"):
            network = ContextNet(with_widths(spec, widths, spec.name)).eval()
            return count_macs(network, torch.empty((1, 3, *timing.size_hw)))

    return macs
