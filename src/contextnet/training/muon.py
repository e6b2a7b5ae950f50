"""Muon: momentum made orthogonal for the kernels of dense convolutions, AdamW for all other parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_EPSILON = 1e-8
_RMS_OF_ADAMW = 0.2
_CLASSIFYING = {"classifier", "auxiliary"}
"""What every network calls its last layers."""


class Muon(AdamW):
    """Steps of equal strength in all directions that a kernel's momentum has, its singular vectors.

    With μ for ``momentum``: mean ← μ · mean + (1 - μ) · gradient; update ← orthogonal factor of μ · mean + (1 - μ) ·
    gradient, the kernel read as a matrix (C_out, C_in · h · w), times 0.2 · √max(rows, columns), which is how long
    AdamW's steps are; weight ← (1 - rate · decay) · weight - rate · update. A group that is not ``orthogonal`` follows
    AdamW. Sources: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with its
    Newton-Schulz iteration; Liu et al., "Muon is scalable for LLM training" (2025), for the length of steps and decay.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__(params, lr, betas=betas)
        for group in self.param_groups:
            group["momentum"] = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; ``closure`` is not supported."""
        assert closure is None
        orthogonal = [group for group in self.param_groups if group["orthogonal"]]
        gradients = {p: p.grad for group in orthogonal for p in group["params"] if p.grad is not None}
        for group in orthogonal:
            self._step_orthogonally(group)
        # AdamW passes over what has no gradient.
        for parameter in gradients:
            parameter.grad = None
        super().step()
        for parameter, gradient in gradients.items():
            parameter.grad = gradient

    def _step_orthogonally(self, group: dict[str, Any]) -> None:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(weight, memory_format=torch.preserve_format)
            mean = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.sub_(_as_orthogonal(weight.grad.lerp(mean, group["momentum"])), alpha=group["lr"])


def muon_groups(network: nn.Module, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Split groups of parameters further: all kernels of dense convolutions but the classifiers' are orthogonal."""
    hidden = {
        id(module.weight)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups == 1 and not _CLASSIFYING & set(name.split("."))
    }
    split = []
    for group in groups:
        for orthogonal in (True, False):
            chosen = [p for p in group["params"] if (id(p) in hidden) == orthogonal]
            split.append({**group, "params": chosen, "orthogonal": orthogonal})
    return [group for group in split if group["params"]]


def _as_orthogonal(update: Tensor) -> Tensor:
    """Give nearly the orthogonal factor of a kernel, but for directions a thousand times as weak as the strongest."""
    matrix: Tensor = update.flatten(1)
    is_tall = matrix.shape[0] > matrix.shape[1]
    factor: Tensor = matrix.T if is_tall else matrix
    factor = factor / factor.norm().clamp(min=_EPSILON)
    of_one, of_three, of_five = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        square = factor @ factor.T
        factor = of_one * factor + (of_three * square + of_five * square @ square) @ factor
    factor = factor.T if is_tall else factor
    length = _RMS_OF_ADAMW * math.sqrt(max(matrix.shape))
    return factor.reshape(update.shape) * length
