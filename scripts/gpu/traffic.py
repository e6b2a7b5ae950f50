"""How many bytes a network's forward pass moves if every layer reads its input and its weights and writes its output.

Counted over the operations that PyTorch really runs, each on its own: convolution with its bias, ReLU6, sum, resize,
conversion of the image. Each operation's tensors count once, read or written. No two operations are taken to be one
kernel and nothing is taken to stay in a cache, so a pass that does either may be faster than these bytes over the
memory's bandwidth.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from contextnet.models.contextnet import ContextNet
from contextnet.models.folding import fold_batch_norm
from contextnet.spec import ContextNetSpec


def moved_bytes(spec: ContextNetSpec, size_hw: tuple[int, int], dtype: torch.dtype) -> int:
    """Count for one uint8 image to scores at 1/8, batch norm folded, everything after the image in ``dtype``."""
    with torch.device("meta"):
        network = fold_batch_norm(ContextNet(spec)).to(dtype)
        image = torch.empty((1, 3, *size_hw), dtype=torch.uint8)
    with torch.no_grad(), _Traffic() as traffic:
        network(image)
    return int(traffic.bytes)


class _Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    """Sums the bytes of what goes into every operation and comes out of it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [value for value in tree_leaves((args, kwargs, result)) if isinstance(value, Tensor)]
        self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result
