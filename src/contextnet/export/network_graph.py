"""The network as ONNX nodes, from the padded image to the scores: branches, fusion, classifier.

Follows ``models/contextnet.py``, ``branches.py``, ``fusion.py`` and ``blocks.py`` line by line, batch norm folded and
normalization in the first convolutions. A baseline is traced instead.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import onnx
from onnx import helper

from contextnet.export.graph_writer import GraphWriter
from contextnet.export.layers import RGB, Layers, downscale, upscale
from contextnet.export.pyramid_graph import pyramid_pooling
from contextnet.export.traced_graph import traced_scores
from contextnet.models.baselines.baseline import Baseline
from contextnet.models.folding import fold_batch_norm
from contextnet.models.network import Network
from contextnet.spec import (
    INPUT_SCALE,
    BottleneckSpec,
    ContextBranchSpec,
    ContextNetSpec,
    DetailBranchSpec,
)

OPSET = 19
IR_VERSION = 9
"""The oldest that carry what the graph needs, so that engines of 2023 and later read it."""

PIXELS, NETWORK_SCORES = "pixels", "network.scores"


def network_graph(network: Network, precision: str = "fp32") -> onnx.ModelProto:
    """Write a network with its batch norm folded, weights and activations in ``precision``, fp32 or fp16.

    Input ``pixels`` (N, H, W, 3) RGB of 0…255, divisible by the spec's size multiple; output ``network.scores``
    (N, classes, H / stride, W / stride). Holds for every size.
    """
    spec = network.spec
    writer = GraphWriter(np.float16 if precision == "fp16" else np.float32)
    folded = fold_batch_norm(network).cpu()
    if isinstance(folded, Baseline):
        traced_scores(writer, folded.body, PIXELS, NETWORK_SCORES)
    else:
        tensors = {name: tensor.numpy() for name, tensor in folded.state_dict().items()}
        _scores(Layers(writer, tensors), folded.spec, PIXELS)
    pixels = helper.make_tensor_value_info(PIXELS, writer.real_type, ["N", "H", "W", RGB])
    scores = helper.make_tensor_value_info(NETWORK_SCORES, writer.real_type, ["N", spec.num_classes, "rows", "columns"])
    return as_model(writer.graph([pixels], [scores]))


def as_model(graph: onnx.GraphProto) -> onnx.ModelProto:
    """Make a model of a graph and hold it to the ONNX standard, shapes included."""
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="contextnet")
    onnx.checker.check_model(model, full_check=True)
    return model


def _scores(layers: Layers, spec: ContextNetSpec, image: str) -> str:
    """Branches, fusion, classifier (Figure 1)."""
    # Branches of one scale read the same planes.
    at_scale = cache(partial(downscale, layers.writer, image))
    if spec.context is None:
        (lone,) = spec.details
        return layers.classifier(_detail_branch(layers, "details.0", lone, at_scale(lone.scale)), NETWORK_SCORES)
    features = _context_branch(layers, spec.context, at_scale(spec.context.scale))
    stride = spec.context.stride
    for index, detail in enumerate(spec.details):
        fine = _detail_branch(layers, f"details.{index}", detail, at_scale(detail.scale))
        features = _fusion_unit(layers, f"fusions.{index}", features, fine, stride // detail.stride)
        stride = detail.stride
    if stride == spec.output_stride:
        return layers.classifier(features, NETWORK_SCORES)
    scores = layers.classifier(features, "classifier")
    return upscale(layers.writer, scores, stride // spec.output_stride, NETWORK_SCORES)


def _context_branch(layers: Layers, branch: ContextBranchSpec, planes: str) -> str:
    """Table 2."""
    features = layers.conv_unit(planes, "context.stem", stride=2, input_scale=INPUT_SCALE)
    width = branch.stem
    for index, block in enumerate(branch.blocks):
        features = _bottleneck(layers, f"context.blocks.{index}", features, width, block)
        width = block.width
    features = layers.conv_unit(features, "context.head")
    return (
        pyramid_pooling(layers, "context.pyramid", features, branch.pyramid_bins) if branch.pyramid_bins else features
    )


def _bottleneck(layers: Layers, name: str, features: str, width_in: int, block: BottleneckSpec) -> str:
    """Table 1."""
    out = layers.conv_unit(features, f"{name}.expand")
    out = layers.conv_unit(out, f"{name}.depthwise", stride=block.stride, depthwise=True)
    out = layers.conv_unit(out, f"{name}.project", activation=False)
    return layers.add(features, out, name) if block.adds_input(width_in) else out


def _detail_branch(layers: Layers, name: str, branch: DetailBranchSpec, planes: str) -> str:
    """Section 2.2, spatial detail."""
    features = layers.conv_unit(planes, f"{name}.stem", stride=2, input_scale=INPUT_SCALE)
    for index, block in enumerate(branch.blocks):
        unit = f"{name}.blocks.{index}"
        features = layers.conv_unit(
            features, f"{unit}.depthwise", stride=block.stride, depthwise=True, activation=False
        )
        features = layers.conv_unit(features, f"{unit}.pointwise")
    return features


def _fusion_unit(layers: Layers, name: str, context: str, detail: str, factor: int) -> str:
    """Table 3."""
    raised = upscale(layers.writer, context, factor, f"{name}.raised")
    smooth = layers.conv_unit(raised, f"{name}.smooth", dilation=factor, depthwise=True)
    coarse = layers.conv_unit(smooth, f"{name}.context", activation=False)
    fine = layers.conv_unit(detail, f"{name}.detail", activation=False)
    return layers.relu6(layers.add(coarse, fine, name), f"{name}.relu6")
