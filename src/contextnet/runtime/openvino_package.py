"""OpenVINO's Python package, imported so that it reports nothing to anyone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from contextnet.errors import MissingDependencyError

_TELEMETRY = "openvino_telemetry"


def load_openvino() -> ModuleType:
    """Import ``openvino``; raises ``MissingDependencyError`` when it is not installed.

    The import itself sends an event to a web service and leaves an id in the home folder where the package
    ``openvino_telemetry`` can be imported, and does neither where it cannot. A program that imported ``openvino``
    before has settled that already.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    with _hidden(_TELEMETRY):
        try:
            return import_module("openvino")
        except ModuleNotFoundError as error:
            if error.name != "openvino":
                raise
    raise MissingDependencyError("OpenVINO is not installed; pip install openvino")


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Let imports of a module fail, as if it were not installed."""
    missing = object()
    before = sys.modules.get(name, missing)
    sys.modules[name] = None  # type: ignore[assignment]  # the import system's own mark for it
    try:
        yield
    finally:
        del sys.modules[name]
        if isinstance(before, ModuleType):
            sys.modules[name] = before
