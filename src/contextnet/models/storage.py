"""Weights files: safetensors whose metadata says everything needed to rebuild and use the network.

The header's metadata has these keys, each JSON: ``spec``, ``labels``, ``normalization``, ``training`` (data, split,
mIoU, command) and ``licence``; beside them, as plain text, ``format`` (version) and ``checksum``, the SHA-256 over
tensors and metadata. Nothing here ever loads a pickle, and no network is allocated before the file's own tensors are
known to fill it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from contextnet.errors import DamagedError, WeightsError
from contextnet.files import write_atomically
from contextnet.labels import LabelSet
from contextnet.models.network import Network, build_network
from contextnet.network_spec import NetworkSpec, spec_from_json
from contextnet.spec import INPUT_SCALE

FORMAT = "contextnet-weights-1"
NORMALIZATION = {"scale": INPUT_SCALE}
MAX_HEADER_BYTES = 100_000_000
_LENGTH_BYTES = 8
_HIGHEST_PICKLE_PROTOCOL = b"\x05"
_SHOWN_COMPLAINTS = 8
_METADATA_KEYS = {"spec", "labels", "normalization", "training", "licence"}


@dataclass(frozen=True)
class Weights:
    """A network's tensors by name, with its spec, its classes, how it was trained and the licence of the data."""

    spec: NetworkSpec
    labels: LabelSet
    tensors: Mapping[str, Tensor]
    training: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""

    def build(self) -> Network:
        """Rebuild the network from its own spec, in evaluation mode.

        Raises ``WeightsError`` naming every tensor that the spec and the file do not agree on.
        """
        network = _outline(self.spec)
        _refuse_mismatch(network, self.tensors, f"weights of '{self.spec.name}'")
        # Every parameter and buffer is in the state dict, so that nothing stays uninitialized.
        network.to_empty(device="cpu")
        network.load_state_dict(dict(self.tensors), strict=True)
        return network.eval()


