from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from contextnet.compression.pruning.groups import channel_groups
from contextnet.compression.pruning.latency import LatencyModel, Timing
from contextnet.compression.pruning.pruner import PruneOptions, Target, parse_target, prune_weights, width_of
from contextnet.compression.pruning.ranking import Scope
from contextnet.errors import CompressionError
from contextnet.models.cost import measure_cost
from contextnet.models.storage import Weights
from contextnet.spec import variant
from lively_networks import lively_weights

HW = (64, 128)


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize(("unit", "share"), [("params", 0.58), ("macs", 0.5)])
def test_a_network_is_pruned_to_what_it_may_cost(scope: Scope, unit: str, share: float) -> None:
    weights = lively_weights(variant("cn14", 11))
    costs = {"params": lambda w: measure_cost(w.spec, HW).parameters, "macs": lambda w: measure_cost(w.spec, HW).macs}
    target = parse_target(f"{unit}={share * costs[unit](weights)}")
    pruned = prune_weights(weights, target, "small", PruneOptions(scope, timing=Timing(HW)))
    assert 0.99 * target.value <= costs[unit](pruned) <= target.value
    assert pruned.spec.name == "small"
    pruned.build()


def test_the_papers_schedule_leads_from_twice_the_width_to_cn14() -> None:
    weights = lively_weights(variant("cn14", 11, width=2))
    assert width_of(weights.spec) == 2
    for width in (1.5, 1.25, 1.0):
        weights = prune_weights(weights, Target("width", width), "cn14", PruneOptions())
        assert width_of(weights.spec) == width
        own = {group.name: group.width for group in channel_groups(variant("cn14", 11, width=width))}
        # Rounding once more at every step may differ by a map.
        assert all(abs(group.width - own[group.name]) <= 1 for group in channel_groups(weights.spec))
    assert weights.spec.to_json()["context"]["head"] == 128


def test_where_all_channels_compete_a_width_is_its_number_of_parameters() -> None:
    weights = lively_weights(variant("cn14", 11))
    pruned = prune_weights(weights, Target("width", 0.75), "small", PruneOptions("global"))
    alike = measure_cost(variant("cn14", 11, width=0.75), HW).parameters
    assert measure_cost(pruned.spec, HW).parameters == pytest.approx(alike, rel=0.02)


class CountedTiming(Timing):
    """Tells times that go with the multiply-adds and a fixed share, so that no other program changes them."""

    def measure_ms(self, weights: Weights) -> float:
        return 1.0 + measure_cost(weights.spec, HW).macs / 1e6

    def model(self, weights: Weights) -> LatencyModel:
        model = super().model(weights)
        return replace(model, scale=model.scale * 2)  # a prediction that is wrong has to be corrected


@pytest.mark.parametrize("scope", ["local", "global"])
def test_a_budget_of_time_is_kept_and_used(scope: Scope) -> None:
    weights = lively_weights(variant("cn14", 11))
    timing = CountedTiming(HW, precision="fp32", threads=1)
    target_ms = 0.6 * timing.measure_ms(weights)
    options = PruneOptions(scope, multiple=1, timing=timing)
    pruned = prune_weights(weights, Target("latency_ms", target_ms), "fast", options)
    assert 0.85 * target_ms <= timing.measure_ms(pruned) <= target_ms


def test_a_network_is_timed_on_this_machine() -> None:
    weights = lively_weights(variant("cn14", 11))
    timing = Timing((256, 512), precision="fp32", threads=1)
    # Other programs make a time longer, never shorter: a target from a slowed run would ask for nothing.
    target_ms = 0.4 * min(timing.measure_ms(weights) for _ in range(3))
    pruned = prune_weights(weights, Target("latency_ms", target_ms), "fast", PruneOptions(timing=timing))
    assert measure_cost(pruned.spec, HW).macs < 0.8 * measure_cost(weights.spec, HW).macs
    ratios = sorted(timing.measure_ms(pruned) / timing.measure_ms(weights) for _ in range(3))
    assert ratios[0] < 0.7, "other programs may slow either down, but not all three times"


def test_of_a_budget_of_time_the_multiple_that_can_keep_it_is_taken() -> None:
    weights = lively_weights(variant("cn14", 11))
    timing = CountedTiming(HW, precision="fp32", threads=1)
    smallest = prune_weights(weights, Target("width", 0.1), "smallest", PruneOptions())
    target = Target("latency_ms", 1.05 * timing.measure_ms(smallest))
    pruned = prune_weights(weights, target, "fast", PruneOptions(timing=timing))
    assert timing.measure_ms(pruned) <= target.value
    with pytest.raises(CompressionError, match=r"latency_ms=1: the fastest network that was found takes 1\.\d+ ms"):
        prune_weights(weights, Target("latency_ms", 1.0), "fast", PruneOptions(timing=timing))


