"""ClassMix of a whole batch: some classes of another image's crop are pasted over it, pixels and labels.

Source: Olsson, Tranheden, Pinto, Svensson, "ClassMix" (2021), with true labels in the place of predicted ones. Off
unless a recipe asks for it; the paper has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from contextnet.data.augmentation.ranges import AugmentationRanges
from contextnet.labels import IGNORE_INDEX

SHARE_OF_CLASSES = 0.5
"""The probability with which a class of the other image is pasted."""


@dataclass(frozen=True)
class Mixing:
    """Which image of the batch is pasted over each one, and what of it.

    ``partners`` are places in the batch, an image's own where nothing is pasted. ``pasted`` tells for every image and
    train id whether the partner's pixels of that class are, bool (N, 256); it is None where nothing is pasted at all.
    """

    partners: tuple[int, ...]
    pasted: Tensor | None = None

    def needed(self, places: Sequence[int]) -> list[int]:
        """List the images from which those at ``places`` are made: these first, then the partners that are missing."""
        return list(dict.fromkeys([*places, *(self.partners[place] for place in places)]))

    def paste(self, images: Tensor, labels: Tensor, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mix those at ``places``, whose images (M, 3, H, W) and labels (M, H, W) lie as ``needed`` lists them."""
        count = len(places)
        if self.pasted is None:
            return images, labels
        where = {place: index for index, place in enumerate(self.needed(places))}
        partners = [where[self.partners[place]] for place in places]
        other = labels[partners]
        taken = self.pasted[list(places)].gather(1, other.flatten(1)).view_as(other)
        mixed = torch.where(taken[:, None], images[partners], images[:count])
        return mixed.contiguous(memory_format=torch.channels_last), torch.where(taken, other, labels[:count])


def draw_mixing(count: int, ranges: AugmentationRanges, generator: Generator) -> Mixing:
    """Draw what is pasted over each of ``count`` images; where it is off, or there is one image alone, nothing is."""
    alone = tuple(range(count))
    if not ranges.class_mix or count == 1:
        return Mixing(alone)
    device = generator.device
    is_mixed = torch.rand(count, generator=generator, device=device) < ranges.class_mix
    steps = torch.randint(1, count, (count,), generator=generator, device=device)
    pasted = torch.rand((count, IGNORE_INDEX + 1), generator=generator, device=device) < SHARE_OF_CLASSES
    pasted &= is_mixed[:, None]
    pasted[:, IGNORE_INDEX] = False
    partners = (torch.arange(count, device=device) + steps * is_mixed) % count
    return Mixing(tuple(partners.tolist()), pasted)
