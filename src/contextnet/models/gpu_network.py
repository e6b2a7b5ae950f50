"""A network arranged for a GPU: few, fused launches, the branches side by side, and the labels made where scores are.

Tensors are (N, C, H, W) unless the name says otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contextnet.models.contextnet import ContextNet
from contextnet.models.folding import fold_batch_norm
from contextnet.models.network import Network
from contextnet.models.resize import pad_to_multiple
from contextnet.models.score_field import UpsampledScores, best_classes
from contextnet.spec import INPUT_SCALE

LABEL_BAND_VALUES = 1 << 23
"""How many enlarged scores are made at a time: 16 MiB of float16, which the argmax finds in the GPU's L2 cache."""


def gpu_network(network: Network, device: torch.device, dtype: torch.dtype) -> Network:
    """Return a copy on ``device`` with folded batch norm, channels last, 1×1 convolutions as matrix products.

    Its scores differ from the source's by the rounding of ``dtype`` alone. The copy cannot be trained.
    """
    arranged = fold_batch_norm(network)
    for module in list(arranged.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and child.kernel_size == child.stride == (1, 1) and child.groups == 1:
                setattr(module, name, _PointwiseProduct(child))
    arranged = arranged.to(device, dtype)
    return arranged.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # stubs lack it


class _PointwiseProduct(nn.Module):
    """A 1×1 convolution as one matrix product, which adds the bias as it writes; cuDNN's needs a second launch."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight.detach().flatten(1), requires_grad=False)
        self.bias = convolution.bias

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C1, H, W) to (N, C2, H, W), both channels last."""
        features_NHWC = features.permute(0, 2, 3, 1)
        # Two dimensions, since only so does PyTorch surely hand the bias to the product.
        mixed = F.linear(features_NHWC.reshape(-1, features_NHWC.shape[-1]), self.weight, self.bias)
        return mixed.reshape(*features_NHWC.shape[:-1], -1).permute(0, 3, 1, 2)


def score_cells(network: Network, images_NHW3: Tensor, side: torch.cuda.Stream | None) -> Tensor:
    """Score uint8 RGB images as the network's own ``forward`` does, the detail branches on the stream ``side``.

    The context branch is a long chain of small layers that leaves most of a GPU idle; the detail branches are a few
    large layers. Without ``side`` they run one after the other.
    """
    images = images_NHW3.permute(0, 3, 1, 2)
    if not isinstance(network, ContextNet) or network.context is None or not network.details:
        whole: Tensor = network(images).scores
        return whole
    normalized = pad_to_multiple(images.to(network.classifier.weight.dtype) * INPUT_SCALE, network.spec.size_multiple)
    # The two waits order all work on memory that both streams touch: ``normalized`` and the details are let go only
    # after the second, and the next call's first holds ``side`` back until they have been read.
    if side is not None:
        side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        details = [branch(normalized) for branch in network.details]
    features: Tensor = network.context(normalized)
    if side is not None:
        torch.cuda.current_stream().wait_stream(side)
    for fusion, detail in zip(network.fusions, details, strict=True):
        features = fusion(features, detail)
    scores: Tensor = network.classifier(features)
    return scores


def score_and_label(
    network: Network, images_NHW3: Tensor, side: torch.cuda.Stream | None = None
) -> tuple[Tensor, Tensor]:
    """Give the scores of uint8 RGB images, float32 (N, C, H' / S, W' / S) of the padded ones, and their labels.

    Labels are uint8 (N, H, W), S is the network's output stride. For them the scores are enlarged in float16, which on
    streets changes fewer than one pixel in ten thousand, at the edges of classes.
    """
    scores = score_cells(network, images_NHW3, side).float().contiguous()
    cells, size_hw, stride = scores.half(), (images_NHW3.shape[1], images_NHW3.shape[2]), network.spec.output_stride
    labels = [best_classes(UpsampledScores(one[None], size_hw, stride), LABEL_BAND_VALUES) for one in cells]
    return scores, torch.stack(labels)
