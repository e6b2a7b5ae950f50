"""The shipped networks and their model cards."""

from contextnet.weights.catalogue import WeightsSummary, find_weights, summarize_weights, weights_names

__all__ = ["WeightsSummary", "find_weights", "summarize_weights", "weights_names"]
