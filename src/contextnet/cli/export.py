"""``contextnet export``: make a model file of weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from rich.table import Table
from typer import Argument, Option

from contextnet.cli.optional import require_torch
from contextnet.cli.options import JsonFlag, parse_size
from contextnet.errors import ContextNetError
from contextnet.weights.catalogue import find_weights

if TYPE_CHECKING:
    from contextnet.compression.quantization import Quantized
    from contextnet.export.deployment import Deployment
    from contextnet.export.samples import ExportSamples
    from contextnet.labels import LabelSet


def export(
    weights: Annotated[str, Argument(help="A shipped network or a weights file.")],
    format_: Annotated[
        Literal["onnx", "openvino"], Option("--format", help="onnx runs everywhere; openvino is its own format.")
    ] = "onnx",
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], Option(help="fp16 halves the file, int8 quarters it and is fastest on a CPU.")
    ] = "fp32",
    size: Annotated[str, Option(metavar="HEIGHTxWIDTH|dynamic", help="One image size, or every size.")] = "dynamic",
    output: Annotated[
        Path | None, Option(metavar="FILE", help="NAME-PRECISION.onnx (or .xml) here, if not given.")
    ] = None,
    images: Annotated[
        list[Path] | None, Option(help="Images to calibrate and compare on: files and folders of them.")
    ] = None,
    data: Annotated[
        str | None, Option(metavar="KIND:ROOT", help="A data set instead: its train calibrates, its val compares.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a model file of a network: uint8 images in, labels and scores out, for OpenVINO and ONNX Runtime.

    The file is compared with its source on the images given, or on drawn streets, and kept only if the labels agree.
    """
    require_torch("export", extra="export")
    from contextnet.compression.post_training import deploy_int8
    from contextnet.export.deployment import FORMATS, Target, deploy, model_of, require_target
    from contextnet.export.network_graph import network_graph
    from contextnet.models.storage import read_weights

    source = find_weights(weights)
    path = output or Path(f"{source.stem}-{precision}{FORMATS[format_][0]}")
    target = Target(path, format_, None if size == "dynamic" else parse_size(size))
    require_target(target)
    weights_read = read_weights(source)
    samples = _samples(images, data, weights_read.labels, precision)
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    console.print(f"comparing with {weights} on {len(samples.compared)} images of {samples.name}")
    quantized = None
    if samples.calibration is not None:
        console.print(f"quantizing, calibrated on {len(samples.calibration)} images")
        quantized, deployment = deploy_int8(weights_read, samples, target)
    else:
        network = weights_read.build()
        model = model_of(weights_read, network_graph(network, precision), precision)
        deployment = deploy(model, network, target, samples.compared)
    if as_json:
        print(json.dumps(_facts(deployment, quantized, samples), indent=2))  # noqa: T201
    else:
        _print(deployment, quantized, samples)


def _samples(images: list[Path] | None, data: str | None, labels: LabelSet, precision: str) -> ExportSamples:
    from contextnet.export.samples import drawn_samples, samples_of_data, samples_of_images

    if images and data:
        raise ContextNetError("--images and --data: give one of them")
    calibrates = precision == "int8"
    if data:
        return samples_of_data(data, labels, calibrates=calibrates)
    if images:
        return samples_of_images(images, calibrates=calibrates)
    if calibrates:
        raise ContextNetError(
            "INT8 needs images to measure its ranges on: give --images FOLDER, with pictures of your camera, or "
            "--data KIND:ROOT"
        )
    return drawn_samples()


def _facts(deployment: Deployment, quantized: Quantized | None, samples: ExportSamples) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "files": [str(file) for file in deployment.files],
        "file_bytes": deployment.file_bytes,
        "compared_on": samples.name,
        "parity": [asdict(parity) for parity in deployment.parities],
    }
    if quantized:
        facts["quantization"] = quantized.to_json()
    return facts


def _print(deployment: Deployment, quantized: Quantized | None, samples: ExportSamples) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    table = Table("engine", "computes in", "equal labels", "at least", "images", box=None)
    for parity in deployment.parities:
        share, least = f"{parity.equal_share:.4%}", f"{parity.tolerance:.2%}"
        table.add_row(parity.engine, parity.precision, share, least, str(parity.images))
    console.print(table)
    for parity in deployment.parities:
        if not parity.is_within:
            console.print(f"{parity.engine} computes in {parity.precision} here unless precision fp32 is asked for")
    if quantized:
        kept = ", ".join(quantized.kept_in_float) or "none"
        change = f"{100 * quantized.quality_before:.2f} % -> {100 * quantized.quality:.2f} %"
        console.print(f"INT8: {quantized.measure} {change}; layers kept in float: {kept}")
    compared = f"compared on {samples.name}"
    if quantized and samples.labelled is None:
        compared += "; --data KIND:ROOT, with masks, judges INT8 by its mIoU"
    console.print(compared)
    console.print(f"{', '.join(map(str, deployment.files))}: {deployment.file_bytes / 1e6:.2f} MB")
