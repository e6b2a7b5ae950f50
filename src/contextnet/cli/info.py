"""``contextnet info``: what a network costs and how it is built."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer import Argument, Option

from contextnet.cli.optional import require_torch
from contextnet.cli.options import JsonFlag, parse_size
from contextnet.errors import ContextNetError, WeightsError
from contextnet.network_spec import NETWORKS, NetworkSpec, named_spec, spec_from_json
from contextnet.spec import ContextNetSpec


def info(
    name: Annotated[
        str,
        Argument(help=f"A network by its name ({', '.join(NETWORKS)}), a shipped network or a weights file."),
    ],
    size: Annotated[str, Option(help="Image size, HEIGHTxWIDTH.")] = "1024x2048",
    classes: Annotated[int, Option(help="Number of classes of a network by its name.")] = 19,
    width: Annotated[float, Option(help="Width multiplier of ContextNet's variants.")] = 1.0,
    pyramid_pooling: Annotated[
        bool, Option("--pyramid-pooling", help="Add pyramid pooling to a variant of ContextNet.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Print parameters, multiply-adds, activation memory, layers and, of ContextNet, the receptive field."""
    size_hw = parse_size(size)
    spec: NetworkSpec
    if name in NETWORKS:
        spec = named_spec(name, classes, width=width, pyramid_pooling=pyramid_pooling)
    elif classes != 19 or width != 1 or pyramid_pooling:
        raise ContextNetError(
            f"'{name}' is no network's own name ({', '.join(NETWORKS)}), and --classes, --width and --pyramid-pooling "
            "change those only; leave them out"
        )
    else:
        spec = _spec_of_weights(name)
    facts = describe(spec, size_hw)
    if as_json:
        print(json.dumps(facts, indent=2))  # noqa: T201
    else:
        _print(facts)


def describe(spec: NetworkSpec, size_hw: tuple[int, int]) -> dict[str, Any]:
    """Gather what is known of a network for one image size, as plain JSON values."""
    require_torch("info")
    from contextnet.models.cost import measure_cost
    from contextnet.models.layer_table import layer_table
    from contextnet.models.module_table import module_table
    from contextnet.models.receptive_field import receptive_field

    cost = measure_cost(spec, size_hw)
    rows = layer_table(spec, size_hw) if isinstance(spec, ContextNetSpec) else module_table(spec, size_hw)
    return {
        "name": spec.name,
        "classes": spec.num_classes,
        "size_hw": list(size_hw),
        "parameters": cost.parameters,
        "parameters_folded": cost.parameters_folded,
        "macs": cost.macs,
        "peak_activation_mb": round(cost.peak_activation_bytes / 1e6, 3),
        "receptive_field": asdict(receptive_field(spec)) if isinstance(spec, ContextNetSpec) else None,
        "size_multiple": spec.size_multiple,
        "layers": [asdict(row) for row in rows],
        "spec": spec.to_json(),
    }


def _spec_of_weights(name: str) -> NetworkSpec:
    from contextnet.weights.catalogue import find_weights, summarize_weights

    try:
        path = find_weights(name)
    except WeightsError as error:
        raise WeightsError(f"{error}, nor a network ({', '.join(NETWORKS)})") from None
    return spec_from_json(summarize_weights(path).spec)


def _print(facts: dict[str, Any]) -> None:
    console = Console(highlight=False)
    height, width = facts["size_hw"]
    field = facts["receptive_field"]
    console.print(f"[bold]{escape(facts['name'])}[/bold], {facts['classes']} classes, image {height}×{width}")
    console.print(
        f"parameters            {facts['parameters']:,} ({facts['parameters_folded']:,} with batch norm folded)"
    )
    console.print(f"multiply-adds         {facts['macs'] / 1e9:.2f} G")
    console.print(f"peak activations      {facts['peak_activation_mb']:.0f} MB (float32, one image)")
    if field is not None:
        seen = [f"{branch} branch {field[branch]} px" for branch in ("context", "detail") if field[branch]]
        console.print(f"receptive field       {', '.join(seen)}{', pooled over the image' if field['pooled'] else ''}")
    table = Table(box=None, header_style="bold")
    for heading, justify in (("part", "left"), ("input", "right"), ("operator", "left"), ("expansion", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for heading in ("output channels", "repeats", "stride"):
        table.add_column(heading, justify="right")
    for row in facts["layers"]:
        shape = "×".join(str(n) for n in row["input_hwc"])
        expansion = "-" if row["expansion"] is None else str(row["expansion"])
        numbers = [str(row[key]) for key in ("output_channels", "repeats", "stride")]
        table.add_row(row["part"], shape, row["operator"], expansion, *numbers)
    console.print(table)
