"""The deployable graph against the network that it is made of, in ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from contextnet.export.deployable import deployable, fix_size
from contextnet.export.network_graph import network_graph
from contextnet.models.contextnet import ContextNet
from contextnet.spec import VARIANTS, BottleneckSpec, ContextNetSpec, variant
from lively_networks import CLASSES, lively_network, patches

SIZES_HW = [(64, 128), (1, 1), (65, 131), (97, 33)]
PLAIN = ["Shape", "Neg", "Mod", "Concat", "Pad"]
"""What only a graph of any size needs."""


def pruned() -> ContextNetSpec:
    spec = variant("cn14-160", CLASSES)
    assert spec.context
    first, *rest = spec.context.blocks
    blocks = (replace(first, hidden=5), *(BottleneckSpec(b.expansion, b.hidden // 3, b.width, b.stride) for b in rest))
    return replace(spec, name="cn14-pruned", context=replace(spec.context, blocks=blocks))


SPECS = {
    **{name: variant(name, CLASSES, width=0.25) for name in VARIANTS},
    "pyramid pooling": variant("cn14", CLASSES, width=0.25, pyramid_pooling=True),
    "auxiliary": variant("cn14", CLASSES, width=0.25, auxiliary=True),
    "wide": variant("cn14-160", CLASSES, width=1.5),
    "pruned": pruned(),
}


def expected(network: ContextNet, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    with torch.inference_mode():
        planes = torch.from_numpy(images).permute(0, 3, 1, 2)
        labels = network.full_size_scores(planes).argmax(dim=1).to(torch.uint8)
        return labels.numpy(), network(planes).scores.numpy()


def run(model: onnx.ModelProto, images: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    labels, scores = session.run(["labels", "scores"], {"image": images})
    return labels, scores


@pytest.mark.parametrize("name", SPECS)
def test_every_network_computes_what_its_source_computes_at_every_size(name: str) -> None:
    network = lively_network(SPECS[name])
    model = deployable(network_graph(network), network.spec.size_multiple, stride=network.spec.output_stride)
    for seed, size_hw in enumerate(SIZES_HW):
        images = patches(size_hw, seed)[None]
        labels, scores = expected(network, images)
        found_labels, found_scores = run(model, images)
        tolerance = 1e-4 * max(1.0, float(np.abs(scores).max()))
        np.testing.assert_allclose(found_scores, scores, atol=tolerance)
        assert found_labels.dtype == np.uint8
        assert np.mean(found_labels == labels) >= 0.9999
        fixed = fix_size(model, size_hw, network.spec.size_multiple, stride=network.spec.output_stride)
        fixed_labels, fixed_scores = run(fixed, images)
        np.testing.assert_allclose(fixed_scores, scores, atol=tolerance)
        assert np.mean(fixed_labels == labels) >= 0.9999
    assert len(np.unique(labels)) > 1, "the comparison would not see a constant answer"


def test_several_images_at_a_time() -> None:
    network = lively_network(SPECS["cn14"])
    images = np.stack([patches((65, 40), seed) for seed in range(3)])
    labels, scores = expected(network, images)
    model = deployable(network_graph(network), network.spec.size_multiple, stride=network.spec.output_stride)
    for graph in (model, fix_size(model, (65, 40), network.spec.size_multiple, stride=network.spec.output_stride)):
        found_labels, found_scores = run(graph, images)
        np.testing.assert_allclose(found_scores, scores, atol=2e-4)
        assert np.mean(found_labels == labels) >= 0.9999


def test_half_precision_computes_in_half_precision_and_agrees() -> None:
    network = lively_network(variant("cn14", CLASSES, width=0.5))
    model = deployable(network_graph(network, "fp16"), network.spec.size_multiple, stride=network.spec.output_stride)
    weights = [tensor for tensor in model.graph.initializer if tensor.name.endswith(".weight")]
    assert {tensor.data_type for tensor in weights} == {onnx.TensorProto.FLOAT16}
    images = patches((96, 128))[None]
    labels, scores = expected(network, images)
    found_labels, found_scores = run(model, images)
    assert found_scores.dtype == np.float32
    np.testing.assert_allclose(found_scores, scores, atol=0.15)
    assert np.mean(found_labels == labels) >= 0.97


@pytest.mark.parametrize(
    ("size_hw", "padding", "scores_hw"),
    [((64, 96), None, (8, 12)), ((65, 96), [31, 0], (12, 12)), ((1, 1), [31, 31], (4, 4))],
)
def test_a_fixed_size_is_in_the_graph(
    size_hw: tuple[int, int], padding: list[int] | None, scores_hw: tuple[int, int]
) -> None:
    network = lively_network(SPECS["cn14"])
    model = deployable(network_graph(network), 32, stride=8)
    assert [node.op_type for node in model.graph.node[:5]] == PLAIN
    fixed = fix_size(model, size_hw, 32, stride=8).graph
    assert not {"Shape", "Neg", "Mod"} & {node.op_type for node in fixed.node}
    pads = [onnx.numpy_helper.to_array(t).tolist() for t in fixed.initializer if t.name == "image.padding"]
    assert pads == ([[0, 0, 0, 0, 0, *padding, 0]] if padding else [])
    assert ("Pad" in {node.op_type for node in fixed.node}) == (padding is not None)
    shapes = {
        value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in (*fixed.input, *fixed.output)
    }
    assert shapes == {
        "image": ["N", *size_hw, 3],
        "labels": ["N", *size_hw],
        "scores": ["N", CLASSES, *scores_hw],
    }
    refused = "Got invalid dimensions"
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match=refused):
        run(fix_size(model, size_hw, 32, stride=8), patches((128, 128))[None])


def test_the_source_is_left_as_it_is() -> None:
    network = lively_network(SPECS["cn14"])
    model = deployable(network_graph(network), 32, stride=8)
    before = model.SerializeToString()
    fix_size(model, (64, 64), 32, stride=8)
    assert model.SerializeToString() == before
