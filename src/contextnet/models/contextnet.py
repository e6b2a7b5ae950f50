"""ContextNet: normalize, two or more branches, fusion, classifier (Figure 1)."""

from __future__ import annotations

from torch import Tensor, nn

from contextnet.models.branches import ContextBranch, DetailBranch
from contextnet.models.fusion import FusionUnit
from contextnet.models.initialization import initialize
from contextnet.models.network_output import NetworkOutput
from contextnet.models.resize import pad_to_multiple, upscale, upscale_to
from contextnet.spec import INPUT_SCALE, ContextNetSpec


class ContextNet(nn.Module):
    """The network that a ``ContextNetSpec`` describes.

    Reads images of any size from 1×1 up, as uint8 or float (N, 3, H, W) RGB of 0…255; normalization is inside.
    """

    def __init__(self, spec: ContextNetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.context = ContextBranch(spec.context) if spec.context else None
        self.details = nn.ModuleList(DetailBranch(detail) for detail in spec.details)
        self.fusions = nn.ModuleList(_fusion_units(spec))
        self.dropout = nn.Dropout(spec.dropout)
        self.classifier = nn.Conv2d(_classifier_width(spec), spec.num_classes, 1)
        self.auxiliary = nn.Conv2d(spec.context.head, spec.num_classes, 1) if spec.auxiliary and spec.context else None
        initialize(self)

    def forward(self, image: Tensor) -> NetworkOutput:
        """Score every cell of the image (N, 3, H, W), ``output_stride`` pixels wide, padded to the size multiple."""
        dtype = self.classifier.weight.dtype
        normalized = pad_to_multiple(image.to(dtype) * INPUT_SCALE, self.spec.size_multiple)
        auxiliary = None
        if self.context is None:
            features = self.details[0](normalized)
        else:
            context = features = self.context(normalized)
            if self.auxiliary is not None and self.training:
                auxiliary = self.auxiliary(self.dropout(context))
            for detail, fusion in zip(self.details, self.fusions, strict=True):
                features = fusion(features, detail(normalized))
        scores = self.classifier(self.dropout(features))
        if not self.details and self.spec.context is not None:
            scores = upscale(scores, self.spec.context.stride // self.spec.output_stride)
        return NetworkOutput(scores, auxiliary)

    def full_size_scores(self, image: Tensor) -> Tensor:
        """Score every pixel: (N, 3, H, W) to (N, classes, H, W), upsampled before the argmax."""
        size_hw = (image.shape[-2], image.shape[-1])
        return upscale_to(self(image).scores, size_hw, self.spec.output_stride)


def _fusion_units(spec: ContextNetSpec) -> list[FusionUnit]:
    """One unit for each detail branch, from the coarsest to the finest."""
    if spec.context is None:
        return []
    units = []
    width, stride = spec.context.head, spec.context.stride
    for detail, fused_width in zip(spec.details, spec.fusion_widths, strict=True):
        units.append(FusionUnit(width, detail.width, fused_width, stride // detail.stride))
        width, stride = fused_width, detail.stride
    return units


def _classifier_width(spec: ContextNetSpec) -> int:
    if spec.fusion_widths:
        return spec.fusion_widths[-1]
    return spec.context.head if spec.context else spec.details[0].width
