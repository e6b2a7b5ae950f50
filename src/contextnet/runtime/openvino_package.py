"""OpenVINO's Python package, imported so that it reports nothing to anyone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from contextnet.errors import MissingDependencyError

_PACKAGE, _TELEMETRY = "openvino", "openvino_telemetry"


def load_openvino() -> ModuleType:
    """Import ``openvino``; raises ``MissingDependencyError`` when it is not installed.

    Where the package ``openvino_telemetry`` can be imported, the import itself sends an event to a web service and
    leaves an identifier in the home folder. A program that imported ``openvino`` before has settled that already.
    """
    try:
        if _PACKAGE in sys.modules:
            return import_module(_PACKAGE)
        with _hidden(_TELEMETRY):
            return import_module(_PACKAGE)
    except ModuleNotFoundError as error:
        if error.name != _PACKAGE:
            raise
    raise MissingDependencyError("OpenVINO is not installed; pip install openvino")


def openvino_core() -> Any:
    """Give OpenVINO's core, one for the whole process; raises as ``load_openvino`` does.

    Its CPU plugin gives the thread that makes it a stack for signal handlers, and takes the stack away with itself. Of
    two cores the second restores the first one's stack, freed by then, and the next signal ends the process.
    """
    return _core(load_openvino())


@cache
def _core(openvino: ModuleType) -> Any:
    return openvino.Core()


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
