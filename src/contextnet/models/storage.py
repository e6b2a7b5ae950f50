"""Weights files: safetensors whose metadata says everything needed to rebuild and use the network.

The header's metadata has these keys, each JSON: ``format`` (version), ``spec``, ``labels``, ``normalization``,
``training`` (data, split, mIoU, command), ``licence``, and ``checksum``, the SHA-256 over tensors and metadata. Nothing here ever loads a pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from contextnet.errors import WeightsError
from contextnet.files import write_atomically
from contextnet.labels import LabelSet
from contextnet.models.contextnet import ContextNet
from contextnet.spec import INPUT_SCALE, ContextNetSpec

FORMAT = "contextnet-weights-1"
NORMALIZATION = {"scale": INPUT_SCALE}
MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Weights:
    """A network's tensors by name, with its spec, its classes, how it was trained and the licence of the data."""

    spec: ContextNetSpec
    labels: LabelSet
    tensors: Mapping[str, Tensor]
    training: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""

    def build(self) -> ContextNet:
        """Rebuild the network from its own spec, in evaluation mode."""
        network = ContextNet(self.spec)
        load_strictly(network, self.tensors, f"weights of '{self.spec.name}'")
        return network.eval()


def write_weights(path: Path, weights: Weights) -> None:
    """Write ``weights`` atomically. Raises ``WeightsError`` when a tensor holds NaN or infinity."""
    broken = [n for n, t in weights.tensors.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if broken:
        raise WeightsError(f"{path}: not written: '{broken[0]}' holds NaN or infinity")
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
    missing = {"spec", "labels", "normalization", "training", "licence"} - metadata.keys()
    if missing:
        raise WeightsError(f"{path}: its metadata lacks {sorted(missing)}; export it anew with this version")
    if _parse(path, metadata, "normalization") != NORMALIZATION:
        raise WeightsError(f"{path}: normalization {metadata['normalization']}; this version expects {NORMALIZATION}")
    try:
        spec = ContextNetSpec.from_json(_parse(path, metadata, "spec"))
        labels = LabelSet.from_json(_parse(path, metadata, "labels"))
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from None
    if spec.num_classes != labels.num_classes:
        raise WeightsError(
            f"{path}: the network scores {spec.num_classes} classes but its label set has {labels.num_classes}"
        )
    return Weights(spec, labels, tensors, _parse(path, metadata, "training"), str(_parse(path, metadata, "licence")))


def load_strictly(network: torch.nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load every tensor or none. Raises ``WeightsError`` naming each key that is missing, left over or misshapen."""
    expected = network.state_dict()
    complaints = [f"'{n}' is missing" for n in expected.keys() - tensors.keys()]
    complaints += [f"'{n}' is not part of the network" for n in tensors.keys() - expected.keys()]
    complaints += [
        f"'{n}' has shape {tuple(tensors[n].shape)}, the network needs {tuple(expected[n].shape)}"
        for n in expected.keys() & tensors.keys()
        if tensors[n].shape != expected[n].shape
    ]
    if complaints:
        shown = "; ".join(sorted(complaints)[:8]) + (f"; and {len(complaints) - 8} more" if len(complaints) > 8 else "")
        raise WeightsError(f"{source}: {shown}")
    network.load_state_dict(dict(tensors), strict=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], file_format: str) -> None:
    """Write tensors with metadata as one checksummed safetensors file, atomically."""
    stored = {n: t.detach().cpu().contiguous() for n, t in tensors.items()}
    marked = {**metadata, "format": file_format}
    marked["checksum"] = _checksum(stored, marked)
    payload = save_tensors(stored, marked)
    write_atomically(path, lambda file: _write(file, payload))


def read_tensors(path: Path, file_format: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what ``write_tensors`` wrote; raises ``WeightsError`` naming the file and what is wrong with it."""
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    _refuse_foreign(path, payload)
    try:
        tensors = load_tensors(payload)
        metadata = _metadata(payload)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged or hostile safetensors file: {error}") from None
    if metadata.get("format") != file_format:
        raise WeightsError(
            f"{path}: format '{metadata.get('format', 'none')}'; expected '{file_format}', as this project writes it"
        )
    claimed = metadata.pop("checksum", "")
    if claimed != _checksum(tensors, metadata):
        raise WeightsError(f"{path}: its checksum does not match its content; the file was damaged, fetch it again")
    return tensors, metadata


def _refuse_foreign(path: Path, payload: bytes) -> None:
    if len(payload) < 8:
        raise WeightsError(f"{path}: {len(payload)} bytes long, no safetensors file")
    if payload[:2] in {b"PK", b"\x1f\x8b"} or payload[:1] == b"\x80":
        raise WeightsError(f"{path}: a pickle or archive, which may run code when loaded; only safetensors is read")
    header = int.from_bytes(payload[:8], "little")
    if header > min(MAX_HEADER_BYTES, len(payload) - 8):
        raise WeightsError(f"{path}: its header claims {header} bytes of {len(payload)}; truncated or not safetensors")


def _metadata(payload: bytes) -> dict[str, str]:
    length = int.from_bytes(payload[:8], "little")
    header = json.loads(payload[8 : 8 + length])
    return cast("dict[str, str]", header.get("__metadata__", {}))


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
    except json.JSONDecodeError:
        raise WeightsError(f"{path}: its metadata field '{key}' is not JSON") from None


def _write(file: Any, payload: bytes) -> None:
    file.write(payload)
