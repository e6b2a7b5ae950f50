"""A baseline's layers as rows like those of the paper's tables: every convolution, in the order in which it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from contextnet.models.baselines.baseline import Baseline
from contextnet.models.layer_table import LayerRow
from contextnet.models.resize import pad_to_multiple
from contextnet.network_spec import BaselineSpec


def module_table(spec: BaselineSpec, size_hw: tuple[int, int]) -> tuple[LayerRow, ...]:
    """List the convolutions that an image of ``size_hw`` passes, padded as the network pads it."""
    with torch.device("meta"):
        body = Baseline(spec).eval().body
        image = torch.empty((1, 3, *size_hw))
    return convolution_rows(body, pad_to_multiple(image, spec.size_multiple))


def convolution_rows(body: nn.Module, image: Tensor) -> tuple[LayerRow, ...]:
    """List the convolutions that an image (N, C, H, W) passes, equal ones of one part in a row together.

    A part is a child of ``body``. A layer joins the row of the one that runs before it where it reads maps of the shape
    that this one gives, be they these maps or others.
    """
    passes: list[_Pass] = []

    def add(path: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        row = LayerRow(
            path.split(".", maxsplit=1)[0],
            _shape_hwc(inputs[0]),
            _operator(module),
            None,
            module.out_channels,
            1,
            int(module.stride[0]),
        )
        if passes and _follows(passes[-1], row):
            first = passes.pop().row
            row = replace(first, repeats=first.repeats + 1)
        passes.append(_Pass(row, _shape_hwc(output)))

    for path, module in body.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(partial(add, path))
    with torch.no_grad():
        body(image)
    return tuple(one.row for one in passes)


@dataclass(frozen=True)
class _Pass:
    """A row, and the height, width and feature maps that its last layer gave."""

    row: LayerRow
    output_hwc: tuple[int, int, int]


def _follows(before: _Pass, row: LayerRow) -> bool:
    """Tell whether a layer repeats the one before it: same part and operator, same maps in and out, no stride."""
    return (
        row.stride == 1
        and (before.row.part, before.row.operator, before.output_hwc) == (row.part, row.operator, row.input_hwc)
        and row.output_channels == before.row.output_channels
    )


def _shape_hwc(features: Tensor) -> tuple[int, int, int]:
    _, channels, height, width = features.shape
    return height, width, channels


def _operator(module: nn.Conv2d | nn.ConvTranspose2d) -> str:
    sides = "×".join(map(str, module.kernel_size))
    depthwise = module.groups > 1 and module.groups == module.in_channels
    kind = "ConvTranspose2d" if isinstance(module, nn.ConvTranspose2d) else "DWConv" if depthwise else "Conv2d"
    dilation = max(module.dilation)
    return f"{kind} {sides}" + (f", dilation {dilation}" if dilation > 1 else "")
