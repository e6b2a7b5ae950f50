"""A machine in a few words, for the notes of a table."""

from __future__ import annotations

from contextnet.benchmark.machine import Machine, describe_machine


def machine_words(machine: Machine | None = None) -> str:
    """Name the machine in a few words."""
    found = machine or describe_machine()
    return f"{found.cores} cores of {found.cpu or 'an unknown processor'}"


def place_words(device: str) -> str:
    """Name what computes in a few words: a GPU by its name, and the machine."""
    return machine_words() if device == "cpu" else f"{device}, {machine_words()}"
