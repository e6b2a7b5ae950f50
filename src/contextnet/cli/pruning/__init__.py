"""The parts of ``contextnet prune``."""
