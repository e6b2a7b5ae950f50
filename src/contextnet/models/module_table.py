"""A baseline's layers as rows like those of the paper's tables: every convolution, in the order in which it runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from contextnet.models.baselines.baseline import Baseline
from contextnet.models.layer_table import LayerRow
from contextnet.network_spec import BaselineSpec


def module_table(spec: BaselineSpec, size_hw: tuple[int, int]) -> tuple[LayerRow, ...]:
    """List the convolutions that an image of ``size_hw`` passes, equal ones of one part in a row together."""
    with torch.device("meta"):
        network = Baseline(spec).eval()
        image = torch.empty((1, 3, *size_hw))
    rows: list[LayerRow] = []

    def add(name: str, module: nn.Conv2d | nn.ConvTranspose2d, features: Tensor) -> None:
        _, channels, height, width = features.shape
        row = LayerRow(
            name.split(".")[1],
            (height, width, channels),
            _operator(module),
            None,
            module.out_channels,
            1,
            _stride(module),
        )
        if rows and _follows(rows[-1], row):
            first = rows.pop()
            row = LayerRow(**{**vars(first), "repeats": first.repeats + 1})
        rows.append(row)

    def hook(name: str) -> Any:
        return lambda module, inputs: add(name, module, inputs[0])

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_pre_hook(hook(name))
    with torch.no_grad():
        network(image)
    return tuple(rows)


def _stride(module: nn.Conv2d | nn.ConvTranspose2d) -> int:
    return int(module.stride[0])


def _follows(first: LayerRow, row: LayerRow) -> bool:
    """Tell whether a layer repeats the one before it: same part and operator, same maps in and out, no stride."""
    h, w, _ = first.input_hwc
    once = (first.part, first.operator, (h // first.stride, w // first.stride, first.output_channels))
    return (
        row.stride == 1
        and once == (row.part, row.operator, row.input_hwc)
        and (row.output_channels == first.output_channels)
    )


def _operator(module: nn.Conv2d | nn.ConvTranspose2d) -> str:
    sides = "×".join(map(str, module.kernel_size))
    depthwise = module.groups > 1 and module.groups == module.in_channels
    kind = "ConvTranspose2d" if isinstance(module, nn.ConvTranspose2d) else "DWConv" if depthwise else "Conv2d"
    dilation = max(module.dilation)
    return f"{kind} {sides}" + (f", dilation {dilation}" if dilation > 1 else "")
