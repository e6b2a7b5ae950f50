"""A network that ContextNet is compared with, in the place of a ``ContextNet``: same images in, same scores out."""

from __future__ import annotations

from torch import Tensor, nn

from contextnet.models.baselines.catalogue import BODIES
from contextnet.models.initialization import initialize
from contextnet.models.network_output import NetworkOutput
from contextnet.models.resize import pad_to_multiple, upscale_to
from contextnet.network_spec import BaselineSpec
from contextnet.spec import INPUT_SCALE


class Baseline(nn.Module):
    """The network that a ``BaselineSpec`` describes: ``body`` as its own paper builds it, normalization and padding.

    Reads images of any size from 1×1 up, as uint8 or float (N, 3, H, W) RGB of 0…255.
    """

    def __init__(self, spec: BaselineSpec) -> None:
        super().__init__()
        self.spec = spec
        self.body = BODIES[spec.name](spec)
        initialize(self)

    def forward(self, image: Tensor) -> NetworkOutput:
        """Score every cell of the image (N, 3, H, W), padded to the spec's size multiple."""
        dtype = next(self.body.parameters()).dtype
        scores, auxiliary = self.body(pad_to_multiple(image.to(dtype) * INPUT_SCALE, self.spec.size_multiple))
        return NetworkOutput(scores, auxiliary)

    def full_size_scores(self, image: Tensor) -> Tensor:
        """Score every pixel: (N, 3, H, W) to (N, classes, H, W), upsampled before the argmax."""
        size_hw = (image.shape[-2], image.shape[-1])
        return upscale_to(self(image).scores, size_hw, self.spec.output_stride)
