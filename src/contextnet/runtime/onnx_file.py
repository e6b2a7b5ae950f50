"""The model file: one network, ready to run, as one ONNX file. Never imports PyTorch.

Input ``image`` uint8 (N, H, W, 3) RGB. Outputs ``labels`` uint8 (N, H, W) train ids at the image's size, and
``scores`` float32 (N, C, H' / S, W' / S) of the image padded at the bottom and the right to the spec's multiple, S the
spec's output stride. The metadata is that of ``ModelMetadata``, and ``checksum``: the SHA-256 over all else that the
file holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from contextnet.errors import DamagedError, ModelFileError
from contextnet.files import write_atomically
from contextnet.runtime.model_bytes import read_model_bytes
from contextnet.runtime.model_metadata import ModelMetadata
from contextnet.runtime.onnx_graph import keep_output
from contextnet.runtime.onnx_vocabulary import foreign_parts

if TYPE_CHECKING:
    import onnx

SUFFIX = ".onnx"
IMAGE, LABELS, SCORES = "image", "labels", "scores"


@dataclass(frozen=True)
class End:
    """An input or an output of a graph: its name, its elements' type in NumPy's words, its sizes, None for any."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} ({', '.join('?' if size is None else str(size) for size in self.shape)})"


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
    for key, text in {**texts, "checksum": _checksum(marked, texts)}.items():
        marked.metadata_props.add(key=key, value=text)
    payload = marked.SerializeToString(deterministic=True)

    def write(file: BinaryIO) -> None:
        file.write(payload)

    write_atomically(path, write)


def read_onnx_file(path: Path) -> OnnxFile:
    """Read a model file of this project, held against its checksum; no other file that it may name is opened.

    Raises ``DamagedError`` when its bytes are not those that were written, ``ModelFileError`` when it is missing, not
    ONNX, of another project, keeps tensors in other files, or holds what no export writes; both name the file.
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
    if foreign := foreign_parts(model):
        raise ModelFileError.at(path, f"holds {', '.join(foreign)}", "export the network anew")
    inputs, outputs = ([_end(value) for value in values] for values in (model.graph.input, model.graph.output))
    require_ends(path, inputs, outputs, metadata.spec.num_classes)
    return OnnxFile(model, metadata)


def require_ends(path: Path, inputs: Sequence[End], outputs: Sequence[End], num_classes: int) -> None:
    """Raise ``ModelFileError`` unless a graph, of whatever format, reads and gives what a model file does.

    Any number of images; their height and width are both free or both fixed.
    """
    image = End(IMAGE, "uint8", (None, None, None, 3))
    labels = End(LABELS, "uint8", (None, None, None))
    scores = End(SCORES, "float32", (None, num_classes, None, None))
    known = {end.name: end for end in (*inputs, *outputs)}
    names = [end.name for end in inputs], sorted(end.name for end in outputs)
    fits = names == ([IMAGE], [LABELS, SCORES]) and all(_fits(known[end.name], end) for end in (image, labels, scores))
    if not fits or known[IMAGE].shape.count(None) not in {1, 3}:
        found = f"reads {_listed(inputs)} and gives {_listed(outputs)}; expected {image} and {labels}, {scores}"
        raise ModelFileError.at(path, found, "export the network anew")


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
    """Look for constants whose values lie in other files."""
    from onnx.external_data_helper import uses_external_data

    return any(uses_external_data(tensor) for tensor in model.graph.initializer)


def _end(value: onnx.ValueInfoProto) -> End:
    from onnx.helper import tensor_dtype_to_np_dtype

    tensor = value.type.tensor_type
    try:
        dtype = str(tensor_dtype_to_np_dtype(tensor.elem_type))
    except KeyError:
        dtype = f"type {tensor.elem_type}"
    return End(value.name, dtype, tuple(dim.dim_value or None for dim in tensor.shape.dim))


def _fits(end: End, expected: End) -> bool:
    """Tell whether type and rank are as expected, every fixed size is the right one, and any number of images goes."""
    if (end.dtype, len(end.shape), end.shape[:1]) != (expected.dtype, len(expected.shape), (None,)):
        return False
    return all(right is None or size == right for size, right in zip(end.shape, expected.shape, strict=True))


def _listed(ends: Sequence[End]) -> str:
    return ", ".join(map(str, ends)) or "nothing"


def _checksum(model: onnx.ModelProto, texts: Mapping[str, str]) -> str:
    """Hash a model that has no metadata, and the metadata's texts."""
    digest = hashlib.sha256(model.SerializeToString(deterministic=True))
    for key, text in sorted(texts.items()):
        digest.update(f"{key}={text}|".encode())
    return digest.hexdigest()