def test_one_busy_measurement_does_not_ruin_the_search() -> None:
    class OnceBusy(CountedTiming):
        calls: ClassVar[list[float]] = []

        def measure_ms(self, weights: Weights) -> float:
            self.calls.append(super().measure_ms(weights))
            return self.calls[-1] * (20 if len(self.calls) == 4 else 1)

    weights = lively_weights(variant("cn14", 11))
    target_ms = 0.6 * CountedTiming(HW).measure_ms(weights)
    timing = OnceBusy(HW, precision="fp32", threads=1)
    pruned = prune_weights(weights, Target("latency_ms", target_ms), "fast", PruneOptions(multiple=1, timing=timing))
    assert 0.6 * target_ms <= CountedTiming(HW).measure_ms(pruned) <= target_ms


def test_a_prediction_scales_with_the_layers_that_are_cut() -> None:
    spec = variant("cn14", 11)
    groups = channel_groups(spec)
    model = LatencyModel(spec, {"context.head": 4.0, "fusions.0.smooth": 2.0, "context.stem": 1.0}, rest_ms=3.0)
    whole = {group.name: group.width for group in groups}
    assert model.predict_ms(whole) == pytest.approx(10)
    assert model.predict_ms(whole | {"context.head": 64}) == pytest.approx(10 - 2 - 1)
    last_trunk = next(group.name for group in groups if ("context.head.conv", 0) in group.readers)
    assert model.predict_ms(whole | {"context.head": 64, last_trunk: 64}) == pytest.approx(10 - 3 - 1)
    prices = model.channel_ms()
    assert prices["context.head"] == pytest.approx(6 / 128)
    assert prices["context.stem"] == pytest.approx(1 / 32)


@pytest.mark.parametrize("text", ["params", "params=", "params=0", "params=-3", "params=inf", "bytes=3", "width=nan"])
def test_a_target_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(CompressionError, match="give width=NUMBER, params=NUMBER"):
        parse_target(text)


def test_pyramid_poolings_mix_reads_what_stands_side_by_side() -> None:
    spec = variant("cn14", 11, pyramid_pooling=True)
    model = LatencyModel(spec, {"context.pyramid.mix": 8.0}, rest_ms=0.0)
    half = {group.name: group.width // 2 for group in channel_groups(spec)}
    assert model.predict_ms(half) == pytest.approx(2.0), "half of what is read, half of what is made"
    whole = {group.name: group.width for group in channel_groups(spec)}
    reduced = next(group for group in channel_groups(spec) if group.share_of is not None)
    total = sum(group.width for group in channel_groups(spec) if "context.pyramid.mix.conv" in dict(group.readers))
    narrower = whole | {reduced.name: reduced.width // 2}
    assert model.predict_ms(narrower) == pytest.approx(8.0 * (1 - reduced.width // 2 / total))


@pytest.mark.parametrize("scope", ["local", "global"])
def test_widths_are_those_of_the_paper_all_along_the_schedule(scope: Scope) -> None:
    weights, width = lively_weights(variant("cn14-500", 11, width=2)), 2.0
    for next_width in (1.5, 1.0):
        weights = prune_weights(weights, Target("width", next_width), "narrow", PruneOptions(scope), width)
        width = next_width
        alike = measure_cost(variant("cn14-500", 11, width=width), HW).parameters
        assert measure_cost(weights.spec, HW).parameters == pytest.approx(alike, rel=0.03)


def test_widths_of_a_schedule_are_rounded_too() -> None:
    pruned = prune_weights(lively_weights(variant("cn14", 11)), Target("width", 0.7), "small", PruneOptions(multiple=8))
    assert all(group.width % 8 == 0 for group in channel_groups(pruned.spec))


@pytest.mark.parametrize("name", ["cn14", "cn14-500", "cn14-160"])
def test_a_width_is_told_in_those_of_its_own_variant(name: str) -> None:
    assert width_of(variant(name, 11, width=2)) == pytest.approx(2, rel=0.02)


def test_a_network_is_not_pruned_to_a_larger_one() -> None:
    with pytest.raises(CompressionError, match="has width 1; give less"):
        prune_weights(lively_weights(variant("cn14", 11)), Target("width", 1.5), "large", PruneOptions())
