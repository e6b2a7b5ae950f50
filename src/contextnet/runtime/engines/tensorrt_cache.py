"""Where TensorRT's engines are kept between runs, since building one for a network takes from seconds to minutes."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path


def engine_cache(graph: bytes, shape: tuple[int, ...]) -> Path | None:
    """Make the folder for the engines of an ONNX graph fixed to a shape; None where none can be made.

    ONNX Runtime names an engine by the graph's value names, its own version and the GPU's kind, but not by the weights
    or the shape: networks that share a folder would compute with each other's weights (its issues 6455 and 32254).
    """
    key = hashlib.sha256("×".join(map(str, shape)).encode() + b"|" + graph).hexdigest()
    try:
        folder = _user_cache() / "contextnet" / "tensorrt" / key
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a user without a home, or one that cannot be written
        return None
    return folder


def _user_cache() -> Path:
    """Give the folder that the system has for what may be deleted at any time."""
    variable, otherwise = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_CACHE_HOME", ".cache")
    given = Path(os.environ.get(variable, ""))
    # A relative one is to be ignored, by the XDG base directory specification.
    return given if given.is_absolute() else Path.home() / otherwise
