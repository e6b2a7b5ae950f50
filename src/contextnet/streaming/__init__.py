"""Streams: frames from cameras and videos, labelled in order and without lag. No PyTorch."""
