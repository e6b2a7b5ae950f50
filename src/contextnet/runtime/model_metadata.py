"""What a model file says of itself, in whatever format: the network, its classes, its precision, how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contextnet.errors import ContextNetError, ModelFileError
from contextnet.labels import LabelSet
from contextnet.network_spec import NetworkSpec, spec_from_json

FORMAT = "contextnet-model-1"
PRECISIONS = ("fp32", "fp16", "int8")
_KEYS = ("spec", "labels", "precision", "training", "licence")


@dataclass(frozen=True)
class ModelMetadata:
    """The network's spec, its classes, the precision of its weights, how it was trained, the licence of the data."""

    spec: NetworkSpec
    labels: LabelSet
    precision: str
    training: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""

    def to_texts(self) -> dict[str, str]:
        """Give the metadata as texts by key, as they stand in a file; ``checksum`` is added by who writes the file."""
        values = {
            "spec": self.spec.to_json(),
            "labels": self.labels.to_json(),
            "precision": self.precision,
            "training": dict(self.training),
            "licence": self.licence,
        }
        return {"format": FORMAT, **{key: json.dumps(value) for key, value in values.items()}}

    @classmethod
    def from_texts(cls, path: Path, texts: Mapping[str, str]) -> ModelMetadata:
        """Read the texts of a file; raises ``ModelFileError`` naming it where it is not a model of this project."""
        found = texts.get("format")
        if found != FORMAT:
            kind = f"a model of format '{found}'" if found else "a model without metadata of this project"
            raise ModelFileError.at(path, kind, "make model files with 'contextnet export'")
        missing = [key for key in _KEYS if key not in texts]
        if missing:
            raise ModelFileError.at(path, f"its metadata lacks {', '.join(missing)}", "export the network anew")
        spec, labels, precision, training, licence = (_parse(path, key, texts[key]) for key in _KEYS)
        if precision not in PRECISIONS or not isinstance(training, dict) or not isinstance(licence, str):
            found = "its metadata has a precision, training or licence of another kind"
            raise ModelFileError.at(path, found, "export the network anew")
        try:
            metadata = cls(spec_from_json(spec), LabelSet.from_json(labels), precision, training, licence)
        except ContextNetError as error:
            raise ModelFileError.at(path, str(error), "export the network anew") from None
        if metadata.spec.num_classes != metadata.labels.num_classes:
            found = f"scores {metadata.spec.num_classes} classes but names {metadata.labels.num_classes}"
            raise ModelFileError.at(path, found, "export the network anew")
        return metadata


def _parse(path: Path, key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ModelFileError.at(path, f"its metadata field '{key}' is not JSON", "export the network anew") from None
