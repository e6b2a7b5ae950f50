"""How far each random change of a sample may go."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AugmentationRanges:
    """How far each random change goes.

    ``scale`` is the least and the greatest enlargement, drawn evenly in the logarithm. ``flip`` is a probability.
    ``hue`` is in turns (0.5 is half the colour circle); the three after it are relative: 0.2 means 0.8 to 1.2.

    Light and sensor are off at 0. ``cast`` multiplies red and blue, each by its own gain: 0.2 means 0.8 to 1.2, drawn
    evenly in the logarithm. ``gamma`` raises the image of 0…1 to a power: 0.2 means exp(-0.2) to exp(0.2), drawn evenly
    in the logarithm. ``blur`` is the probability of a Gaussian blur. ``noise`` is the greatest standard deviation of
    Gaussian noise, in grey levels of 255. ``class_mix`` is the probability that classes of another image of the batch
    are pasted over an image.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    hue: float = 0.03
    saturation: float = 0.4
    brightness: float = 0.4
    contrast: float = 0.4
    cast: float = 0.0
    gamma: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    class_mix: float = 0.0

    @property
    def has_sensor(self) -> bool:
        """Whether light or sensor change anything."""
        return any((self.cast, self.gamma, self.blur, self.noise))


NO_AUGMENTATION = AugmentationRanges(scale=(1.0, 1.0), flip=0.0, hue=0.0, saturation=0.0, brightness=0.0, contrast=0.0)
"""Ranges that leave a sample as it is: one of the crop's size comes back pixel by pixel."""
