"""The optimizers that a recipe can name, over groups of parameters with weight decay where the paper has ℓ2."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from contextnet.training.muon import Muon, muon_groups
from contextnet.training.recipe.optimizer import AdamWOptions, MuonOptions, OptimizerOptions, RMSpropOptions


class TensorFlowRMSprop(Optimizer):
    """RMSprop as ``tf.train.RMSPropOptimizer`` defines it, which differs from PyTorch's.

    mean_square ← discount · mean_square + (1 - discount) · g², starting at one; momentum ← momentum · m + rate · g /
    √(mean_square + epsilon), with epsilon inside the root; weight ← weight - m. ℓ2 adds decay · weight to g.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        discount: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "discount": discount,
            "momentum": momentum,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; ``closure`` is not supported."""
        assert closure is None
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            gradients = [p.grad for p in weights]
            if group["weight_decay"]:
                gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
            squares = [self._slot(p, "mean_square", 1.0) for p in weights]
            momenta = [self._slot(p, "momentum", 0.0) for p in weights]
            torch._foreach_mul_(squares, group["discount"])
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["discount"])
            roots = torch._foreach_add(squares, group["epsilon"])
            torch._foreach_sqrt_(roots)
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_addcdiv_(momenta, gradients, roots, value=group["lr"])
            torch._foreach_sub_(weights, momenta)

    def _slot(self, parameter: Tensor, name: str, start: float) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.full_like(parameter, start, memory_format=torch.preserve_format)
        slot: Tensor = state[name]
        return slot


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters in two: kernels that ℓ2 holds down, and depth-wise kernels, biases and batch norm.

    Depth-wise kernels are left alone as in section 3.1 of the paper.
    """
    depthwise = {id(m.weight) for m in network.modules() if isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1}
    decayed = [p for p in network.parameters() if p.ndim > 1 and id(p) not in depthwise]
    kept = {id(p) for p in decayed}
    free = [p for p in network.parameters() if id(p) not in kept]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def build_optimizer(network: nn.Module, options: OptimizerOptions) -> Optimizer:
    """Build the optimizer that a recipe names, over all parameters of ``network``."""
    groups = decay_groups(network, options.weight_decay)
    rate = options.learning_rate
    if isinstance(options, MuonOptions):
        return Muon(muon_groups(network, groups), rate, momentum=options.momentum, betas=options.betas)
    if isinstance(options, RMSpropOptions):
        return TensorFlowRMSprop(
            groups, rate, discount=options.discount, momentum=options.momentum, epsilon=options.epsilon
        )
    if isinstance(options, AdamWOptions):
        return AdamW(groups, rate, betas=options.betas)
    # PyTorch refuses Nesterov's step without momentum, where both are the same.
    return SGD(groups, rate, momentum=options.momentum, nesterov=options.nesterov and options.momentum > 0)
