"""``contextnet models``: the networks that are shipped."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from contextnet.cli.options import JsonFlag
from contextnet.runtime.onnx_file import read_onnx_file
from contextnet.weights.catalogue import find_model_file, find_weights, model_names, summarize_weights, weights_names


def models(as_json: JsonFlag = False) -> None:
    """List the shipped networks with their measured mIoU: weights train and export, model files run."""
    rows = [_weights_facts(name) for name in weights_names()] + [_model_facts(name) for name in model_names()]
    if as_json:
        print(json.dumps(rows, indent=2))  # noqa: T201
        return
    table = Table(box=None)
    for heading in ("name", "kind", "classes", "mIoU", "measured on", "size"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        miou = "-" if row["miou"] is None else f"{100 * row['miou']:.1f} %"
        classes, size = str(row["num_classes"]), f"{row['file_bytes'] / 1e6:.1f} MB"
        cells = (row["name"], row["kind"], classes, miou, row["validated_on"], size)
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(highlight=False, soft_wrap=True, markup=False)
    Console().print(table)
    for licence in dict.fromkeys(row["licence"] for row in rows if row["licence"]):
        names = [row["name"] for row in rows if row["licence"] == licence]
        console.print(f"{', '.join(dict.fromkeys(names))}: {licence}")


def _weights_facts(name: str) -> dict[str, Any]:
    values = asdict(summarize_weights(find_weights(name)))
    values.pop("spec")
    return {"kind": "weights", **values}


def _model_facts(name: str) -> dict[str, Any]:
    """Describe a model file; the mIoU of INT8 is that of its own export, if it was judged by the same split."""
    path = find_model_file(name)
    metadata = read_onnx_file(path).metadata
    training = metadata.training
    validated_on, miou = training.get("validated_on", ""), training.get("miou")
    if quantization := training.get("quantization"):
        miou = quantization["after"] if quantization["measure"] == f"mIoU on {validated_on}" else None
    return {
        "name": name,
        "kind": f"model, {metadata.precision}",
        "variant": metadata.spec.name,
        "num_classes": metadata.spec.num_classes,
        "label_set": metadata.labels.name,
        "trained_on": training.get("trained_on", ""),
        "validated_on": validated_on,
        "miou": miou,
        "file_bytes": path.stat().st_size,
        "licence": metadata.licence,
    }
