"""Ship a network's weights as model files too, in float32 and INT8, and say so on its card.

    python -m scripts.ship_models NAME KIND:ROOT

The data set's train split calibrates INT8 and its val split judges it; every figure on the card is measured here, that
of INT8 on a CPU without VNNI too: a process of its own is told to leave the later instructions unused.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contextnet.compression.post_training import deploy_int8
from contextnet.export.deployment import Deployment, Target, deploy, model_of, source_labels
from contextnet.export.network_graph import network_graph
from contextnet.export.parity import Image
from contextnet.export.samples import samples_of_data
from contextnet.files import write_text
from contextnet.models.storage import read_weights
from contextnet.runtime.engines.opening import open_engine
from contextnet.weights.catalogue import find_weights

HEADING = "\n## As model files\n"
SECTION = (
    HEADING
    + """
| file | weights | size | mIoU % on {val} | labels equal to those of the weights |
|---|---|--:|--:|--:|
| `{name}.onnx` | float32 | {fp32_mb:.2f} MB | {before:.2f} | {fp32_equal:.2%} |
| `{name}-int8.onnx` | INT8 | {int8_mb:.2f} MB | {after:.2f} | {int8_equal:.2%} |

{calibration} images of train calibrated INT8; layers kept in float: {kept}. Both computed in OpenVINO, in float32
where not in INT8; labels compared on {compared} images of val. On a CPU without VNNI (AVX2 alone) {avx2_equal:.2%} of
the labels of INT8 are equal. Repeat with `contextnet export {name} --precision int8 --data {data}`.
"""
)
ROOTLESS_KINDS = {"synthetic"}
"""The kinds of data that are drawn and lie in no folder."""


def ship(name: str, data: str) -> None:
    """Write ``NAME.onnx`` and ``NAME-int8.onnx`` beside the weights, and the section of the card."""
    path = find_weights(name)
    weights = read_weights(path)
    network = weights.build()
    samples = samples_of_data(data, weights.labels, calibrates=True)
    assert samples.calibration is not None
    exact = deploy(
        model_of(weights, network_graph(network), "fp32"),
        network,
        Target(path.with_suffix(".onnx"), "onnx"),
        samples.compared,
    )
    quantized, small = deploy_int8(weights, samples, Target(path.with_name(f"{name}-int8.onnx"), "onnx"))
    section = SECTION.format(
        name=name,
        val=samples.name,
        data=_repeatable(data),
        fp32_mb=exact.file_bytes / 1e6,
        int8_mb=small.file_bytes / 1e6,
        before=100 * quantized.quality_before,
        after=100 * quantized.quality,
        fp32_equal=_equal_in_openvino(exact),
        int8_equal=_equal_in_openvino(small),
        avx2_equal=_equal_with_avx2(small.files[0], samples.compared, source_labels(network, samples.compared)),
        calibration=len(samples.calibration),
        compared=len(samples.compared),
        kept=", ".join(quantized.kept_in_float) or "none",
    )
    card = path.with_suffix(".md")
    write_text(card, card.read_text(encoding="utf-8").partition(HEADING)[0].rstrip() + "\n" + section)


def _repeatable(data: str) -> str:
    """Give ``KIND:ROOT`` for others to repeat: their data lie elsewhere, but what is drawn is drawn alike."""
    kind = data.partition(":")[0]
    return data if kind in ROOTLESS_KINDS else f"{kind}:ROOT"


def _equal_in_openvino(deployment: Deployment) -> float:
    """Give the share of equal labels in float32, where not in INT8, which every CPU has."""
    return next(p.equal_share for p in deployment.parities if p.engine == "openvino" and p.precision.endswith("fp32"))


def _equal_with_avx2(file: Path, images: Sequence[Image], expected: Sequence[NDArray[np.uint8]]) -> float:
    """Give the share of equal labels as a CPU without VNNI gets it, in a process that has not loaded OpenVINO yet."""
    with ProcessPoolExecutor(1, get_context("spawn"), _leave_to_avx2) as process:
        return process.submit(_equal_share, file, images, expected).result()


def _leave_to_avx2() -> None:
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"


def _equal_share(file: Path, images: Sequence[Image], expected: Sequence[NDArray[np.uint8]]) -> float:
    with closing(open_engine(file, engine="openvino", precision="fp32").engine) as engine:
        found = [engine.submit(image[None]).labels()[0] for image in images]
    equal = sum(np.count_nonzero(a == b) for a, b in zip(found, expected, strict=True))
    return equal / sum(labels.size for labels in expected)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ship a network's weights as model files too.")
    parser.add_argument("name")
    parser.add_argument("data", metavar="KIND:ROOT")
    given = parser.parse_args()
    ship(given.name, given.data)
