"""Structured pruning: whole feature maps are removed, and what is left is an ordinary, smaller network."""
