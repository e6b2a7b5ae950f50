"""How each image is presented to a network when a split is scored: once, at several sizes, mirrored, in windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from contextnet.errors import ContextNetError

MIN_SCALE, MAX_SCALE = 0.1, 4.0
MAX_SCALES = 16
MIN_WINDOW_PX = 32
MAX_OVERLAP = 0.9
DEFAULT_OVERLAP = 0.33


@dataclass(frozen=True)
class Scoring:
    """The views of an image whose class probabilities are averaged; by default the image as it is, whole.

    ``scales`` multiply the image's height and width. ``flip`` adds the mirrored image at every scale. ``window_hw``
    has each of them labelled in windows of this size in pixels, of which neighbours share ``overlap`` of their side.
    Raises ``ContextNetError`` naming the option and its bounds.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window_hw: tuple[int, int] | None = None
    overlap: float = DEFAULT_OVERLAP

    def __post_init__(self) -> None:
        if not 1 <= len(self.scales) <= MAX_SCALES:
            raise ContextNetError(f"scales: {len(self.scales)} of them; give 1 to {MAX_SCALES}")
        for index, scale in enumerate(self.scales):
            if not MIN_SCALE <= scale <= MAX_SCALE:
                raise ContextNetError(f"scales: {scale:g} is out of range; a scale is {MIN_SCALE:g} to {MAX_SCALE:g}")
            if scale in self.scales[:index]:
                raise ContextNetError(f"scales: {scale:g} stands twice; give each scale once")
        if self.window_hw and min(self.window_hw) < MIN_WINDOW_PX:
            height, width = self.window_hw
            raise ContextNetError(f"window {height}x{width}: a window is at least {MIN_WINDOW_PX}x{MIN_WINDOW_PX}")
        if not 0 <= self.overlap <= MAX_OVERLAP:
            raise ContextNetError(f"overlap: {self.overlap:g} is out of range; it is 0 to {MAX_OVERLAP:g}")

    @property
    def is_multi_view(self) -> bool:
        """Whether an image is seen at another size than its own, or mirrored."""
        return self.flip or self.scales != (1.0,)

    def describe(self) -> str:
        """Say it in words, as in ``scales 0.75, 1, flipped, windows 512x1024``."""
        words = [f"scale{'s' * (len(self.scales) > 1)} " + ", ".join(f"{scale:g}" for scale in self.scales)]
        if self.flip:
            words.append("flipped")
        if self.window_hw:
            words.append(f"windows {self.window_hw[0]}x{self.window_hw[1]} with overlap {self.overlap:g}")
        return ", ".join(words)

    def to_json(self) -> dict[str, Any]:
        """Describe the scoring as plain JSON values; window and overlap are null for whole images."""
        return {
            "scales": list(self.scales),
            "flip": self.flip,
            "window": list(self.window_hw) if self.window_hw else None,
            "overlap": self.overlap if self.window_hw else None,
        }
