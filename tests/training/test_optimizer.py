from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from contextnet.models.contextnet import ContextNet
from contextnet.spec import variant
from contextnet.training.optimizer import TensorFlowRMSprop, build_optimizer, decay_groups
from contextnet.training.recipe.optimizer import AdamWOptions, OptimizerOptions, RMSpropOptions, SGDOptions


class NumpyRMSprop:
    """``tf.train.RMSPropOptimizer`` as its documentation states it, in float64, one scalar loop a parameter."""

    def __init__(self, weights: list[np.ndarray], decays: list[float], **numbers: float) -> None:
        self.weights = [w.astype(np.float64) for w in weights]
        self.decays = decays
        self.numbers = numbers
        self.mean_squares = [np.ones_like(w) for w in self.weights]
        self.momenta = [np.zeros_like(w) for w in self.weights]

    def step(self, rate: float, gradients: list[np.ndarray]) -> None:
        rho, mu, epsilon = (self.numbers[n] for n in ("discount", "momentum", "epsilon"))
        for k, gradient in enumerate(gradients):
            g = gradient.astype(np.float64) + self.decays[k] * self.weights[k]
            self.mean_squares[k] = rho * self.mean_squares[k] + (1 - rho) * g * g
            self.momenta[k] = mu * self.momenta[k] + rate * g / np.sqrt(self.mean_squares[k] + epsilon)
            self.weights[k] = self.weights[k] - self.momenta[k]


@pytest.mark.parametrize(
    "numbers",
    [
        {"discount": 0.9, "momentum": 0.9, "epsilon": 1.0},
        {"discount": 0.99, "momentum": 0.0, "epsilon": 0.001},
        {"discount": 0.5, "momentum": 0.5, "epsilon": 1e-10},
    ],
)
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_rmsprop_follows_tensorflow_step_by_step(numbers: dict[str, float], weight_decay: float) -> None:
    random = np.random.default_rng(5)
    shapes = [(3,), (4, 2, 3, 3), (2, 5), ()]
    start = [random.normal(size=shape) for shape in shapes]
    decays = [weight_decay, weight_decay, 0.0, 0.0]
    parameters = [nn.Parameter(torch.tensor(w)) for w in start]
    groups = [
        {"params": parameters[:2], "weight_decay": weight_decay},
        {"params": parameters[2:], "weight_decay": 0.0},
    ]
    optimizer = TensorFlowRMSprop(groups, 0.045, **numbers)
    reference = NumpyRMSprop(start, decays, **numbers)
    for step in range(25):
        rate = 0.045 * (1 - step / 25) ** 0.98
        gradients = [random.normal(scale=10.0 ** random.integers(-3, 2), size=shape) for shape in shapes]
        for group in optimizer.param_groups:
            group["lr"] = rate
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
        reference.step(rate, gradients)
        for parameter, expected in zip(parameters, reference.weights, strict=True):
            np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_first_step_by_hand() -> None:
    # Mean square 0.9 · 1 + 0.1 · 4 = 1.3; step 0.045 · 2 / √2.3 = 0.0593442; the second one adds 0.9 of it.
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = TensorFlowRMSprop([weight], 0.045)
    weight.grad = torch.tensor([2.0], dtype=torch.float64)
    optimizer.step()
    assert weight.item() == pytest.approx(1 - 0.0593442, abs=1e-7)
    weight.grad.zero_()
    optimizer.step()
    assert weight.item() == pytest.approx(1 - 1.9 * 0.0593442, abs=2e-7)


def test_parameter_without_gradient_stays() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = TensorFlowRMSprop([used, unused], 0.1, weight_decay=0.5)
    used.grad = torch.ones(2)
    optimizer.step()
    assert unused.tolist() == [1.0, 1.0]
    assert used[0].item() < 1
    assert unused not in optimizer.state


def _decays_by_name(network: nn.Module, groups: list[dict[str, Any]]) -> dict[str, float]:
    by_id = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(by_id) == sum(len(group["params"]) for group in groups), "a parameter stands in two groups"
    return {name: by_id[id(p)] for name, p in network.named_parameters()}


@pytest.mark.parametrize("name", ["cn14", "cn124", "cn14-context", "cn14-detail"])
def test_weight_decay_spares_depthwise_kernels_biases_and_batch_norm(name: str) -> None:
    network = ContextNet(variant(name, 19, auxiliary=name != "cn14-detail", pyramid_pooling=name == "cn14"))
    decays = _decays_by_name(network, decay_groups(network, 0.25))
    for parameter, decay in decays.items():
        depthwise = parameter.endswith(("depthwise.conv.weight", "smooth.conv.weight"))
        spared = depthwise or ".norm." in parameter or parameter.endswith(".bias")
        assert decay == (0.0 if spared else 0.25), parameter


def test_weight_decay_of_known_layers() -> None:
    network = ContextNet(variant("cn14", 19, auxiliary=True))
    decays = _decays_by_name(network, decay_groups(network, 0.25))
    expected = {
        "context.stem.conv.weight": 0.25,
        "context.stem.norm.weight": 0.0,
        "context.blocks.0.expand.conv.weight": 0.25,
        "context.blocks.0.depthwise.conv.weight": 0.0,
        "context.blocks.0.project.conv.weight": 0.25,
        "details.0.blocks.0.depthwise.conv.weight": 0.0,
        "details.0.blocks.0.pointwise.conv.weight": 0.25,
        "fusions.0.smooth.conv.weight": 0.0,
        "fusions.0.context.conv.weight": 0.25,
        "classifier.weight": 0.25,
        "classifier.bias": 0.0,
        "auxiliary.weight": 0.25,
    }
    assert {name: decays[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "kind", "expected"),
    [
        (
            RMSpropOptions(),
            "TensorFlowRMSprop",
            {"lr": 0.045, "discount": 0.9, "momentum": 0.9, "epsilon": 1.0, "weight_decay": 0.00004},
        ),
        (
            AdamWOptions(kind="adamw", learning_rate=0.003, betas=(0.8, 0.95), weight_decay=0.02),
            "AdamW",
            {"lr": 0.003, "betas": (0.8, 0.95), "weight_decay": 0.02},
        ),
        (SGDOptions(kind="sgd"), "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0001}),
        (SGDOptions(kind="sgd", momentum=0.0), "SGD", {"momentum": 0.0, "nesterov": False}),
    ],
)
def test_recipe_options_reach_the_optimizer(options: OptimizerOptions, kind: str, expected: dict[str, Any]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    optimizer = build_optimizer(network, options)
    assert type(optimizer).__name__ == kind
    decayed, free = optimizer.param_groups
    assert {key: decayed[key] for key in expected} == expected
    assert (len(decayed["params"]), len(free["params"])) == (1, 3)
    assert free["weight_decay"] == 0.0
