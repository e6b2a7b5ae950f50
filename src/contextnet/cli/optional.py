"""Parts of the package that need an extra: asked for by name before they are imported."""

from __future__ import annotations

from importlib.util import find_spec

from contextnet.errors import MissingDependencyError


def require_torch(command: str) -> None:
    """Raise ``MissingDependencyError`` naming the extra when PyTorch is not installed."""
    if find_spec("torch") is None:
        raise MissingDependencyError(
            f"'contextnet {command}' needs PyTorch, which is not installed; pip install 'contextnet[train]'"
        )
