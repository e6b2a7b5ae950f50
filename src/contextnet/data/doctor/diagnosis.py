"""The label doctor: from what the masks hold to the label sets that would read them. It only proposes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from contextnet.data.doctor.census import MAX_COUNTED_COLORS, MaskCensus
from contextnet.data.doctor.class_list import ClassList
from contextnet.data.doctor.color_proposals import color_proposals, official_colors
from contextnet.data.doctor.id_proposals import id_proposals
from contextnet.data.doctor.proposal import Proposal, in_equal_channels, propose_colors, propose_ids
from contextnet.data.label_file import LabelFile
from contextnet.data.mask_colors import unpack_color
from contextnet.data.numbering import wrong_numbering
from contextnet.labels import MAX_CLASSES

_RARE_SHARE = 0.001
_MANY_RARE = 10
_MANY_GREYS = 10
_MOSTLY_EXTREME = 0.8
_SMOOTH = "masks saved as JPEG, scaled smoothly or drawn with smooth edges look like this"
_REMEDY = "save them anew as PNG, scaled by nearest neighbour and without smoothing"


@dataclass(frozen=True)
class Diagnosis:
    """The label sets that would read the masks, the likeliest first, and what is to be said beside them."""

    proposals: tuple[Proposal, ...]
    remarks: tuple[str, ...]


def diagnose(
    census: MaskCensus, set_name: str, names: ClassList | None = None, present: LabelFile | None = None
) -> Diagnosis:
    """Judge what masks hold and propose label sets that read them.

    ``set_name`` is the name of a label set that is new, ``names`` a class list that lies beside the data, ``present``
    the label set that reads the masks now, where there is one: it comes first where it fits but for stray values.
    """
    proposals: dict[str, Proposal] = {}
    for proposal in (*_present(census, present), *_new(census, set_name, names)):
        proposals.setdefault(proposal.name, proposal)
    return Diagnosis(tuple(proposals.values()), tuple(_remarks(census)))


def _present(census: MaskCensus, present: LabelFile | None) -> Iterator[Proposal]:
    if present is None or not census.masks or _too_many(census):
        return
    if present.colors is not None:
        proposal = propose_colors("present", "the present label set", present, census.color_counts)
    elif census.needs_colors or wrong_numbering(census.id_counts, present.labels, present.labels):
        return
    else:
        proposal = propose_ids("present", "the present label set", present.labels, _ids(census) or {})
    if proposal is not None and any(proposal.class_pixels):
        yield proposal


def _new(census: MaskCensus, set_name: str, names: ClassList | None) -> Iterator[Proposal]:
    ids = _ids(census)
    if _too_many(census) or _is_smoothed(ids):
        return
    if ids is None:
        yield from color_proposals(set_name, census.color_counts, names)
    elif census.needs_colors:
        yield from (in_equal_channels(p) for p in id_proposals(set_name, ids, {}, names))
    else:
        palette = census.palette or {}
        if palette:
            yield from official_colors(census.color_counts)
        yield from id_proposals(set_name, ids, palette, names)


def _remarks(census: MaskCensus) -> Iterator[str]:
    if not census.masks:
        yield "no mask could be read, so nothing is proposed"
    if census.unreadable:
        more = f" ({len(census.unreadable) - 1} more)" if len(census.unreadable) > 1 else ""
        yield f"left out: {census.unreadable[0]}{more}"
    if "rgb" in census.kinds and len(census.kinds) > 1:
        kinds = ", ".join(f"{kind} ({n})" for kind, n in census.kinds.items())
        yield f"the masks are stored in different ways: {kinds}; reading by colour takes an id v for the grey v, v, v"
    if census.palette is None:
        yield "the masks' palettes differ, so that an index means different things; only the colours can be read"
    counts = census.color_counts
    if _too_many(census):
        at_least = f"{MAX_COUNTED_COLORS} colours or more" if census.too_many_colors else f"{len(counts)} colours"
        where = f" (the last in {census.too_many_colors})" if census.too_many_colors else ""
        yield f"the masks hold {at_least}{where}, and {MAX_CLASSES} classes are the limit; {_SMOOTH}: {_REMEDY}"
        yield _most_frequent(census)
    elif _is_smoothed(_ids(census)):
        yield f"the masks hold black, white and {len(counts) - 2} greys between; {_SMOOTH}: set each pixel to 0 or 255"
    else:
        rare = [n for n in counts.values() if n < _RARE_SHARE * census.pixels]
        if census.needs_colors and len(rare) >= _MANY_RARE and len(rare) > len(counts) / 2:
            share = 100 * sum(rare) / census.pixels
            yield f"{len(rare)} of {len(counts)} colours are rare ({share:.2g} % together); {_SMOOTH}: {_REMEDY}"


def _most_frequent(census: MaskCensus) -> str:
    """Name the colours that cover most of the masks: under compression they are still near the drawn ones."""
    ordered = sorted(census.color_counts.items(), key=lambda item: (-item[1], item[0]))[:8]
    share = 100 * sum(n for _, n in ordered) / census.pixels
    shown = ", ".join(str(list(unpack_color(c))) for c, _ in ordered)
    return f"the {len(ordered)} most frequent colours cover {share:.0f} % of the counted pixels: {shown}"


def _too_many(census: MaskCensus) -> bool:
    by_color = census.needs_colors and len(census.color_counts) > MAX_CLASSES
    return by_color or int(np.count_nonzero(census.id_counts)) > MAX_CLASSES + 1


def _ids(census: MaskCensus) -> dict[int, int] | None:
    """Give the pixels of every id that occurs; None where masks hold colours, RGB in three equal channels aside."""
    if not census.needs_colors:
        return {i: int(census.id_counts[i]) for i in np.flatnonzero(census.id_counts).tolist()}
    if "palette" in census.kinds:
        return None
    colors = {unpack_color(packed): pixels for packed, pixels in census.color_counts.items()}
    if any(len(set(color)) > 1 for color in colors):
        return None
    return {color[0]: pixels for color, pixels in colors.items()}


def _is_smoothed(ids: dict[int, int] | None) -> bool:
    """Tell whether black-and-white masks have greys along their edges."""
    if ids is None or len(ids) <= _MANY_GREYS or not ids.get(255):
        return False
    return ids.get(0, 0) + ids[255] >= _MOSTLY_EXTREME * sum(ids.values())
