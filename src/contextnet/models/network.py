"""A network built from its description, whichever it is."""

from __future__ import annotations

from typing import TypeAlias

from contextnet.models.baselines.baseline import Baseline
from contextnet.models.contextnet import ContextNet
from contextnet.network_spec import NetworkSpec
from contextnet.spec import ContextNetSpec

Network: TypeAlias = ContextNet | Baseline
"""Scores images; has its ``spec``."""


def build_network(spec: NetworkSpec) -> Network:
    """Build a network with fresh weights, in training mode."""
    return ContextNet(spec) if isinstance(spec, ContextNetSpec) else Baseline(spec)
