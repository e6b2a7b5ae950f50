"""ContextNet: real-time semantic segmentation of street images."""

__version__ = "0.1.0"
