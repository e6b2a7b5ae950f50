"""The network's layers as ONNX nodes: convolutions with folded batch norm, the two resizes.

Activations are (N, C, H, W) and of the writer's type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contextnet.export.graph_writer import GraphWriter

Tensors = Mapping[str, NDArray[np.float32]]
"""The folded network's weights and biases by name, as in its state dict."""

RGB = 3
RELU6_LIMIT = 6.0
RESIZE_WEIGHT = 0.25
"""The share of each of the four pixels that a smaller image's pixel is the mean of."""


@dataclass(frozen=True)
class Layers:
    """Adds layers to a graph, their weights taken by the name of the module that they belong to."""

    writer: GraphWriter
    tensors: Tensors

    def conv_unit(
        self,
        features: str,
        unit: str,
        *,
        stride: int = 1,
        dilation: int = 1,
        depthwise: bool = False,
        activation: bool = True,
        input_scale: float = 1.0,
    ) -> str:
        """Add a convolution with its folded batch norm and, unless linear, its ReLU6.

        What it reads counts as multiplied by ``input_scale``: so normalization goes into the weights.
        """
        weight = self.tensors[f"{unit}.conv.weight"] * np.float32(input_scale)
        out = self._conv(features, unit, weight, self.tensors[f"{unit}.conv.bias"], stride, dilation, depthwise)
        return self.relu6(out, f"{unit}.relu6") if activation else out

    def classifier(self, features: str, name: str) -> str:
        """Add the 1×1 convolution from features to class scores."""
        weight, bias = self.tensors["classifier.weight"], self.tensors["classifier.bias"]
        return self._conv(features, name, weight, bias, stride=1, dilation=1, depthwise=False)

    def relu6(self, features: str, name: str) -> str:
        """Clip to 0…6."""
        limits = [self.writer.weights("relu6.low", 0.0), self.writer.weights("relu6.high", RELU6_LIMIT)]
        return self.writer.node("Clip", [features, *limits], name)

    def add(self, one: str, other: str, name: str) -> str:
        """Add two maps of one shape."""
        return self.writer.node("Add", [one, other], name)

    def _conv(
        self,
        features: str,
        name: str,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        stride: int,
        dilation: int,
        depthwise: bool,
    ) -> str:
        side = weight.shape[2]
        return self.writer.node(
            "Conv",
            [features, self.writer.weights(f"{name}.weight", weight), self.writer.weights(f"{name}.bias", bias)],
            name,
            kernel_shape=[side, side],
            strides=[stride, stride],
            dilations=[dilation, dilation],
            pads=[dilation * (side // 2)] * 4,
            group=len(weight) if depthwise else 1,
        )


def downscale(writer: GraphWriter, image_NHW3: str, scale: int) -> str:
    """Turn an image (N, H, W, 3) into planes (N, 3, H / scale, W / scale), bilinear with half-pixel centres.

    ``scale`` is 1 or even, so that every output pixel stands in the middle of a scale × scale block, of which the
    middle 2×2 is averaged. ``scale`` neighbours of a row lie together in memory as 3·scale values; read as that many
    channels, the resize is one small convolution that touches only what it needs, in place of a pass over the whole
    image.
    """
    name = f"{image_NHW3}.by{scale}"
    if scale == 1:
        return _planes(writer, image_NHW3, name)
    # 0 keeps a dimension and -1 takes what is left, so that one graph serves every size.
    shape = writer.integers(f"{name}.shape", [0, 0, -1, RGB * scale])
    packed = _planes(writer, writer.node("Reshape", [image_NHW3, shape], f"{name}.packed"), name)
    kernel = np.zeros((RGB, scale, scale, RGB), np.float32)  # to a colour, from a row's and a column's pixel
    middle = slice(scale // 2 - 1, scale // 2 + 1)
    for color in range(RGB):
        kernel[color, middle, middle, color] = RESIZE_WEIGHT
    # The channels of a packed pixel are its columns' colours, its kernel's rows the block's rows.
    weight = kernel.transpose(0, 2, 3, 1).reshape(RGB, scale * RGB, scale, 1)
    inputs = [packed, writer.weights(f"{name}.weight", weight)]
    return writer.node("Conv", inputs, name, kernel_shape=[scale, 1], strides=[scale, 1])


def upscale(writer: GraphWriter, features: str, factor: int, name: str) -> str:
    """Enlarge height and width by ``factor``, bilinear with half-pixel centres."""
    return resize(writer, [features, "", writer.factors(f"by{factor}", [1, 1, factor, factor])], name)


def resize(writer: GraphWriter, inputs: Sequence[str], name: str) -> str:
    """Add ONNX's resize by the one definition of every resize; ``inputs`` say the factors or the size."""
    mode = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return writer.node("Resize", inputs, name, **mode)


def _planes(writer: GraphWriter, image_NHWC: str, name: str) -> str:
    return writer.node("Transpose", [image_NHWC], f"{name}.planes", perm=[0, 3, 1, 2])