def write_weights(path: Path, weights: Weights) -> None:
    """Write ``weights`` atomically.

    Raises ``WeightsError`` when a tensor holds NaN or infinity, or when the parts do not belong together, so that
    the file could not be read again.
    """
    broken = [n for n, t in weights.tensors.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if broken:
        raise WeightsError(f"{path}: not written: '{broken[0]}' holds NaN or infinity")
    _refuse_other_classes(path, weights.spec, weights.labels)
    _refuse_mismatch(_outline(weights.spec), weights.tensors, f"{path}: not written")
    metadata = {
        "spec": json.dumps(weights.spec.to_json()),
        "labels": json.dumps(weights.labels.to_json()),
        "normalization": json.dumps(NORMALIZATION),
        "training": json.dumps(dict(weights.training)),
        "licence": json.dumps(weights.licence),
    }
    write_tensors(path, weights.tensors, metadata, FORMAT)


def read_weights(path: Path) -> Weights:
    """Read a weights file of this project, checked against its checksum.

    Raises ``WeightsError`` naming the file when it is missing, a pickle, damaged, or of another format.
    """
    tensors, metadata = read_tensors(path, FORMAT)
    missing = _METADATA_KEYS - metadata.keys()
    if missing:
        raise WeightsError(f"{path}: its metadata lacks {sorted(missing)}; export it anew with this version")
    values = {key: _parse(path, metadata, key) for key in sorted(_METADATA_KEYS)}
    if values["normalization"] != NORMALIZATION:
        raise WeightsError(f"{path}: normalization {metadata['normalization']}; this version expects {NORMALIZATION}")
    training, licence = values["training"], values["licence"]
    if not isinstance(training, dict) or not isinstance(licence, str):
        raise WeightsError(f"{path}: its metadata fields 'training' and 'licence' must be a JSON object and a text")
    try:
        spec = spec_from_json(values["spec"])
        labels = LabelSet.from_json(values["labels"])
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from None
    _refuse_other_classes(path, spec, labels)
    return Weights(spec, labels, tensors, training, licence)


def load_strictly(network: torch.nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load every tensor or none. Raises ``WeightsError`` naming each one that is missing, left over or unlike."""
    _refuse_mismatch(network, tensors, source)
    network.load_state_dict(dict(tensors), strict=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], file_format: str) -> None:
    """Write tensors with metadata as one checksummed safetensors file, atomically."""
    stored = {n: t.detach().cpu().contiguous() for n, t in tensors.items()}
    marked = {**metadata, "format": file_format}
    marked["checksum"] = _checksum(stored, marked)
    payload = _in_order(save_tensors(stored, marked))
    write_atomically(path, lambda file: _write(file, payload))


def read_tensors(path: Path, file_format: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what ``write_tensors`` wrote.

    Raises ``DamagedError`` when the bytes are not those that were written, ``WeightsError`` when the file is missing,
    a pickle or of another format; both name the file.
    """
    payload = _read_payload(path)
    try:
        tensors = load_tensors(payload)
        metadata = _metadata(payload)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DamagedError.at(path, f"damaged or hostile safetensors file: {error}", "fetch it again") from None
    claimed = metadata.pop("checksum", "")
    is_intact = claimed == _checksum(tensors, metadata)
    found = metadata.get("format", "none")
    # A bit may flip in the format as well: only a file that is intact, or knows no checksum, says what it is.
    if found != file_format and (is_intact or not claimed):
        raise WeightsError(f"{path}: format '{found}'; expected '{file_format}', as this project writes it")
    if not is_intact:
        raise DamagedError.at(path, "its checksum does not match its content", "the file was damaged, fetch it again")
    return tensors, metadata


def _outline(spec: NetworkSpec) -> Network:
    """Build the network on the meta device: names, shapes and dtypes without memory, whatever widths a file claims."""
    with torch.device("meta"):
        return build_network(spec)


def _refuse_mismatch(network: torch.nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    expected = network.state_dict()
    complaints = [f"'{n}' is missing" for n in expected.keys() - tensors.keys()]
    complaints += [f"'{n}' is not part of the network" for n in tensors.keys() - expected.keys()]
    for name in expected.keys() & tensors.keys():
        found, needed = tensors[name], expected[name]
        if found.shape != needed.shape:
            complaints.append(f"'{name}' has shape {tuple(found.shape)}, the network needs {tuple(needed.shape)}")
        elif (found.is_floating_point(), found.is_complex()) != (needed.is_floating_point(), needed.is_complex()):
            complaints.append(f"'{name}' has dtype {found.dtype}, the network needs {needed.dtype}")
    if complaints:
        left_off = len(complaints) - _SHOWN_COMPLAINTS
        more = f"; and {left_off} more" if left_off > 0 else ""
        raise WeightsError(f"{source}: {'; '.join(sorted(complaints)[:_SHOWN_COMPLAINTS])}{more}")


def _refuse_other_classes(path: Path, spec: NetworkSpec, labels: LabelSet) -> None:
    if spec.num_classes != labels.num_classes:
        raise WeightsError(
            f"{path}: the network scores {spec.num_classes} classes but its label set has {labels.num_classes}"
        )


def _read_payload(path: Path) -> bytes:
    """Read the whole file, unless its first bytes already show that it is something else."""
    try:
        if path.is_dir():
            raise WeightsError(f"{path}: is a folder; give the weights file in it")
        with path.open("rb") as file:
            _refuse_foreign(path, file.read(_LENGTH_BYTES + 1), os.fstat(file.fileno()).st_size)
            file.seek(0)
            return file.read()
    except OSError as error:
        if error.errno == errno.EIO:
            raise DamagedError.at(
                path, f"cannot be read: {error.strerror}", "the disk is failing, fetch it again"
            ) from None
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None


def _refuse_foreign(path: Path, start: bytes, file_bytes: int) -> None:
    """Refuse what cannot be safetensors: the header's length, then the header, a JSON object.

    The length's own bytes may well look like the mark of a pickle or an archive, so they alone prove nothing: a file
    of which the length or the brace is right was safetensors once.
    """
    if file_bytes <= _LENGTH_BYTES:
        raise DamagedError.at(path, f"{file_bytes} bytes long, no safetensors file", "fetch it again")
    header_bytes = int.from_bytes(start[:_LENGTH_BYTES], "little")
    has_length = header_bytes <= min(MAX_HEADER_BYTES, file_bytes - _LENGTH_BYTES)
    has_brace = start[_LENGTH_BYTES:] == b"{"
    if has_length and has_brace:
        return
    is_pickle = start[:1] == b"\x80" and start[1:2] <= _HIGHEST_PICKLE_PROTOCOL
    if not (has_length or has_brace) and (is_pickle or start[:2] in {b"PK", b"\x1f\x8b"}):
        raise WeightsError(f"{path}: a pickle or archive, which may run code when loaded; only safetensors is read")
    raise DamagedError.at(
        path,
        f"truncated or no safetensors file: its header would be {header_bytes} of {file_bytes} bytes and JSON",
        "fetch it again",
    )


def _in_order(payload: bytes) -> bytes:
    """Sort the header's metadata, which safetensors writes in random order: equal networks make equal files."""
    length = int.from_bytes(payload[:_LENGTH_BYTES], "little")
    header = json.loads(payload[_LENGTH_BYTES : _LENGTH_BYTES + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    # The tensors must begin at a multiple of eight bytes; spaces fill the gap, as safetensors itself does it.
    text += b" " * (-len(text) % _LENGTH_BYTES)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text + payload[_LENGTH_BYTES + length :]


def _metadata(payload: bytes) -> dict[str, str]:
    """Read the header's metadata; raises ``ValueError`` when a key stands twice anywhere in the header."""
    length = int.from_bytes(payload[:_LENGTH_BYTES], "little")
    header = json.loads(payload[_LENGTH_BYTES : _LENGTH_BYTES + length], object_pairs_hook=_unique)
    return dict(header.get("__metadata__") or {})


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"key '{name}' stands twice in the header")
        values[name] = value
    return values


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    for key, value in sorted(metadata.items()):
        digest.update(f"{key}={value}|".encode())
    return digest.hexdigest()


def _parse(path: Path, metadata: Mapping[str, str], key: str) -> Any:
    try:
        return json.loads(metadata[key])
    except (ValueError, RecursionError):
        raise WeightsError(f"{path}: its metadata field '{key}' is not JSON") from None


def _write(file: BinaryIO, payload: bytes) -> None:
    file.write(payload)
