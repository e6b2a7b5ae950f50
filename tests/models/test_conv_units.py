"""Convolution units: sizes, what they hold, and the activation at their end."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from contextnet.models.conv_units import Activation, conv_unit, doubling_unit, prelu, relu, relu6


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding", "dilations", "size_hw"),
    [
        (1, 1, 1, (0, 0), (1, 1), (8, 12)),
        (3, 1, 4, (4, 4), (4, 4), (8, 12)),
        (7, 2, 1, (3, 3), (1, 1), (4, 6)),
        (2, 2, 1, (0, 0), (1, 1), (4, 6)),
        ((3, 1), 1, 8, (8, 0), (8, 1), (8, 12)),
        ((1, 5), 1, 1, (0, 2), (1, 1), (8, 12)),
    ],
)
def test_convolutions_keep_or_halve_the_size(
    kernel: int | tuple[int, int],
    stride: int,
    dilation: int,
    padding: tuple[int, int],
    dilations: tuple[int, int],
    size_hw: tuple[int, int],
) -> None:
    unit = conv_unit(2, 4, kernel, stride=stride, dilation=dilation)
    assert (unit.conv.padding, unit.conv.dilation, unit.conv.bias) == (padding, dilations, None)
    assert [name for name, _ in unit.named_children()] == ["conv", "norm", "act"]
    assert tuple(unit(torch.zeros(1, 2, 8, 12)).shape) == (1, 4, *size_hw)


def test_units_without_activation_are_linear_and_depthwise_ones_grouped() -> None:
    assert [name for name, _ in conv_unit(2, 4, activation=None).named_children()] == ["conv", "norm"]
    assert conv_unit(4, 4, 3, depthwise=True).conv.groups == 4
    assert tuple(doubling_unit(2, 4)(torch.zeros(1, 2, 3, 5)).shape) == (1, 4, 6, 10)


@pytest.mark.parametrize(
    ("activation", "expected"), [(relu, [0.0, 3.0, 9.0]), (relu6, [0.0, 3.0, 6.0]), (prelu, [-0.5, 3.0, 9.0])]
)
def test_the_activation_stands_last(activation: Activation, expected: list[float]) -> None:
    unit = conv_unit(1, 1, activation=activation, eps=0.0).eval()
    nn.init.ones_(unit.conv.weight)
    assert unit(torch.tensor([-2.0, 3.0, 9.0]).view(1, 1, 1, 3)).flatten().tolist() == expected
