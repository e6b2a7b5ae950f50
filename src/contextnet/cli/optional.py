"""Parts of the package that need an extra: asked for by name before they are imported."""

from __future__ import annotations

from importlib.util import find_spec

from contextnet.errors import MissingDependencyError


def has_torch() -> bool:
    """Tell whether PyTorch is installed, without importing it."""
    return find_spec("torch") is not None


def require_torch(command: str, extra: str = "train") -> None:
    """Raise ``MissingDependencyError`` naming the extra when PyTorch is not installed."""
    if not has_torch():
        raise MissingDependencyError(
            f"'contextnet {command}' needs PyTorch, which is not installed; pip install 'contextnet[{extra}]'"
        )


def require_nncf(command: str) -> None:
    """Raise ``MissingDependencyError`` when NNCF, which quantizes, is not installed."""
    if find_spec("nncf") is None:
        raise MissingDependencyError(
            f"'contextnet {command}' needs nncf, which is not installed; pip install 'contextnet[export]'"
        )
