"""From weights to a model file that has been held against its source: written only if it computes the same."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage

from contextnet.errors import ExportError
from contextnet.export.deployable import deployable, fix_size
from contextnet.export.parity import Image, Parity, compare
from contextnet.models.contextnet import ContextNet
from contextnet.models.score_field import UpsampledScores, best_classes
from contextnet.models.storage import Weights
from contextnet.runtime.engines.opening import installed_engines, open_engine
from contextnet.runtime.model_metadata import ModelMetadata
from contextnet.runtime.onnx_file import OnnxFile, write_onnx_file
from contextnet.runtime.openvino_ir import write_openvino_ir

FORMATS = {"onnx": (".onnx", write_onnx_file), "openvino": (".xml", write_openvino_ir)}
"""Suffix and writer by format. OpenVINO's own format keeps the weights in a second file, NAME.bin."""


@dataclass(frozen=True)
class Target:
    """Where a model file goes and how: ``format`` onnx or openvino; one image size, or None for every size."""

    path: Path
    format: str
    size_hw: tuple[int, int] | None = None


@dataclass(frozen=True)
class Deployment:
    """The files of a finished export, their size together, and how each engine agreed with the source."""

    files: tuple[Path, ...]
    file_bytes: int
    parities: tuple[Parity, ...]


def model_of(
    weights: Weights, graph: onnx.ModelProto, precision: str, quantization: Mapping[str, Any] | None = None
) -> OnnxFile:
    """Make a model of a network's graph: what ``network_graph`` wrote of ``weights``, or its quantized form.

    ``quantization`` tells how the latter was made, and stands in the metadata beside how the weights were trained.
    """
    training = {**weights.training, "quantization": dict(quantization)} if quantization else weights.training
    metadata = ModelMetadata(weights.spec, weights.labels, precision, training, weights.licence)
    return OnnxFile(deployable(graph, weights.spec.size_multiple), metadata)


def deploy(model: OnnxFile, source: ContextNet, target: Target, images: Sequence[Image]) -> Deployment:
    """Write a model file, compare it with the network that it was made of, in every installed engine, and keep it.

    ``images`` are uint8 (H, W, 3) RGB, and resized where the target has one size. Raises ``ExportError`` when the
    labels differ by more than the precision's tolerance; then nothing is written.
    """
    if target.size_hw is not None:
        model = replace(model, graph=fix_size(model.graph, target.size_hw, model.metadata.spec.size_multiple))
        images = [_resized(image, target.size_hw) for image in images]
    expected = source_labels(source, images)
    write = FORMATS[target.format][1]
    try:
        with tempfile.TemporaryDirectory(dir=target.path.parent, prefix=f".{target.path.name}.") as folder:
            draft = Path(folder) / target.path.name
            write(draft, model)
            engines, precision = installed_engines(draft), model.metadata.precision
            parities = tuple(_parity(name, draft, images, expected, precision) for name in engines)
            # The file that is asked for comes last, so that it is never there without its weights.
            drafts = sorted(Path(folder).iterdir(), key=lambda file: file == draft)
            files = tuple(file.replace(target.path.with_name(file.name)) for file in drafts)
    except OSError as error:
        raise ExportError.at(target.path, f"cannot be written: {error.strerror}", "choose another folder") from error
    return Deployment(files, sum(file.stat().st_size for file in files), parities)


def source_labels(network: ContextNet, images: Sequence[Image]) -> list[NDArray[np.uint8]]:
    """Label images with the network as it was trained: float32, batch norm not folded."""
    with torch.inference_mode():
        return [_label(network, image) for image in images]


def _parity(
    engine: str, file: Path, images: Sequence[Image], expected: Sequence[NDArray[np.uint8]], precision: str
) -> Parity:
    """Compare in float32 where the file is not INT8: the arithmetic of the source, which every CPU has."""
    opened = open_engine(file, engine=engine, device="cpu", precision="fp32").engine
    parity = compare(lambda image: opened.submit(image[None]).labels()[0], images, expected, engine, precision)
    opened.close()
    return parity


def _label(network: ContextNet, image: Image) -> NDArray[np.uint8]:
    # PyTorch takes arrays that may be written to alone, though nothing here does.
    planes = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1).unsqueeze(0)
    labels: NDArray[np.uint8] = best_classes(UpsampledScores(network(planes).scores, image.shape[:2])).numpy()
    return labels


def _resized(image: Image, size_hw: tuple[int, int]) -> Image:
    height, width = size_hw
    if image.shape[:2] == size_hw:
        return image
    return np.asarray(PillowImage.fromarray(image).resize((width, height), PillowImage.Resampling.BILINEAR))
