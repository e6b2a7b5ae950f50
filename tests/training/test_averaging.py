from __future__ import annotations

import pytest
import torch
from torch import nn

from contextnet.training.averaging import start_average, update_average


def one_weight(value: float) -> nn.Module:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, value)
    return network


def test_average_by_hand() -> None:
    network = one_weight(0.0)
    averaged = start_average(network)
    nn.init.constant_(network.weight, 1.0)  # type: ignore[arg-type]
    # Decays in force: (1 + 0) / (10 + 0) = 0.1, then 2 / 11, then 0.25 and so capped at 0.2.
    expected = []
    value = 0.0
    for step, decay in enumerate([0.1, 2 / 11, 0.2]):
        update_average(averaged, network, 0.2, step)
        value = decay * value + (1 - decay)
        expected.append(value)
        assert averaged["weight"].item() == pytest.approx(value)
    assert expected == pytest.approx([0.9, 0.981818, 0.996364], abs=1e-6)


def test_late_average_moves_by_the_recipes_decay() -> None:
    network = one_weight(2.0)
    averaged = start_average(network)
    nn.init.constant_(network.weight, 4.0)  # type: ignore[arg-type]
    update_average(averaged, network, 0.998, step=100_000)
    assert averaged["weight"].item() == pytest.approx(2.004)


def test_statistics_are_averaged_and_counters_copied() -> None:
    network = nn.BatchNorm2d(2)
    averaged = start_average(network)
    network(torch.ones(4, 2, 3, 3))
    network(torch.ones(4, 2, 3, 3))
    update_average(averaged, network, 0.9, step=1_000)
    # The running mean has moved from 0 to 0.1 and 0.19; a tenth of it enters the average.
    assert averaged["running_mean"].tolist() == pytest.approx([0.019, 0.019])
    assert averaged["num_batches_tracked"].item() == 2


def test_average_is_a_copy() -> None:
    network = one_weight(1.0)
    averaged = start_average(network)
    nn.init.constant_(network.weight, 5.0)  # type: ignore[arg-type]
    assert averaged["weight"].item() == 1.0
    update_average(averaged, network, 0.5, step=100)
    assert network.weight.item() == 5.0  # type: ignore[operator]
