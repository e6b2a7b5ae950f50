"""A label set proposed for masks: what it is called, why it fits, and what each class would hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from contextnet.data.label_file import LabelFile
from contextnet.data.mask_colors import MaskColors, pack_color, unpack_color
from contextnet.labels import Color, LabelSet

MAX_STRAY_SHARE = 0.01


@dataclass(frozen=True)
class Proposal:
    """One way to read the masks, complete: every value that occurs means a class or void.

    ``name`` is the word to choose it by, ``detail`` says in one sentence what it takes the masks for.
    ``class_pixels`` are in train-id order.
    """

    name: str
    detail: str
    file: LabelFile
    class_pixels: tuple[int, ...]
    void_pixels: int

    @property
    def pixels(self) -> int:
        """All pixels that were counted."""
        return sum(self.class_pixels) + self.void_pixels


def propose_ids(name: str, detail: str, labels: LabelSet, pixels: Mapping[int, int]) -> Proposal | None:
    """Propose reading ids by ``labels``, where ``pixels`` has the pixels of every mask id that occurs.

    Ids that ``labels`` does not know become void where they cover at most 1 % of the pixels; None where they cover
    more.
    """
    known = {i for c in labels.classes for i in c.file_ids} | set(labels.void_ids)
    strays = sorted(i for i, n in pixels.items() if n and i not in known)
    if not _few(strays, pixels):
        return None
    labels = replace(labels, void_ids=(*labels.void_ids, *strays))
    return Proposal(
        name,
        detail + _stray_text(strays, pixels, "id", [str(i) for i in strays]),
        LabelFile(labels),
        tuple(sum(pixels.get(i, 0) for i in c.file_ids) for c in labels.classes),
        sum(pixels.get(i, 0) for i in labels.void_ids),
    )


def propose_colors(name: str, detail: str, file: LabelFile, pixels: Mapping[int, int]) -> Proposal | None:
    """Propose reading colours by ``file``, where ``pixels`` has the pixels of every packed colour that occurs.

    Colours that ``file`` does not know become void where they cover at most 1 % of the pixels; None where they cover
    more, and where ``file`` reads no colours.
    """
    colors = file.colors
    if colors is None:
        return None
    known = {pack_color(c) for c in (*colors.void, *(c for of_class in colors.by_class for c in of_class))}
    strays = sorted(c for c, n in pixels.items() if n and c not in known)
    if not _few(strays, pixels):
        return None
    shown = [str(list(unpack_color(c))) for c in strays]
    colors = replace(colors, void=(*colors.void, *(unpack_color(c) for c in strays)))
    return Proposal(
        name,
        detail + _stray_text(strays, pixels, "colour", shown),
        replace(file, colors=colors),
        tuple(_pixels_of(of_class, pixels) for of_class in colors.by_class),
        _pixels_of(colors.void, pixels),
    )


def in_equal_channels(proposal: Proposal) -> Proposal:
    """Turn a proposal for ids into one for RGB masks that hold each id in all three channels."""
    labels = proposal.file.labels
    by_class = tuple(tuple(_grey(i) for i in c.file_ids) for c in labels.classes)
    colors = MaskColors(by_class, tuple(_grey(i) for i in labels.void_ids))
    classes = tuple(
        replace(c, color=of_class[0], file_ids=(train_id,))
        for train_id, (c, of_class) in enumerate(zip(labels.classes, by_class, strict=True))
    )
    detail = f"{proposal.detail}; each id stands in three equal channels"
    return replace(proposal, detail=detail, file=LabelFile(LabelSet(labels.name, classes), colors))


def _few(strays: list[int], pixels: Mapping[int, int]) -> bool:
    return sum(pixels[s] for s in strays) <= MAX_STRAY_SHARE * sum(pixels.values())


def _stray_text(strays: list[int], pixels: Mapping[int, int], what: str, shown: list[str]) -> str:
    if not strays:
        return ""
    share = 100 * sum(pixels[s] for s in strays) / sum(pixels.values())
    more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
    return f"; the {what}s {', '.join(shown[:4])}{more} ({share:.2g} % of the pixels) become void"


def _pixels_of(colors: tuple[Color, ...], pixels: Mapping[int, int]) -> int:
    return sum(pixels.get(pack_color(c), 0) for c in colors)


def _grey(value: int) -> Color:
    return value, value, value
