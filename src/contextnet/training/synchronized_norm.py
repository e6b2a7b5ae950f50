"""Batch norm over several ranks: every channel's mean and variance are those of the whole batch, not of one part.

C is the number of channels, R of ranks. Source of the merged variance: Chan, Golub and LeVeque, "Updating Formulae and
a Pairwise Algorithm for Computing Sample Variances".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from contextnet.training.messages import stack_over_ranks, total_over_ranks
from contextnet.training.ranks import Ranks


def synchronize_batch_norm(network: nn.Module, ranks: Ranks) -> nn.Module:
    """Replace every ``nn.BatchNorm2d`` in place by one over all ranks; parameters, buffers and names stay the same.

    Returns the network, which is another module only where it is itself a batch norm. One rank changes nothing.
    """
    if ranks.world_size == 1:
        return network
    if isinstance(network, nn.BatchNorm2d):
        return SynchronizedBatchNorm2d(network, ranks)
    for name, child in network.named_children():
        setattr(network, name, synchronize_batch_norm(child, ranks))
    return network


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose training statistics are those of the batches of all ranks together.

    The ranks may have different numbers of values, at least one each. The gradient of the input is that of the sum of
    all ranks' losses; the gradients of weight and bias are this rank's share of it, so that their average over ranks,
    like that of every other parameter, is the gradient of the mean loss. Evaluation is that of ``nn.BatchNorm2d``.
    A compiled network takes the messages into its graph; then a lost rank raises PyTorch's own ``RuntimeError``.
    """

    def __init__(self, source: nn.BatchNorm2d, ranks: Ranks) -> None:
        assert source.affine
        assert source.track_running_stats
        super().__init__(source.num_features, source.eps, source.momentum, device="meta")
        self.ranks = ranks
        self.training = source.training
        # The tensors themselves, not copies: an optimizer may hold them.
        self._parameters.update(source._parameters)
        self._buffers.update(source._buffers)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.BatchNorm2d gives it
        """Normalize (N, C, H, W) in its own type and layout; ``TrainingError`` where another rank has ended."""
        if not self.training:
            return super().forward(input)
        mean_C, variance_C, count = _statistics(input, self.ranks)
        self._track(mean_C, variance_C * (count / (count - 1)))
        normalized_NCHW: Tensor = _Normalize.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, mean_C, variance_C, count, self.eps, self.ranks
        )
        return normalized_NCHW

    @torch.no_grad()
    def _track(self, mean_C: Tensor, variance_C: Tensor) -> None:
        """Move the running statistics as ``nn.BatchNorm2d`` does; ``variance_C`` is that of a sample, over n - 1."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance_C.to(self.running_var.dtype), share)


@torch.no_grad()
def _statistics(features_NCHW: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor, Tensor]:
    """Give mean and variance of every channel over all ranks, float64 (C,), over n, and n, the values of a channel."""
    channels = features_NCHW.shape[1]
    # Statistics come in the type of the buffers to be updated: without them in that of the features, bfloat16 maybe.
    unused_C = features_NCHW.new_zeros(channels, dtype=_wide(features_NCHW))
    mean_C, variance_C = torch.batch_norm_update_stats(features_NCHW, unused_C, unused_C.clone(), 0.0)
    # A count made on the device spares the wait for a copy to it.
    count_1 = mean_C.new_full((1,), features_NCHW.numel() // channels, dtype=torch.float64)
    all_ranks = stack_over_ranks(torch.cat([mean_C.double(), variance_C.double(), count_1]), ranks)
    means_RC, variances_RC, counts_R1 = all_ranks.split_with_sizes([channels, channels, 1], dim=1)
    total = counts_R1.sum()
    shares_R1 = counts_R1 / total
    whole_mean_C = (means_RC * shares_R1).sum(0)
    whole_variance_C = ((variances_RC + (means_RC - whole_mean_C).square()) * shares_R1).sum(0)
    return whole_mean_C, whole_variance_C, total


class _Normalize(torch.autograd.Function):
    """Normalize by the statistics of all ranks, and differentiate through them as functions of all ranks' values."""

    @staticmethod
    def forward(
        ctx: Any,
        features_NCHW: Tensor,
        weight_C: Tensor,
        bias_C: Tensor,
        mean_C: Tensor,
        variance_C: Tensor,
        count: Tensor,
        eps: float,
        ranks: Ranks,
    ) -> Tensor:
        mean_C, variance_C = mean_C.to(weight_C.dtype), variance_C.to(weight_C.dtype)
        ctx.save_for_backward(features_NCHW, weight_C, mean_C, variance_C, count)
        ctx.eps, ctx.ranks = eps, ranks
        return F.batch_norm(features_NCHW, mean_C, variance_C, weight_C, bias_C, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_NCHW: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of input, weight and bias.

        With x̂ the normalized input, n its values and sums over all ranks, that of the input is weight / √(variance +
        eps) · (g - Σg / n - x̂ · Σ(g·x̂) / n).
        """
        features_NCHW, weight_C, mean_C, variance_C, count = ctx.saved_tensors
        # Evaluation's backward pass: it takes the statistics as given, and its sums are those that are needed here.
        _, for_weight_C, for_bias_C = torch.ops.aten.native_batch_norm_backward(
            gradient_NCHW, features_NCHW, weight_C, mean_C, variance_C, None, None, False, ctx.eps, [False, True, True]
        )
        for_features_NCHW = None
        if ctx.needs_input_grad[0]:
            means_2C = total_over_ranks(torch.stack([for_weight_C, for_bias_C]), ctx.ranks) / count.to(mean_C.dtype)
            scale_C = (variance_C + ctx.eps).rsqrt()
            slope_C, step_C = means_2C[0] * scale_C, means_2C[1]
            gain_C = weight_C * scale_C
            centred_NCHW = features_NCHW.to(_wide(features_NCHW)) - _spread(mean_C)
            for_features_NCHW = (
                torch.addcmul(_spread(-gain_C * step_C), centred_NCHW, _spread(-gain_C * slope_C))
                .addcmul_(gradient_NCHW.to(centred_NCHW.dtype), _spread(gain_C))
                .to(features_NCHW.dtype)
            )
        return for_features_NCHW, for_weight_C, for_bias_C, None, None, None, None, None


def _wide(tensor: Tensor) -> torch.dtype:
    """Give the type to compute in: the tensor's own, float32 at least."""
    return torch.promote_types(tensor.dtype, torch.float32)


def _spread(values_C: Tensor) -> Tensor:
    return values_C.view(1, -1, 1, 1)
