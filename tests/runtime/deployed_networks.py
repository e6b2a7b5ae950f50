"""One small network as every kind of file that an engine opens, and what it computes in PyTorch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from contextnet.export.deployable import deployable, fix_size
from contextnet.export.network_graph import network_graph
from contextnet.models.contextnet import ContextNet
from contextnet.models.folding import fold_batch_norm
from contextnet.models.storage import Weights
from contextnet.runtime.model_metadata import ModelMetadata
from contextnet.runtime.onnx_file import OnnxFile
from contextnet.runtime.openvino_ir import IrFile, read_openvino_ir, write_openvino_ir
from contextnet.spec import variant
from lively_networks import CLASSES, lively_weights, patches

SPEC = variant("cn14-160", CLASSES)
BATCHES = [(1, (64, 128)), (1, (1, 1)), (2, (65, 131)), (3, (97, 33))]
"""How many images of which height and width: whole cells, the least, and what has to be padded."""


@cache
def small_weights() -> Weights:
    return lively_weights(SPEC)


@cache
def small_model(precision: str = "fp32", size_hw: tuple[int, int] | None = None) -> OnnxFile:
    """The network as a model file; the graph is float32, whatever precision the metadata tells."""
    weights = small_weights()
    graph = deployable(network_graph(weights.build()), SPEC.size_multiple, stride=SPEC.output_stride)
    if size_hw is not None:
        graph = fix_size(graph, size_hw, SPEC.size_multiple, stride=SPEC.output_stride)
    return OnnxFile(graph, ModelMetadata(SPEC, weights.labels, precision, {"miou": 0.5}, "frei für alle & <any>"))


def small_ir(folder: Path, model: OnnxFile | None = None) -> IrFile:
    """A model file, written and read in OpenVINO's format."""
    write_openvino_ir(folder / "small.xml", model or small_model())
    return read_openvino_ir(folder / "small.xml")


def unreadable_model() -> OnnxFile:
    """A model file with an operator that no engine has."""
    model = small_model()
    graph = onnx.ModelProto()
    graph.CopyFrom(model.graph)
    next(node for node in graph.graph.node if node.op_type == "Conv").op_type = "Fold"
    return OnnxFile(graph, model.metadata)


def batch(number: int, size_hw: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Images of coloured patches, each of its own."""
    return np.stack([patches(size_hw, seed + index) for index in range(number)])


@cache
def _folded() -> ContextNet:
    return fold_batch_norm(small_weights().build())


def source_scores(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The scores of the folded PyTorch network."""
    with torch.inference_mode():
        scores: NDArray[np.float32] = _folded()(_planes(images)).scores.numpy()
    return scores


def assert_source_scores(scores: NDArray[np.float32], images: NDArray[np.uint8]) -> None:
    """Hold scores against those of the folded PyTorch network, to 1e-4 of the largest."""
    expected = source_scores(images)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4 * max(1, np.abs(expected).max()))


def assert_source_labels(labels: NDArray[np.uint8], images: NDArray[np.uint8]) -> None:
    """Hold labels against the folded PyTorch network's upsampling and argmax: 99.99 % alike, or all but one."""
    with torch.inference_mode():
        scores = _folded().full_size_scores(_planes(images))
    expected = scores.argmax(dim=1).to(torch.uint8).numpy()
    assert (labels.dtype, labels.shape) == (np.uint8, images.shape[:3])
    assert np.count_nonzero(labels != expected) <= max(1, 1e-4 * labels.size)


def _planes(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(images.copy()).permute(0, 3, 1, 2)
