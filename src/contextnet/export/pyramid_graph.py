"""Pyramid pooling as ONNX nodes, for every size; follows ``models/pyramid.py``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contextnet.export.graph_writer import GraphWriter
from contextnet.export.layers import Layers, resize


def pyramid_pooling(layers: Layers, name: str, features: str, bins: Sequence[int]) -> str:
    """Average (N, C, H, W) over grids of several sizes and mix the averages back in."""
    writer = layers.writer
    size = writer.node("Shape", [features], f"{name}.size", start=2, end=4)
    stack = [features]
    for index, grid in enumerate(bins):
        pooled = average_over_grid(writer, features, size, grid, f"{name}.grid{index}")
        reduced = layers.conv_unit(pooled, f"{name}.reduce.{index}")
        batch = writer.node("Shape", [reduced], f"{reduced}.batch", start=0, end=2)
        whole = writer.node("Concat", [batch, size], f"{reduced}.size", axis=0)
        stack.append(resize(writer, [reduced, "", "", whole], f"{reduced}.raised"))
    return layers.conv_unit(writer.node("Concat", stack, f"{name}.stack", axis=1), f"{name}.mix")


def average_over_grid(writer: GraphWriter, features: str, size: str, grid: int, name: str) -> str:
    """Average (N, C, H, W) over grid × grid cells, which may share a row: rows first, then columns.

    ONNX has no pooling to a given number of cells; two products with matrices of averages are one.
    """
    rows = _averages(writer, size, 0, grid, f"{name}.rows")
    columns = _averages(writer, size, 1, grid, f"{name}.columns")
    turned = writer.node("Transpose", [columns], f"{columns}.turned", perm=[1, 0])
    return writer.node("MatMul", [writer.node("MatMul", [rows, features], f"{name}.by_rows"), turned], name)


def _averages(writer: GraphWriter, size: str, axis: int, grid: int, name: str) -> str:
    """Make the matrix (grid, length) that averages: cell i covers floor(i·L / grid) to ceil((i + 1)·L / grid).

    L, the length, is the entry ``axis`` of ``size``.
    """
    cells = np.arange(grid)[:, None]
    count = writer.integers(f"grid{grid}", grid)
    length = writer.node("Gather", [size, writer.integers(f"axis{axis}", axis)], f"{name}.length")
    first = _fraction(writer, writer.integers(f"grid{grid}.cells", cells), length, count, 0, f"{name}.first")
    following = writer.integers(f"grid{grid}.following", cells + 1)
    past = _fraction(writer, following, length, count, grid - 1, f"{name}.past")
    limits = [writer.integers("zero", 0), length, writer.integers("one", 1)]
    positions = writer.node("Range", limits, f"{name}.positions")
    from_first = writer.node("GreaterOrEqual", [positions, first], f"{name}.from_first")
    before_past = writer.node("Less", [positions, past], f"{name}.before_past")
    inside = writer.node("And", [from_first, before_past], f"{name}.inside")
    covered = writer.node("Sub", [past, first], f"{name}.covered")
    reals = [writer.node("Cast", [value], f"{value}.real", to=writer.real_type) for value in (inside, covered)]
    return writer.node("Div", reals, name)


def _fraction(writer: GraphWriter, cells: str, length: str, count: str, excess: int, name: str) -> str:
    """Compute (cells · length + excess) / count, rounded down; with ``excess`` = count - 1, up."""
    scaled = writer.node("Mul", [cells, length], f"{name}.scaled")
    raised = writer.node("Add", [scaled, writer.integers(f"excess{excess}", excess)], f"{name}.raised")
    return writer.node("Div", [raised, count], name)
