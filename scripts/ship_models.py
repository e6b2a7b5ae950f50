"""Ship a network's weights as model files too, in float32 and INT8, and say so on its card.

    python -m scripts.ship_models NAME KIND:ROOT

The data set's train split calibrates INT8 and its val split judges it; every figure on the card is measured here.
"""

from __future__ import annotations

import argparse

from contextnet.compression.post_training import quantize_weights
from contextnet.export.deployment import Deployment, Target, deploy, model_of
from contextnet.export.network_graph import network_graph
from contextnet.export.samples import samples_of_data
from contextnet.files import write_text
from contextnet.models.storage import read_weights
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
where not in INT8; labels compared on {compared} images of val. Repeat with
`contextnet export {name} --precision int8 --data {kind}:ROOT`.
"""
)


def ship(name: str, data: str) -> None:
    """Write ``NAME.onnx`` and ``NAME-int8.onnx`` beside the weights, and the section of the card."""
    path = find_weights(name)
    weights = read_weights(path)
    network = weights.build()
    samples = samples_of_data(data, weights.labels)
    quantized = quantize_weights(weights, samples)
    models = {
        name: model_of(weights, network_graph(network), "fp32"),
        f"{name}-int8": model_of(weights, quantized.network, "int8", quantized.to_json()),
    }
    exact, small = (
        deploy(model, network, Target(path.with_name(f"{stem}.onnx"), "onnx"), samples.compared)
        for stem, model in models.items()
    )
    section = SECTION.format(
        name=name,
        val=samples.name,
        kind=data.partition(":")[0],
        fp32_mb=exact.file_bytes / 1e6,
        int8_mb=small.file_bytes / 1e6,
        before=100 * quantized.quality_before,
        after=100 * quantized.quality,
        fp32_equal=_equal_in_openvino(exact),
        int8_equal=_equal_in_openvino(small),
        calibration=len(samples.calibration),
        compared=len(samples.compared),
        kept=", ".join(quantized.kept_in_float) or "none",
    )
    card = path.with_suffix(".md")
    write_text(card, card.read_text(encoding="utf-8").partition(HEADING)[0].rstrip() + "\n" + section)


def _equal_in_openvino(deployment: Deployment) -> float:
    return next(parity.equal_share for parity in deployment.parities if parity.engine == "openvino")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ship a network's weights as model files too.")
    parser.add_argument("name")
    parser.add_argument("data", metavar="KIND:ROOT")
    given = parser.parse_args()
    ship(given.name, given.data)
