"""ERFNet: residual blocks of one-dimensional convolutions, and transposed convolutions back to full size.

Romera et al., "ERFNet: Efficient Residual Factorized ConvNet for Real-Time Semantic Segmentation" (2018), Table I. For
19 classes it has 2,060,978 parameters; the paper and ContextNet's Table 6 have 2.1 M, the authors' code 2.06 M, where
the convolutions before batch norm have a bias as well.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from contextnet.models.baselines.pooled_downsampler import PooledDownsampler
from contextnet.models.conv_units import conv_unit, doubling_unit

_EPS = 1e-3
_DILATIONS = (2, 4, 8, 16, 2, 4, 8, 16)


class NonBottleneck1D(nn.Module):
    """Two pairs of 3×1 and 1×3 convolutions, the second pair dilated, around a residual (Figure 2 c)."""

    def __init__(self, width: int, *, dilation: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.first_column = _column(width, 1)
        self.first_row = conv_unit(width, width, (1, 3), eps=_EPS)
        self.second_column = _column(width, dilation)
        self.second_row = conv_unit(width, width, (1, 3), dilation=dilation, activation=None, eps=_EPS)
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.act = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        out = self.first_row(self.first_column(features))
        out = self.second_row(self.second_column(out))
        added: Tensor = self.act(self.dropout(out) + features)
        return added


class ERFNet(nn.Module):
    """ERFNet: 16 blocks that encode, 7 that decode.

    It has neither an auxiliary head nor dropout before its classifier; the dropout in its blocks is the paper's.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            PooledDownsampler(3, 16, eps=_EPS),
            PooledDownsampler(16, 64, eps=_EPS),
            *(NonBottleneck1D(64, dropout=0.03) for _ in range(5)),
            PooledDownsampler(64, 128, eps=_EPS),
            *(NonBottleneck1D(128, dilation=dilation, dropout=0.3) for dilation in _DILATIONS),
        )
        self.decoder = nn.Sequential(
            doubling_unit(128, 64, eps=_EPS),
            NonBottleneck1D(64),
            NonBottleneck1D(64),
            doubling_unit(64, 16, eps=_EPS),
            NonBottleneck1D(16),
            NonBottleneck1D(16),
        )
        self.classifier = nn.ConvTranspose2d(16, num_classes, 2, 2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map the image (N, 3, H, W) to scores (N, classes, H, W)."""
        return self.classifier(self.decoder(self.encoder(image))), None


def _column(width: int, dilation: int) -> nn.Sequential:
    """Build a 3×1 convolution with bias, which no batch norm follows, and its ReLU."""
    conv = nn.Conv2d(width, width, (3, 1), padding=(dilation, 0), dilation=(dilation, 1))
    return nn.Sequential(OrderedDict(conv=conv, act=nn.ReLU(inplace=True)))
