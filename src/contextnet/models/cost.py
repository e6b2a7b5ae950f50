"""What a network costs: parameters, multiply-adds, and the most memory that its activations take at once.

Everything is computed on PyTorch's meta device: shapes without values, so any size is quick and takes no memory.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from contextnet.models.folding import fold_batch_norm
from contextnet.models.network import Network, build_network
from contextnet.network_spec import NetworkSpec


@dataclass(frozen=True)
class NetworkCost:
    """The cost of one image.

    ``parameters`` counts batch norm's scale and shift, ``parameters_folded`` what is left when they are folded into
    the convolutions' kernels and biases. Neither counts the auxiliary classifier. ``macs`` are the multiply-adds of
    the convolutions, ``peak_activation_bytes`` the most that image, activations and scores in float32 take at once.
    """

    parameters: int
    parameters_folded: int
    macs: int
    peak_activation_bytes: int


def measure_cost(spec: NetworkSpec, size_hw: tuple[int, int]) -> NetworkCost:
    """Count a network's cost for one image of ``size_hw``, padded as the network pads it."""
    with torch.device("meta"):
        network = build_network(spec).eval()
        image = torch.empty((1, 3, *size_hw))
    folded = fold_batch_norm(network)
    return NetworkCost(
        _count_parameters(network),
        _count_parameters(folded),
        count_macs(folded, image),
        peak_activation_bytes(folded, image),
    )


def _count_parameters(network: Network) -> int:
    return sum(p.numel() for n, p in network.named_parameters() if "auxiliary" not in n.split("."))


def count_macs(network: nn.Module, image: Tensor) -> int:
    """Count the multiply-adds that a network's convolutions take for one forward pass, by their shapes."""
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.ConvTranspose2d):
            # Every input is multiplied by all the weights of its map.
            total += inputs[0].numel() * module.weight[0].numel()
        else:
            assert isinstance(module, nn.Conv2d)
            total += output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(add) for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return total


def peak_activation_bytes(network: nn.Module, image: Tensor) -> int:
    """Follow one forward pass and give the most bytes that live tensors, the image included, hold at any moment."""
    known = {p.untyped_storage()._cdata for p in (*network.parameters(), *network.buffers())}
    with torch.no_grad(), _LiveMemory(known) as memory:
        memory.add(image)
        network(image)
    return int(memory.peak_bytes)


class _LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    """Counts the bytes of every storage from the operation that makes it until Python lets it go."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = known
        self._live_bytes = 0
        self.peak_bytes = 0

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self._live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self._live_bytes)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live_bytes -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self.add(value)
        return result
