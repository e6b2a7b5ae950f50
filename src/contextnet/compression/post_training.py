"""Quantizing a network for deployment: calibrated and judged on given images, run as its user will run it."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from contextnet.compression.judges import AgreementJudge, MeanIouJudge, Runner
from contextnet.compression.quantization import Quantized, quantize
from contextnet.export.deployment import model_of, source_labels
from contextnet.export.network_graph import network_graph
from contextnet.export.parity import Image, Labeller
from contextnet.export.samples import ExportSamples
from contextnet.models.storage import Weights
from contextnet.runtime.engines.openvino import open_engine

MAX_MIOU_DROP, MAX_DISAGREEMENT = 0.005, 0.02
"""What INT8 may cost: mIoU where there are masks, otherwise the share of pixels with another label."""


def quantize_weights(weights: Weights, samples: ExportSamples) -> Quantized:
    """Quantize a network with the ranges of ``samples.calibration``.

    It is judged by its mIoU on ``samples.labelled``, or where there are no masks by how many pixels of
    ``samples.compared`` get the source's label. Raises ``ExportError`` when INT8 costs too much.
    """
    network = weights.build()
    graph, multiple = network_graph(network), weights.spec.size_multiple
    runner = _openvino_runner(weights)
    if samples.labelled is not None:
        return quantize(graph, samples.calibration, multiple, MeanIouJudge(samples.labelled, runner), MAX_MIOU_DROP)
    judge = AgreementJudge(samples.compared, source_labels(network, samples.compared), runner)
    return quantize(graph, samples.calibration, multiple, judge, MAX_DISAGREEMENT)


def _openvino_runner(weights: Weights) -> Runner:
    def run(graph: onnx.ModelProto) -> Labeller:
        engine = open_engine(model_of(weights, graph, "int8"), precision="fp32", in_flight=1, threads=None)

        def label(image: Image) -> NDArray[np.uint8]:
            labels: NDArray[np.uint8] = engine.submit(image[None]).labels()[0]
            return labels

        return label

    return run
