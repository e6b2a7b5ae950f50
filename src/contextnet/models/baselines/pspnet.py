"""PSPNet: a dilated ResNet-101, pyramid pooling and a 3×3 head.

Zhao et al., "Pyramid Scene Parsing Network" (2017). For 19 classes it has 65,707,475 parameters without the
auxiliary head; ContextNet's Table 6 has 65.7 M.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from contextnet.models.baselines.pyramid_pooling import StackedPyramid
from contextnet.models.baselines.residual import RESNET_101, DilatedResNet, deep_stem
from contextnet.models.conv_units import conv_unit

_AUXILIARY_DROPOUT = 0.1


class PSPNet(nn.Module):
    """PSPNet with ResNet-101; the auxiliary head reads the fourth stage (section 4)."""

    def __init__(self, num_classes: int, *, dropout: float, auxiliary: bool) -> None:
        super().__init__()
        self.backbone = DilatedResNet(deep_stem((64, 64, 128)), 128, RESNET_101)
        self.pyramid = StackedPyramid(2048)
        self.head = conv_unit(4096, 512, 3)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(512, num_classes, 1)
        self.auxiliary = _auxiliary_head(num_classes) if auxiliary else None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map the image (N, 3, H, W) to scores, and auxiliary scores, (N, classes, H / 8, W / 8)."""
        fourth, fifth = self.backbone(image)
        scores = self.classifier(self.dropout(self.head(self.pyramid(fifth))))
        auxiliary = self.auxiliary(fourth) if self.auxiliary is not None and self.training else None
        return scores, auxiliary


def _auxiliary_head(num_classes: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            head=conv_unit(1024, 256, 3),
            dropout=nn.Dropout(_AUXILIARY_DROPOUT),
            classifier=nn.Conv2d(256, num_classes, 1),
        )
    )
