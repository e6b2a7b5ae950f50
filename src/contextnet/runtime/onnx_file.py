"""The model file: one network, ready to run, as one ONNX file. Never imports PyTorch.

Input ``image`` uint8 (N, H, W, 3) RGB. Outputs ``labels`` uint8 (N, H, W) train ids at the image's size, and
``scores`` float32 (N, C, H' / 8, W' / 8) of the image padded at the bottom and the right to the spec's multiple. The
metadata is that of ``ModelMetadata``, and ``checksum``: the SHA-256 over the graph and the rest of the metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from contextnet.errors import DamagedError, ModelFileError
from contextnet.files import write_atomically
from contextnet.runtime.model_bytes import read_model_bytes
from contextnet.runtime.model_metadata import ModelMetadata
from contextnet.runtime.onnx_graph import keep_output

if TYPE_CHECKING:
    import onnx

SUFFIX = ".onnx"
IMAGE, LABELS, SCORES = "image", "labels", "scores"


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A graph, an ONNX model without metadata, and what is known of it."""

    graph: onnx.ModelProto
    metadata: ModelMetadata

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """Height and width of the images that the graph reads, or None when it reads every size."""
        _, height, width, _ = self.graph.graph.input[0].type.tensor_type.shape.dim
        return (height.dim_value, width.dim_value) if height.dim_value and width.dim_value else None

    def scoring(self) -> bytes:
        """Give the graph as ONNX bytes with ``scores`` as its only output, so that no engine makes the labels too."""
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self.graph)
        keep_output(model.graph, SCORES)
        payload: bytes = model.SerializeToString()
        return payload


def write_onnx_file(path: Path, model: OnnxFile) -> None:
    """Write a model file atomically. Raises ``ContextNetError`` naming it when it cannot be written."""
    import onnx

    marked = onnx.ModelProto()
    marked.CopyFrom(model.graph)
    texts = model.metadata.to_texts()
    for key, text in {**texts, "checksum": _checksum(model.graph, texts)}.items():
        marked.metadata_props.add(key=key, value=text)
    payload = marked.SerializeToString(deterministic=True)

    def write(file: BinaryIO) -> None:
        file.write(payload)

    write_atomically(path, write)


def read_onnx_file(path: Path) -> OnnxFile:
    """Read a model file of this project, held against its checksum; no other file that it may name is opened.

    Raises ``DamagedError`` when its bytes are not those that were written, ``ModelFileError`` when it is missing, not
    ONNX, of another project, or keeps tensors in other files; both name the file.
    """
    model = _parse(path, read_model_bytes(path, "check the path and its permissions"))
    texts = {entry.key: entry.value for entry in model.metadata_props}
    del model.metadata_props[:]
    if _keeps_tensors_elsewhere(model):
        raise ModelFileError.at(path, "keeps its tensors in other files", "a model file is one file, export it anew")
    claimed = texts.pop("checksum", None)
    if claimed is not None and claimed != _checksum(model, texts):
        raise DamagedError.at(path, "its checksum does not match its content", "the file was damaged, fetch it again")
    metadata = ModelMetadata.from_texts(path, texts)
    if claimed is None:
        raise DamagedError.at(path, "its metadata lacks the checksum", "the file was altered, fetch it again")
    if foreign := _foreign_parts(model):
        raise ModelFileError.at(path, f"holds {', '.join(foreign)}", "export the network anew")
    return OnnxFile(model, metadata)


def _parse(path: Path, payload: bytes) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(payload)
    except DecodeError:
        raise DamagedError.at(path, "damaged or no ONNX model", "fetch it again") from None
    if not model.graph.node:
        raise ModelFileError.at(path, "is no ONNX model, or an empty one", "make it with 'contextnet export'")
    return model


def _keeps_tensors_elsewhere(model: onnx.ModelProto) -> bool:
    """Look for tensors whose values lie in other files, among the weights and inside the nodes."""
    from onnx.external_data_helper import uses_external_data

    inside = [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    return any(uses_external_data(tensor) for tensor in (*model.graph.initializer, *inside))


def _foreign_parts(model: onnx.ModelProto) -> list[str]:
    """Name what no graph of this project has, and through which one could reach further than its nodes show."""
    graph = model.graph
    found = sorted({f"operators of '{node.domain}'" for node in graph.node if node.domain})
    found += ["functions"] * bool(model.functions) + ["sparse tensors"] * bool(graph.sparse_initializer)
    nested = any(a.HasField("g") or a.graphs for node in graph.node for a in node.attribute)
    inputs, outputs = [value.name for value in graph.input], {value.name for value in graph.output}
    found += ["graphs inside graphs"] * nested
    if inputs != [IMAGE] or outputs != {LABELS, SCORES}:
        found.append(f"inputs {', '.join(inputs)} and outputs {', '.join(sorted(outputs))}")
    return found


def _checksum(model: onnx.ModelProto, texts: Mapping[str, str]) -> str:
    digest = hashlib.sha256(model.graph.SerializeToString(deterministic=True))
    for key, text in sorted(texts.items()):
        digest.update(f"{key}={text}|".encode())
    return digest.hexdigest()
