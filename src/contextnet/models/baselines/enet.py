"""ENet: narrow bottlenecks, most of them at an eighth of the size, and a small decoder that unpools.

Paszke et al., "ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation" (2016), Table 1. For 19
classes it has 363,618 parameters; the paper and ContextNet's Table 6 have 0.37 M, others' counts 0.36 M.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from contextnet.models.baselines.pooled_downsampler import PooledDownsampler
from contextnet.models.baselines.unpooling import ChoosingPool, Unpool
from contextnet.models.conv_units import Activation, conv_unit, doubling_unit, prelu, relu

_EPS = 1e-3
_REDUCTION = 4
_EARLY_DROPOUT = 0.01
_DROPOUT = 0.1
_REGULAR, _ASYMMETRIC = 1, 0
# Bottlenecks 2.1 to 2.8, which 3.1 to 3.8 repeat: regular, dilated by 2, 4, 8 and 16, asymmetric.
_SECTION = (_REGULAR, 2, _ASYMMETRIC, 4, _REGULAR, 8, _ASYMMETRIC, 16)


class PadChannels(nn.Module):
    """Appends ``extra`` feature maps of zeros; tracing does not look into it."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C + extra, H, W)."""
        return F.pad(features, (0, 0, 0, 0, 0, self.extra))


class Bottleneck(nn.Module):
    """1×1 reduction, a 3×3 (dilated) or a 5×1 and 1×5 (asymmetric), 1×1 expansion, added to the input (Figure 2 b).

    ``kind`` is the dilation, or 0 for the asymmetric pair.
    """

    def __init__(self, width: int, kind: int = _REGULAR, *, dropout: float, activation: Activation) -> None:
        super().__init__()
        hidden = width // _REDUCTION
        self.reduce = conv_unit(width, hidden, activation=activation, eps=_EPS)
        self.column: nn.Module = nn.Identity()
        if kind == _ASYMMETRIC:
            self.column = nn.Conv2d(hidden, hidden, (5, 1), padding=(2, 0), bias=False)
            self.middle = conv_unit(hidden, hidden, (1, 5), activation=activation, eps=_EPS)
        else:
            self.middle = conv_unit(hidden, hidden, 3, dilation=kind, activation=activation, eps=_EPS)
        self.expand = conv_unit(hidden, width, activation=None, eps=_EPS)
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.act = activation(width)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        out = self.expand(self.middle(self.column(self.reduce(features))))
        added: Tensor = self.act(self.dropout(out) + features)
        return added


class DownBottleneck(nn.Module):
    """The bottleneck that halves the size: the reduction is 2×2 of stride 2, the input is pooled and zero-padded."""

    def __init__(self, width_in: int, width: int, *, dropout: float) -> None:
        super().__init__()
        hidden = width // _REDUCTION
        self.reduce = conv_unit(width_in, hidden, 2, stride=2, activation=prelu, eps=_EPS)
        self.middle = conv_unit(hidden, hidden, 3, activation=prelu, eps=_EPS)
        self.expand = conv_unit(hidden, width, activation=None, eps=_EPS)
        self.dropout = nn.Dropout2d(dropout)
        self.pool = ChoosingPool()
        self.pad = PadChannels(width - width_in)
        self.act = prelu(width)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, width_in, H, W) to (N, width, H / 2, W / 2) and the pooling's choice (N, width_in, H, W)."""
        out = self.dropout(self.expand(self.middle(self.reduce(features))))
        pooled, choice = self.pool(features)
        return self.act(out + self.pad(pooled)), choice


class UpBottleneck(nn.Module):
    """The bottleneck that doubles the size: the 3×3 is transposed, the input is projected and unpooled."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        hidden = width // _REDUCTION
        self.reduce = conv_unit(width_in, hidden, eps=_EPS)
        self.middle = doubling_unit(hidden, hidden, eps=_EPS)
        self.expand = conv_unit(hidden, width, activation=None, eps=_EPS)
        self.project = conv_unit(width_in, width, activation=None, eps=_EPS)
        self.unpool = Unpool()
        self.act = nn.ReLU(inplace=True)

    def forward(self, features: Tensor, choice: Tensor) -> Tensor:
        """Map (N, width_in, H, W) and a choice (N, width, 2 H, 2 W) to (N, width, 2 H, 2 W)."""
        out = self.expand(self.middle(self.reduce(features)))
        added: Tensor = self.act(out + self.unpool(self.project(features), choice))
        return added


class ENet(nn.Module):
    """ENet, as in Table 1; the decoder's activations are ReLU without dropout, as in the authors' code.

    It has neither an auxiliary head nor dropout before its classifier; the dropout in its bottlenecks is the paper's.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.initial = PooledDownsampler(3, 16, activation=prelu, eps=_EPS)
        self.down1 = DownBottleneck(16, 64, dropout=_EARLY_DROPOUT)
        self.stage1 = nn.Sequential(*(Bottleneck(64, dropout=_EARLY_DROPOUT, activation=prelu) for _ in range(4)))
        self.down2 = DownBottleneck(64, 128, dropout=_DROPOUT)
        self.stage2 = _section()
        self.stage3 = _section()
        self.up4 = UpBottleneck(128, 64)
        self.stage4 = nn.Sequential(*(Bottleneck(64, dropout=0.0, activation=relu) for _ in range(2)))
        self.up5 = UpBottleneck(64, 16)
        self.stage5 = Bottleneck(16, dropout=0.0, activation=relu)
        self.classifier = nn.ConvTranspose2d(16, num_classes, 2, 2)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map the image (N, 3, H, W) to scores (N, classes, H, W)."""
        features, fine_choice = self.down1(self.initial(image))
        features, coarse_choice = self.down2(self.stage1(features))
        features = self.stage3(self.stage2(features))
        features = self.stage4(self.up4(features, coarse_choice))
        features = self.stage5(self.up5(features, fine_choice))
        return self.classifier(features), None


def _section() -> nn.Sequential:
    return nn.Sequential(*(Bottleneck(128, kind, dropout=_DROPOUT, activation=prelu) for kind in _SECTION))
