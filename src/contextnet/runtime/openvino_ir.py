"""The model file in OpenVINO's own format: NAME.xml, the graph, and NAME.bin beside it, the weights.

Input, outputs and metadata are those of the ONNX model file; the metadata stands in the graph's run-time information
under ``contextnet``. The last line of the .xml is a comment with the SHA-256 over what stands before it and over the
.bin, so that both are known to be as they were written before OpenVINO parses either.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO

from contextnet.errors import DamagedError, ModelFileError
from contextnet.files import write_atomically
from contextnet.runtime.model_bytes import read_model_bytes
from contextnet.runtime.model_metadata import FORMAT, ModelMetadata
from contextnet.runtime.onnx_file import End, OnnxFile, require_ends
from contextnet.runtime.openvino_package import load_openvino, openvino_core

if TYPE_CHECKING:
    from openvino import Model, Output  # type: ignore[import-untyped]

SUFFIX, WEIGHTS_SUFFIX = ".xml", ".bin"
_REMEDY = "a model is two files, NAME.xml and NAME.bin, side by side"
_KEY = "contextnet"
_CHECKSUM = "<!-- contextnet sha256:{} -->\n"
_ELEMENT_TYPES = {"u8": "uint8", "f32": "float32"}
_CHECKSUM_LINE = re.compile(rb"<!-- contextnet sha256:([0-9a-f]{64}) -->\n\Z")


@dataclass(frozen=True, eq=False)
class IrFile:
    """A model file in OpenVINO's format: its .xml, its metadata, and both files' bytes as they passed the checksum.

    ``size_hw`` is the height and width of the images that the graph reads, None when it reads every size.
    """

    path: Path
    metadata: ModelMetadata
    size_hw: tuple[int, int] | None
    xml: bytes = field(repr=False)
    weights: bytes = field(repr=False)


def write_openvino_ir(path: Path, model: OnnxFile) -> None:
    """Convert a model file into OpenVINO's format, its weights as precise as before; ``path`` ends in .xml.

    Both files are written, or both stay as they were. Raises ``MissingDependencyError`` without OpenVINO,
    ``ModelFileError`` when it cannot convert the graph, ``ContextNetError`` naming the file that cannot be written.
    """
    if path.suffix != SUFFIX:
        raise ModelFileError.at(path, "is no name for OpenVINO's format", f"give one that ends in {SUFFIX}")
    xml, weights = _convert(path, model)
    weights_path = path.with_suffix(WEIGHTS_SUFFIX)
    with ExitStack() as until_renamed:

        def write_both(file: BinaryIO) -> None:
            # The weights follow when the graph lacks nothing but its name: what can fail after them is one rename.
            file.write(xml + _CHECKSUM.format(_checksum(xml, weights)).encode())
            file.flush()
            os.fsync(file.fileno())
            until_renamed.enter_context(_restored_on_failure(weights_path))
            write_atomically(weights_path, lambda weights_file: _write(weights_file, weights))

        write_atomically(path, write_both)


def read_openvino_ir(path: Path) -> IrFile:
    """Read a model file of this project in OpenVINO's format, held against its checksum before anything is parsed.

    Raises ``DamagedError`` when the bytes are not those that were written, ``ModelFileError`` when one of the two
    files is missing, they are of another project, or the graph has other ends; ``MissingDependencyError`` without
    OpenVINO.
    """
    marked = read_model_bytes(path, _REMEDY)
    line = _CHECKSUM_LINE.search(marked)
    if line is None:
        if FORMAT.encode() in marked:
            raise DamagedError.at(path, "its last line, the checksum, is missing", "fetch it and its .bin again")
        found = "is not OpenVINO's format, or not a model of this project"
        raise ModelFileError.at(path, found, "make model files with 'contextnet export'")
    xml, weights = marked[: line.start()], read_model_bytes(path.with_suffix(WEIGHTS_SUFFIX), _REMEDY)
    if line[1].decode() != _checksum(xml, weights):
        found = f"it and its {WEIGHTS_SUFFIX} do not match their checksum"
        raise DamagedError.at(path, found, "one was damaged or belongs to another model, fetch both again")
    try:
        graph = openvino_core().read_model(xml, weights)
    except RuntimeError as error:
        found = f"OpenVINO cannot read it: {_reason(error)}"
        raise ModelFileError.at(path, found, "export the network anew") from error
    metadata = ModelMetadata.from_texts(path, _texts(graph))
    inputs, outputs = ([_end(value) for value in values] for values in (graph.inputs, graph.outputs))
    require_ends(path, inputs, outputs, metadata.spec.num_classes)
    _, height, width, _ = inputs[0].shape
    return IrFile(path, metadata, (height, width) if height and width else None, xml, weights)


def _convert(path: Path, model: OnnxFile) -> tuple[bytes, bytes]:
    """Give the contents of both files, without the checksum."""
    openvino = load_openvino()
    try:
        graph = openvino_core().read_model(model.graph.SerializeToString())
        for key, text in model.metadata.to_texts().items():
            graph.set_rt_info(text, [_KEY, key])
        with TemporaryDirectory() as folder:
            xml = Path(folder) / f"model{SUFFIX}"
            openvino.save_model(graph, xml, compress_to_fp16=False)
            return xml.read_bytes(), xml.with_suffix(WEIGHTS_SUFFIX).read_bytes()
    except (RuntimeError, OSError) as error:
        found = f"cannot be made: {_reason(error)}"
        raise ModelFileError.at(path, found, "check the network and the space for temporary files") from error


def _texts(graph: Model) -> dict[str, str]:
    """Give the metadata's texts by key, none where there are none."""
    texts = graph.get_rt_info([_KEY]).value if graph.has_rt_info([_KEY]) else {}
    return {key: text for key, text in texts.items() if isinstance(text, str)} if isinstance(texts, dict) else {}


def _end(value: Output) -> End:
    element = value.get_element_type().get_type_name()
    shape = value.get_partial_shape()
    sizes = [size.get_length() if size.is_static else None for size in shape] if shape.rank.is_static else []
    return End(", ".join(sorted(value.get_names())), _ELEMENT_TYPES.get(element, element), tuple(sizes))


@contextmanager
def _restored_on_failure(path: Path) -> Iterator[None]:
    """Set a file aside while another is written in its place; it comes back when the block fails."""
    aside = path.with_name(f".{path.name[:64]}.{secrets.token_hex(4)}.old")
    was_there = path.is_file()
    if was_there:
        path.replace(aside)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            if was_there:
                aside.replace(path)
            else:
                path.unlink(missing_ok=True)
        raise
    if was_there:
        with suppress(OSError):
            aside.unlink()


def _checksum(xml: bytes, weights: bytes) -> str:
    digest = hashlib.sha256(f"{len(xml)}|".encode())
    digest.update(xml)
    digest.update(weights)
    return digest.hexdigest()


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())
