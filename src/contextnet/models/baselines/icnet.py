"""ICNet: a PSPNet50 with half the feature maps on a quarter of the image, refined by two cheaper branches.

Zhao et al., "ICNet for Real-Time Semantic Segmentation on High-Resolution Images" (2018), its compressed model. For 19
classes it has 6,699,987 parameters without the auxiliary head; ContextNet's Table 6 has 6.68 M. At full width, before
the paper's compression, 26.5 M are quoted.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from contextnet.models.baselines.grid_average import GridAverage, SpreadGrid
from contextnet.models.baselines.pyramid_pooling import BINS
from contextnet.models.baselines.residual import deep_stem, residual_stage
from contextnet.models.baselines.upscaling import Upscale
from contextnet.models.conv_units import conv_unit
from contextnet.models.resize import downscale

_FUSED_WIDTH = 128


class Downscale(nn.Module):
    """Shrinks height and width, both divisible by ``factor``, by it: bilinear, half-pixel centres.

    Tracing does not look into it.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / factor, W / factor)."""
        return downscale(features, self.factor)


class SummedPyramid(nn.Module):
    """Averages the features over four grids and adds the averages to the features."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(GridAverage(grid) for grid in BINS)
        self.spread = SpreadGrid()

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        total = features
        for level in self.levels:
            total = total + self.spread(level(features), features)
        return total


class CascadeFusion(nn.Module):
    """Adds a coarse branch, doubled and smoothed by a dilated 3×3, to a projection of a fine one (section 3.3)."""

    def __init__(self, coarse_width: int, fine_width: int) -> None:
        super().__init__()
        self.enlarge = Upscale(2)
        self.coarse = conv_unit(coarse_width, _FUSED_WIDTH, 3, dilation=2, activation=None)
        self.fine = conv_unit(fine_width, _FUSED_WIDTH, activation=None)
        self.act = nn.ReLU(inplace=True)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Fuse (N, coarse_width, H / 2, W / 2) and (N, fine_width, H, W) into (N, 128, H, W)."""
        fused: Tensor = self.act(self.coarse(self.enlarge(coarse)) + self.fine(fine))
        return fused


class ICNet(nn.Module):
    """ICNet with three branches, on the whole, half and a quarter of the image.

    The quarter branch begins with the half branch's layers, shrunk again: both read the half-size image up to the first
    block of the third stage, as in the authors' model. Of the two auxiliary heads, on the quarter branch and on the
    first fusion, the second is kept, which reaches both coarser branches. There is no dropout.
    """

    def __init__(self, num_classes: int, *, auxiliary: bool) -> None:
        super().__init__()
        self.halve = Downscale(2)
        self.shared = nn.Sequential(
            deep_stem((32, 32, 64)), residual_stage(64, 32, 3), residual_stage(128, 64, 1, stride=2)
        )
        self.quarter = nn.Sequential(
            residual_stage(256, 64, 3),
            residual_stage(256, 128, 6, dilation=2),
            residual_stage(512, 256, 3, dilation=4),
            SummedPyramid(),
            conv_unit(1024, 256),
        )
        self.whole = nn.Sequential(
            conv_unit(3, 32, 3, stride=2), conv_unit(32, 32, 3, stride=2), conv_unit(32, 64, 3, stride=2)
        )
        self.coarse_fusion = CascadeFusion(256, 256)
        self.fine_fusion = CascadeFusion(_FUSED_WIDTH, 64)
        self.classifier = nn.Conv2d(_FUSED_WIDTH, num_classes, 1)
        self.enlarge = Upscale(2)
        self.auxiliary = _auxiliary_head(num_classes) if auxiliary else None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map the image (N, 3, H, W) to scores (N, classes, H / 4, W / 4) and auxiliary scores at H / 8, W / 8."""
        half = self.shared(self.halve(image))
        fused = self.coarse_fusion(self.quarter(self.halve(half)), half)
        auxiliary = self.auxiliary(fused) if self.auxiliary is not None and self.training else None
        # Bilinear doubling and a 1×1 convolution commute: doubling the scores costs less than doubling 128 maps.
        scores = self.enlarge(self.classifier(self.fine_fusion(fused, self.whole(image))))
        return scores, auxiliary


def _auxiliary_head(num_classes: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(classifier=nn.Conv2d(_FUSED_WIDTH, num_classes, 1), enlarge=Upscale(2)))
