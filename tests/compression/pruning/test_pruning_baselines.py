"""Pruning is for ContextNet's variants; every way in says so in one sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contextnet.compression.pruning.groups import channel_groups
from contextnet.compression.pruning.latency import Timing
from contextnet.compression.pruning.pruner import PruneOptions, Target, cost_of, prune_weights, width_of
from contextnet.compression.pruning.ranking import channel_norms
from contextnet.errors import ContextNetError
from contextnet.models.storage import Weights
from contextnet.spec import VARIANTS
from lively_baselines import lively_baseline_weights

OPTIONS = PruneOptions(timing=Timing((32, 64), precision="fp32", threads=1))


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda weights: channel_groups(weights.spec), id="groups"),
        pytest.param(lambda weights: channel_norms(weights.spec, weights.tensors), id="norms"),
        pytest.param(lambda weights: width_of(weights.spec), id="width"),
        *(
            pytest.param(
                lambda weights, unit=unit: prune_weights(weights, Target(unit, 0.5), "small", OPTIONS),
                id=f"prune {unit}",
            )
            for unit in ("width", "params", "macs", "latency_ms")
        ),
        *(
            pytest.param(lambda weights, unit=unit: cost_of(weights, unit, OPTIONS.timing), id=f"cost in {unit}")
            for unit in ("width", "params", "macs")
        ),
    ],
)
def test_a_baseline_cannot_be_pruned(work: Callable[[Weights], object]) -> None:
    with pytest.raises(ContextNetError) as caught:
        work(lively_baseline_weights("dabnet"))
    assert str(caught.value) == f"'dabnet' cannot be pruned: that is for ContextNet's variants ({', '.join(VARIANTS)})"


def test_a_baseline_can_be_timed() -> None:
    assert cost_of(lively_baseline_weights("dabnet"), "latency_ms", OPTIONS.timing) > 0
