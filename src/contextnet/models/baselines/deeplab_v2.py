"""DeepLab-v2: a dilated ResNet-101 whose scores are the sum of four dilated convolutions (ASPP-L).

Chen et al., "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected
CRFs" (2018), section 3.2; without the fully connected CRF and without the three input scales of section 4.1.2.
For 19 classes it has 43,901,068 parameters; ContextNet's Table 6 has 44 M.
"""

from __future__ import annotations

from torch import Tensor, nn

from contextnet.models.baselines.residual import RESNET_101, DilatedResNet, plain_stem

_RATES = (6, 12, 18, 24)


class AtrousPyramid(nn.Module):
    """Four 3×3 convolutions to scores with rates 6, 12, 18 and 24, summed (section 3.2)."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(width, num_classes, 3, padding=rate, dilation=rate) for rate in _RATES)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to (N, classes, H, W)."""
        first, *others = self.branches
        scores: Tensor = first(features)
        for branch in others:
            scores = scores + branch(features)
        return scores


class DeepLabV2(nn.Module):
    """DeepLab-v2 with ResNet-101.

    It has neither an auxiliary head nor dropout, which only its VGG16 variant has.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = DilatedResNet(plain_stem(64), 64, RESNET_101)
        self.classifier = AtrousPyramid(2048, num_classes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map the image (N, 3, H, W) to scores (N, classes, H / 8, W / 8)."""
        _, features = self.backbone(image)
        return self.classifier(features), None
