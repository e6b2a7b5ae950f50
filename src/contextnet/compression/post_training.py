"""Quantizing a network for deployment: calibrated and judged on given images.

The judge runs it in OpenVINO, and what is not INT8 in float32, so that the choice of layers does not depend on what
else the CPU computes in. How the finished file agrees with its source in an engine's own choice, which is often
bfloat16, is for ``contextnet.export.deployment`` to see.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from contextnet.compression.judges import AgreementJudge, MeanIouJudge, Runner
from contextnet.compression.quantization import Quantized, quantize
from contextnet.export.deployment import Deployment, Target, deploy, model_of, source_labels
from contextnet.export.network_graph import network_graph
from contextnet.export.parity import TOLERANCES, Image, Labeller
from contextnet.export.samples import ExportSamples
from contextnet.files import file_checksum
from contextnet.models.storage import Weights, read_weights
from contextnet.runtime.engines.openvino import open_engine
from contextnet.runtime.onnx_file import read_onnx_file

MAX_MIOU_DROP, MAX_DISAGREEMENT = 0.005, 1 - TOLERANCES["int8"]
"""What INT8 may cost: mIoU where there are masks, otherwise the share of pixels with another label."""


def quantize_weights(weights: Weights, samples: ExportSamples) -> Quantized:
    """Quantize a network with the ranges of ``samples.calibration``.

    With masks, the mIoU on ``samples.labelled`` says which layers go back to float and whether the result is accepted.
    With images alone the share of pixels that get the source's label does: one half of ``samples.compared`` for the
    layers, the other half for the result. Raises ``ExportError`` when INT8 costs too much. Either way the labels of the
    finished file are compared with the source's when it is deployed.
    """
    assert samples.calibration is not None, "samples are taken with images to calibrate"
    network = weights.build()
    graph, multiple = network_graph(network), weights.spec.size_multiple
    runner = _openvino_runner(weights)
    if samples.labelled is not None:
        return quantize(graph, samples.calibration, multiple, MeanIouJudge(samples.labelled, runner), MAX_MIOU_DROP)
    judge = AgreementJudge(samples.compared, source_labels(network, samples.compared), runner)
    return quantize(graph, samples.calibration, multiple, judge, MAX_DISAGREEMENT)


def deploy_int8(weights: Weights, samples: ExportSamples, target: Target) -> tuple[Quantized, Deployment]:
    """Quantize a network as ``quantize_weights`` does, and keep its model file as ``deploy`` does."""
    quantized = quantize_weights(weights, samples)
    model = model_of(weights, quantized.network, "int8", quantized.to_json())
    return quantized, deploy(model, weights.build(), target, samples.compared)


def keep_int8(source: Path, samples: ExportSamples, place: Path) -> None:
    """Make the INT8 model file of a weights file in ``place``, unless it lies there already; raises as ``deploy_int8``.

    The file says which weights it was made of, and by which data it was calibrated and judged.
    """
    origin = {"made_from_sha256": file_checksum(source), "quantized_by": samples.name}
    if place.is_file():
        found = read_onnx_file(place).metadata.training
        if all(found.get(key) == value for key, value in origin.items()):
            return
    weights = read_weights(source)
    place.parent.mkdir(parents=True, exist_ok=True)
    marked = replace(weights, training={**weights.training, **origin})
    deploy_int8(marked, samples, Target(place, "onnx"))


def _openvino_runner(weights: Weights) -> Runner:
    def run(graph: onnx.ModelProto) -> Labeller:
        engine = open_engine(model_of(weights, graph, "int8"), precision="fp32", in_flight=1, threads=None)

        def label(image: Image) -> NDArray[np.uint8]:
            labels: NDArray[np.uint8] = engine.submit(image[None]).labels()[0]
            return labels

        return label

    return run
