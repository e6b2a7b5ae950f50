"""Steadying scores over time."""
