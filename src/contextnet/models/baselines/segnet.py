"""SegNet: the convolutions of VGG16 with batch norm, mirrored by a decoder that unpools where the encoder pooled.

Badrinarayanan et al., "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image Segmentation" (2017). For
19 classes it has 29,446,035 parameters; ContextNet's Table 6 has 29.46 M.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from contextnet.models.baselines.unpooling import ChoosingPool, Unpool
from contextnet.models.conv_units import conv_unit

# Widths of the convolutions between two poolings, the finest level first; the decoder's levels end as wide as the
# next finer level begins.
_ENCODER = ((3, 64, 64), (64, 128, 128), (128, 256, 256, 256), (256, 512, 512, 512), (512, 512, 512, 512))
_DECODER = ((64, 64), (128, 128, 64), (256, 256, 256, 128), (512, 512, 512, 256), (512, 512, 512, 512))


class SegNet(nn.Module):
    """SegNet with 26 convolutions of 3×3.

    It has neither an auxiliary head nor dropout, which is Bayesian SegNet's.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(_level(widths) for widths in _ENCODER)
        self.decoder = nn.ModuleList(_level(widths) for widths in _DECODER)
        self.pool = ChoosingPool()
        self.unpool = Unpool()
        self.classifier = nn.Conv2d(_DECODER[0][-1], num_classes, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map the image (N, 3, H, W) to scores (N, classes, H, W)."""
        features = image
        choices = []
        for level in self.encoder:
            features, choice = self.pool(level(features))
            choices.append(choice)
        for level in reversed(self.decoder):
            features = level(self.unpool(features, choices.pop()))
        return self.classifier(features), None


def _level(widths: tuple[int, ...]) -> nn.Sequential:
    pairs = pairwise(widths)
    return nn.Sequential(*(conv_unit(width_in, width_out, 3) for width_in, width_out in pairs))
