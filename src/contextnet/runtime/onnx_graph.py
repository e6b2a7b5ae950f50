"""Edits on ONNX graphs: the part that one output needs, and protobuf's repeated fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def keep_output(graph: onnx.GraphProto, name: str) -> None:
    """Leave of a graph what its output ``name`` is computed from."""
    needed, kept = {name}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    replace_field(graph.node, reversed(kept))
    replace_field(graph.output, [output for output in graph.output if output.name == name])
    drop_unread_constants(graph)


def drop_unread_constants(graph: onnx.GraphProto) -> None:
    """Leave out the constants that no node reads."""
    read = {name for node in graph.node for name in node.input}
    replace_field(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in read])


def replace_field(field: Any, messages: Iterable[Any]) -> None:
    """Put messages, which may be its own, in the place of those in a repeated field."""
    copies = [type(message).FromString(message.SerializeToString()) for message in messages]
    del field[:]
    field.extend(copies)
