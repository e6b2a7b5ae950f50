"""A machine that is only told of: what is installed on it, which GPUs it has, and engines that compute nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime", "pytorch": "torch"}

GPU = {"gpus": 1, "built_for_cuda": {"onnxruntime", "pytorch"}}


@dataclass
class Machine:
    """What is installed, what it was built for, what the driver counts, and what fails when a GPU is to be used.

    ``opened`` and ``closed`` note the engines, which fakes stand in for.
    """

    installed: set[str] = field(default_factory=lambda: set(PACKAGES))
    gpus: int = 0
    built_for_cuda: set[str] = field(default_factory=set)
    fails_to_open: dict[str, Exception] = field(default_factory=dict)
    fails_to_compute: dict[str, Exception] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


@dataclass
class Opened:
    """What an engine was opened with, and the shapes that it was given."""

    name: str
    source: Any
    options: dict[str, Any]
    machine: Machine
    given: list[tuple[int, ...]] = field(default_factory=list)

    def submit(self, images: NDArray[np.uint8]) -> SimpleNamespace:
        self.given.append(images.shape)
        return SimpleNamespace(labels=self._labels)

    def close(self) -> None:
        self.machine.closed.append(self.name)
        raise RuntimeError("the GPU is gone")

    def _labels(self) -> None:
        if self.options.get("device") == "cuda" and self.name in self.machine.fails_to_compute:
            raise self.machine.fails_to_compute[self.name]
