"""The layers that the compared networks share: convolution units, resizing, grids of averages, pooling that remembers.

Tensors are float (N, C, H, W). Every class here is one operation of a traced network: tracing does not look into it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contextnet.models.resize import downscale, upscale

Activation: TypeAlias = Callable[[int], nn.Module]


def relu(width: int) -> nn.Module:
    """Make a ReLU, which has no parameters, for any number of feature maps."""
    return nn.ReLU(inplace=True)


def prelu(width: int) -> nn.Module:
    """Make a PReLU with one slope for each of ``width`` feature maps."""
    return nn.PReLU(width)


def conv_unit(
    width_in: int,
    width_out: int,
    kernel: int | tuple[int, int] = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
    depthwise: bool = False,
    activation: Activation | None = relu,
    eps: float = 1e-5,
) -> nn.Sequential:
    """Build a convolution, its batch norm and, unless linear, an activation, as one sequence.

    An odd kernel keeps the size at stride 1 and halves an even size at stride 2; a kernel of 2 halves it at stride 2.
    Only the sides of the kernel that are longer than one pixel are dilated.
    """
    kernel_hw = (kernel, kernel) if isinstance(kernel, int) else kernel
    dilation_hw = (dilation if kernel_hw[0] > 1 else 1, dilation if kernel_hw[1] > 1 else 1)
    padding_hw = (dilation_hw[0] * ((kernel_hw[0] - 1) // 2), dilation_hw[1] * ((kernel_hw[1] - 1) // 2))
    groups = width_in if depthwise else 1
    conv = nn.Conv2d(width_in, width_out, kernel_hw, stride, padding_hw, dilation_hw, groups, bias=False)
    return _with_norm(conv, width_out, activation, eps)


def doubling_unit(
    width_in: int, width_out: int, *, activation: Activation | None = relu, eps: float = 1e-5
) -> nn.Sequential:
    """Build a transposed 3×3 convolution that doubles the size, its batch norm and, unless linear, an activation."""
    conv = nn.ConvTranspose2d(width_in, width_out, 3, 2, padding=1, output_padding=1, bias=False)
    return _with_norm(conv, width_out, activation, eps)


def norm_unit(width: int, activation: Activation, *, eps: float = 1e-5) -> nn.Sequential:
    """Build a batch norm and its activation."""
    return nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(width, eps), act=activation(width)))


def dilated_depthwise(unit: nn.Module, features: Tensor, *, training: bool) -> Tensor:
    """Run a unit of dilated depth-wise convolutions, in float32 where its bfloat16 gradient cannot be trusted.

    On a CPU, oneDNN's weight gradient of such a convolution in bfloat16 reads memory that nothing wrote (PyTorch 2.13):
    now and then a gradient of 1e30.
    """
    result: Tensor
    if training and features.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            result = unit(features.float())
    else:
        result = unit(features)
    return result


def _with_norm(conv: nn.Module, width: int, activation: Activation | None, eps: float) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv, norm=nn.BatchNorm2d(width, eps))
    if activation is not None:
        layers["act"] = activation(width)
    return nn.Sequential(layers)


class PooledDownsampler(nn.Module):
    """A 3×3 convolution of stride 2 beside a 2×2 max pooling, then batch norm and an activation over both.

    These treat every map by itself, so that each part has its share of them, and the convolution's can be folded.
    """

    def __init__(self, width_in: int, width: int, *, activation: Activation = relu, eps: float = 1e-5) -> None:
        super().__init__()
        self.learned = conv_unit(width_in, width - width_in, 3, stride=2, activation=activation, eps=eps)
        norm = nn.BatchNorm2d(width_in, eps)
        self.pooled = nn.Sequential(OrderedDict(pool=nn.MaxPool2d(2), norm=norm, act=activation(width_in)))

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width_in, H, W) to (N, width, H / 2, W / 2)."""
        return torch.cat([self.learned(features), self.pooled(features)], dim=1)


class Upscale(nn.Module):
    """Enlarges height and width by ``factor``: bilinear, half-pixel centres."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H · factor, W · factor)."""
        return upscale(features, self.factor)


class Downscale(nn.Module):
    """Shrinks height and width, both divisible by ``factor``, by it: bilinear, half-pixel centres."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / factor, W / factor)."""
        return downscale(features, self.factor)


class AveragePool(nn.Module):
    """Averages ``width`` maps over square windows of an odd side; the zeros around the maps count."""

    def __init__(self, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        assert kernel % 2 == 1, "a window is centred on its pixel"
        self.width = width
        self.kernel = kernel
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, width, H / stride, W / stride)."""
        return F.avg_pool2d(features, self.kernel, self.stride, padding=self.kernel // 2)


class GridAverage(nn.Module):
    """Averages the features over each cell of a ``grid`` × ``grid`` grid; cells overlap where sides do not divide."""

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, grid, grid)."""
        return F.adaptive_avg_pool2d(features, self.grid)


class SpreadGrid(nn.Module):
    """Spreads a grid of values over a feature map: bilinear, half-pixel centres."""

    def forward(self, grid_features: Tensor, like: Tensor) -> Tensor:
        """Map (N, C, grid, grid) to (N, C, H, W), where ``like`` is (N, any, H, W)."""
        return F.interpolate(grid_features, like.shape[-2:], mode="bilinear", align_corners=False)


class PadChannels(nn.Module):
    """Appends ``extra`` feature maps of zeros."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C + extra, H, W)."""
        return F.pad(features, (0, 0, 0, 0, 0, self.extra))


class ChoosingPool(nn.Module):
    """2×2 max pooling that also tells which pixel of each window it took.

    The choice is a mask with the features' own shape and type: 1 at the pixel taken, the first in row-major order among
    equals, 0 elsewhere. Unlike indices it needs no operation beyond comparison and arithmetic to make and to apply.
    """

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W), both sides even, to the maxima (N, C, H / 2, W / 2) and the choice (N, C, H, W)."""
        pooled = F.max_pool2d(features, 2)
        with torch.no_grad():
            choice = torch.empty_like(features)
            is_first = features[..., 0::2, 0::2] == pooled
            is_second = (features[..., 0::2, 1::2] == pooled) & ~is_first
            is_below = ~(is_first | is_second)
            is_third = (features[..., 1::2, 0::2] == pooled) & is_below
            choice[..., 0::2, 0::2] = is_first
            choice[..., 0::2, 1::2] = is_second
            choice[..., 1::2, 0::2] = is_third
            choice[..., 1::2, 1::2] = is_below & ~is_third
        return pooled, choice


class Unpool(nn.Module):
    """Puts every feature back on the pixel that ``ChoosingPool`` took, among zeros: nearest upscaling times mask."""

    def forward(self, features: Tensor, choice: Tensor) -> Tensor:
        """Map (N, C, H, W) and the choice (N, C, 2 H, 2 W) to (N, C, 2 H, 2 W)."""
        count, width, rows, columns = features.shape
        # Broadcasting spares the enlarged copy of the features.
        windows = choice.view(count, width, rows, 2, columns, 2)
        return (windows * features[:, :, :, None, :, None]).reshape(choice.shape)
