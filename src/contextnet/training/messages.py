"""What the processes of a run tell each other: averages of gradients and statistics, sums, and small values.

Every rank holds the whole network and its part of the batch. Gradients are averaged once a step in one flat message;
the network is not wrapped, so names, memory layouts and accumulation are those of one process. Of one rank, each
function here gives back what it was given. All ranks must call them alike and in the same order. Each raises
``TrainingError`` when another rank is lost, as ``contextnet.training.ranks`` tells.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from contextnet.training.ranks import Ranks, answered

Value = TypeVar("Value")


@torch.no_grad()
def average_gradients(network: nn.Module, ranks: Ranks) -> None:
    """Average the gradients over all ranks in place, each in its own memory layout.

    A gradient that is None on some ranks counts as zeros there and exists on all afterwards; one that is None on every
    rank stays None.
    """
    if ranks.world_size == 1:
        return
    parameters = [p for p in network.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    # Which ranks have a gradient travels along with it, as one number a parameter.
    present = torch.tensor([float(p.grad is not None) for p in parameters], device=gradients[0].device)
    flat = torch.cat([*(g.flatten() for g in gradients), present])
    _add_up_in_place(flat, ranks)
    *pieces, anywhere = flat.div_(ranks.world_size).split_with_sizes([*(g.numel() for g in gradients), len(gradients)])
    torch._foreach_copy_(gradients, [piece.view(g.shape) for piece, g in zip(pieces, gradients, strict=True)])
    absent = [index for index, parameter in enumerate(parameters) if parameter.grad is None]
    if absent:
        elsewhere = anywhere.tolist()
        for index in absent:
            parameters[index].grad = gradients[index] if elsewhere[index] else None


@torch.no_grad()
def average_statistics(network: nn.Module, ranks: Ranks) -> None:
    """Average the running statistics of batch norm over all ranks in place, so that each has the same network.

    They are linear in those of the batches: what is averaged after every step is what one process that saw every part
    would hold, but for the variance between the parts.
    """
    statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if ranks.world_size == 1 or not statistics:
        return
    average = average_over_ranks(torch.cat([buffer.flatten() for buffer in statistics]), ranks)
    pieces = average.split_with_sizes([buffer.numel() for buffer in statistics])
    torch._foreach_copy_(statistics, [p.view(b.shape) for p, b in zip(pieces, statistics, strict=True)])


def sum_over_ranks(values: list[float], ranks: Ranks) -> list[float]:
    """Add up numbers over all ranks, each with those at its place, in float64; every rank gets the same sums."""
    total: list[float] = total_over_ranks(torch.tensor(values, dtype=torch.float64), ranks).tolist()
    return total


def average_over_ranks(tensor: Tensor, ranks: Ranks) -> Tensor:
    """Average a tensor over all ranks, without a gradient; the tensor itself stays as it is."""
    return total_over_ranks(tensor, ranks).div_(ranks.world_size)


def total_over_ranks(tensor: Tensor, ranks: Ranks) -> Tensor:
    """Add up a tensor over all ranks, without a gradient; the tensor itself stays as it is."""
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    _add_up_in_place(total, ranks)
    return total


def _add_up_in_place(tensor: Tensor, ranks: Ranks) -> None:
    if ranks.world_size > 1:
        with answered(ranks):
            dist.all_reduce(tensor)


def stack_over_ranks(tensor: Tensor, ranks: Ranks) -> Tensor:
    """Collect a tensor of one shape from all ranks, without a gradient: (world_size, ...) in the order of ranks."""
    own = tensor.detach().contiguous()
    if ranks.world_size == 1:
        return own[None]
    pieces = [torch.empty_like(own) for _ in range(ranks.world_size)]
    with answered(ranks):
        dist.all_gather(pieces, own)
    return torch.stack(pieces)


def any_rank(flag: bool, ranks: Ranks) -> bool:
    """Tell every rank whether ``flag`` is set on any of them."""
    return sum_over_ranks([float(flag)], ranks)[0] > 0


def gather(value: Value, ranks: Ranks) -> list[Value]:
    """Give every rank the values of all, in the order of ranks; pickled on the way between the run's own processes."""
    if ranks.world_size == 1:
        return [value]
    values: list[Value] = [value] * ranks.world_size
    with answered(ranks):
        dist.all_gather_object(values, value)
    return values


def value_of_first(value: Value, ranks: Ranks) -> Value:
    """Give every rank the value that rank 0 was called with."""
    return gather(value, ranks)[0]


def wait_for_all(ranks: Ranks) -> None:
    """Go on when every rank has come this far."""
    any_rank(False, ranks)
