"""The shipped networks: their names, where their files lie, and what their headers say. Never imports PyTorch.

A network is shipped as weights, NAME.safetensors, as a model file that is ready to run, NAME.onnx, or as both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open

from contextnet.errors import WeightsError

_FOLDER = Path(__file__).parent
_KINDS: dict[type, str] = {dict: "object", str: "text"}
_Value = TypeVar("_Value", bound=dict[str, Any] | str)


@dataclass(frozen=True)
class WeightsSummary:
    """What a weights file says of itself without being loaded; ``miou`` is 0..1 as measured when it was written.

    ``parameters`` counts batch norm's scale and shift, but not its statistics nor the auxiliary classifier.
    """

    name: str
    variant: str
    num_classes: int
    label_set: str
    trained_on: str
    validated_on: str
    parameters: int
    miou: float | None
    file_bytes: int
    licence: str
    spec: dict[str, Any]


def weights_names() -> list[str]:
    """Names of the networks that are shipped as weights."""
    return sorted(path.stem for path in _FOLDER.glob("*.safetensors"))


def model_names() -> list[str]:
    """Names of the networks that are shipped as model files."""
    return sorted(path.stem for path in _FOLDER.glob("*.onnx"))


def find_weights(name_or_path: str) -> Path:
    """Give the weights of a shipped network, or the path as it is; raises ``WeightsError`` for neither."""
    names = weights_names()
    return _FOLDER / f"{name_or_path}.safetensors" if name_or_path in names else _find_path(name_or_path, names)


def find_model_file(name_or_path: str) -> Path:
    """Give the model file of a shipped network, its weights if it has none, or the path as it is.

    Raises ``WeightsError`` when it is neither.
    """
    for names, suffix in ((model_names(), ".onnx"), (weights_names(), ".safetensors")):
        if name_or_path in names:
            return _FOLDER / f"{name_or_path}{suffix}"
    return _find_path(name_or_path, sorted({*model_names(), *weights_names()}))


def weights_of(model: Path) -> Path | None:
    """Give the weights that a shipped model file was made of; None when they are not shipped, or it is not."""
    weights = model.with_suffix(".safetensors")
    return weights if model.parent == _FOLDER and weights.is_file() else None


def _find_path(name_or_path: str, names: list[str]) -> Path:
    path = Path(name_or_path)
    try:
        if path.is_file():
            return path
        is_folder = path.is_dir()
    except OSError as error:
        raise WeightsError(f"'{name_or_path[:60]}' cannot be a file: {error.strerror}") from None
    if is_folder:
        raise WeightsError(f"'{name_or_path}' is a folder; give the weights file in it")
    raise WeightsError(f"{name_or_path!r} is neither a file nor a shipped network ({', '.join(names) or 'none'})")


def summarize_weights(path: Path) -> WeightsSummary:
    """Read the header of a weights file, tensors and checksum left alone.

    Raises ``WeightsError`` naming the file when it is not safetensors, or its header none of this project's.
    """
    metadata, parameters = _header(path)
    spec, labels, training = (_json_field(path, metadata, key, dict) for key in ("spec", "labels", "training"))
    try:
        variant, num_classes, label_set = spec["name"], spec["num_classes"], labels["name"]
    except KeyError as error:
        raise WeightsError(f"{path}: its spec or label set lacks {error}; it was not written by this project") from None
    return WeightsSummary(
        path.stem,
        variant,
        num_classes,
        label_set,
        training.get("trained_on", ""),
        training.get("validated_on", ""),
        parameters,
        training.get("miou"),
        path.stat().st_size,
        _json_field(path, metadata, "licence", str),
        spec,
    )


def read_label_values(path: Path) -> dict[str, Any]:
    """Read the label set of a weights file as JSON values; raises ``WeightsError`` as ``summarize_weights`` does."""
    return _json_field(path, _header(path)[0], "labels", dict)


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Read the metadata, and count the parameters by the tensors' shapes."""
    try:
        with safe_open(path, framework="numpy") as file:
            counted = [name for name in file.keys() if _is_parameter(name)]  # noqa: SIM118  # the file is no dict
            return file.metadata() or {}, sum(prod(file.get_slice(name).get_shape()) for name in counted)
    except SafetensorError as error:
        raise WeightsError(f"{path}: no safetensors file: {error}") from None
    except OSError as error:
        reason = "is a folder; give the weights file in it" if path.is_dir() else error.strerror or str(error)
        raise WeightsError(f"{path}: cannot be read: {reason}") from None


def _is_parameter(name: str) -> bool:
    """Tell a parameter from a batch norm's statistics and from the auxiliary classifier, which only training has."""
    return "auxiliary" not in name.split(".") and name.rpartition(".")[2] in {"weight", "bias"}


def _json_field(path: Path, metadata: Mapping[str, str], key: str, kind: type[_Value]) -> _Value:
    if key not in metadata:
        raise WeightsError(f"{path}: its header has no '{key}'; it was not written by this project")
    try:
        value = json.loads(metadata[key])
    except (ValueError, RecursionError):
        raise WeightsError(f"{path}: its metadata field '{key}' is not JSON") from None
    if not isinstance(value, kind):
        raise WeightsError(f"{path}: its metadata field '{key}' is no JSON {_KINDS[kind]}")
    return value
