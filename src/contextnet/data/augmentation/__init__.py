"""Augmentation of a whole batch on the device it lives on: geometry, then colours, then light and sensor, then mixing.

What is random is drawn for the whole batch from an explicit generator, anew for every image. What is drawn is done by
functions that treat an image alike whatever stands beside it, but for the one image that is pasted over it, so that any
part of a batch is bit for bit what it is in the whole.
"""

from __future__ import annotations

from contextnet.data.augmentation.color import draw_color_maps, recolor
from contextnet.data.augmentation.geometry import draw_windows, warp
from contextnet.data.augmentation.mixing import Mixing, draw_mixing
from contextnet.data.augmentation.ranges import NO_AUGMENTATION, AugmentationRanges
from contextnet.data.augmentation.sensor import Sensor, draw_sensor, sense

__all__ = [
    "NO_AUGMENTATION",
    "AugmentationRanges",
    "Mixing",
    "Sensor",
    "draw_color_maps",
    "draw_mixing",
    "draw_sensor",
    "draw_windows",
    "recolor",
    "sense",
    "warp",
]
