"""What an exported ONNX graph is made of, so that whatever else a file holds is refused before an engine sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 19, 9
"""The versions that every export writes, of ONNX's own operators and of its file format."""

_SIZES = {"Shape", "Neg", "Mod", "Concat", "Pad", "Slice", "Cast"}
_LAYERS = {"Reshape", "Transpose", "Conv", "Clip", "Add", "Resize", "ArgMax"}
_PYRAMID_POOLING = {"MatMul", "Gather", "Mul", "Div", "Sub", "Range", "GreaterOrEqual", "Less", "And"}
_BASELINES = {"ConvTranspose", "Relu", "PRelu", "MaxPool", "Identity"}
_CHOOSING_POOL = {"Equal", "Not", "Or", "DepthToSpace"}
_INT8 = {"QuantizeLinear", "DequantizeLinear"}
OPERATORS = frozenset(_SIZES | _LAYERS | _PYRAMID_POOLING | _BASELINES | _CHOOSING_POOL | _INT8)
_ATTRIBUTE_FIELDS = frozenset({"name", "type", "doc_string", "i", "ints", "s"})
"""Integers and texts. Attributes can hold tensors and graphs as well, and those other files and graphs in turn."""


def foreign_parts(model: onnx.ModelProto) -> list[str]:
    """Name what a model holds that no export writes; constants can then stand among the initializers alone."""
    return [*_foreign_versions(model), *_foreign_nodes(model.graph), *_foreign_sections(model)]


def _foreign_versions(model: onnx.ModelProto) -> Iterator[str]:
    if model.ir_version != IR_VERSION:
        yield f"IR version {model.ir_version} in place of {IR_VERSION}"
    opsets = [(opset.domain, opset.version) for opset in model.opset_import]
    if opsets != [("", OPSET)]:
        found = " and ".join(f"{domain} {version}".strip() for domain, version in opsets) or "none"
        yield f"opset {found} in place of {OPSET}"


def _foreign_nodes(graph: onnx.GraphProto) -> Iterator[str]:
    yield from sorted({f"operators of '{node.domain}'" for node in graph.node if node.domain})
    unknown = {node.op_type for node in graph.node if not node.domain} - OPERATORS
    if unknown:
        yield f"operators {', '.join(sorted(unknown))}"
    attributes = [(node, attribute) for node in graph.node for attribute in node.attribute]
    strange = {f"{node.op_type}.{attribute.name}" for node, attribute in attributes if not _is_plain(attribute)}
    if strange:
        yield f"attributes {', '.join(sorted(strange))}, which are neither integers nor texts"


def _is_plain(attribute: onnx.AttributeProto) -> bool:
    plain = {attribute.INT, attribute.INTS, attribute.STRING}
    return attribute.type in plain and {field.name for field, _ in attribute.ListFields()} <= _ATTRIBUTE_FIELDS


def _foreign_sections(model: onnx.ModelProto) -> Iterator[str]:
    sections = {
        "functions": model.functions,
        "training information": model.training_info,
        "sparse tensors": model.graph.sparse_initializer,
    }
    for name, content in sections.items():
        if content:
            yield name
