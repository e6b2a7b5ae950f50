"""Writing an ONNX graph node by node, every value named after the layer that computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

Real = type[np.float32] | type[np.float16]


class GraphWriter:
    """Collects nodes and constants; weights and activations are of the type ``real``."""

    def __init__(self, real: Real) -> None:
        self.real = real
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    @property
    def real_type(self) -> int:
        """ONNX's number for ``real``."""
        return helper.np_dtype_to_tensor_dtype(np.dtype(self.real))

    def weights(self, name: str, values: ArrayLike) -> str:
        """Add a constant of the type ``real``."""
        return self._add(name, np.asarray(values).astype(self.real))

    def integers(self, name: str, values: ArrayLike) -> str:
        """Add a constant of int64: shapes, axes, positions."""
        return self._add(name, np.asarray(values, np.int64))

    def factors(self, name: str, values: ArrayLike) -> str:
        """Add a constant of float32: the factors of a resize, whatever the type of what is resized."""
        return self._add(name, np.asarray(values, np.float32))

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node with one output, both called ``name``, and give that name."""
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def append(self, graph: onnx.GraphProto) -> None:
        """Add the nodes and constants of a whole graph, its input and output by the names that they have."""
        self.nodes.extend(graph.node)
        for tensor in graph.initializer:
            self._add_tensor(tensor)

    def graph(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> onnx.GraphProto:
        """Close the graph."""
        return helper.make_graph(self.nodes, "contextnet", list(inputs), list(outputs), list(self._constants.values()))

    def _add(self, name: str, values: np.ndarray[Any, Any]) -> str:
        return self._add_tensor(numpy_helper.from_array(values, name))

    def _add_tensor(self, tensor: onnx.TensorProto) -> str:
        assert self._constants.setdefault(tensor.name, tensor) == tensor, f"constant '{tensor.name}' has two values"
        return tensor.name
