"""Label sets for colour-coded masks: listed names, the official tables, one class a colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from contextnet.data.doctor.class_list import ClassList
from contextnet.data.doctor.known_labels import KNOWN_COLORS
from contextnet.data.doctor.proposal import Proposal, propose_colors
from contextnet.data.label_file import LabelFile
from contextnet.data.mask_colors import MaskColors, pack_color, unpack_color
from contextnet.labels import MAX_CLASSES, Color, LabelClass, LabelSet

_MIN_KNOWN_COLORS = 3


def color_proposals(set_name: str, pixels: Mapping[int, int], names: ClassList | None) -> Iterator[Proposal]:
    """Propose label sets for masks of colours, the likeliest first; ``pixels`` has those of every packed colour."""
    if not pixels or len(pixels) > MAX_CLASSES:
        return
    if names is not None:
        yield from _from_names(set_name, pixels, names)
    yield from official_colors(pixels)
    yield _one_class_a_color(set_name, pixels)


def official_colors(pixels: Mapping[int, int]) -> Iterator[Proposal]:
    """Propose the official tables of colours that the masks keep to, with at least three classes that occur."""
    for known in KNOWN_COLORS:
        proposal = propose_colors(known.name, known.detail, known.file, pixels)
        if proposal is not None and sum(n > 0 for n in proposal.class_pixels) >= _MIN_KNOWN_COLORS:
            yield proposal


def _from_names(set_name: str, pixels: Mapping[int, int], names: ClassList) -> Iterator[Proposal]:
    colored = [(c.name, c.color, c.is_void) for c in names.classes if c.color is not None]
    classes = [(name, color) for name, color, is_void in colored if not is_void]
    if not 1 <= len(classes) <= MAX_CLASSES:
        return
    void = tuple(color for _, color, is_void in colored if is_void)
    file = _label_file(set_name, classes, void)
    proposal = propose_colors("named", f"the classes and colours of {names.path.name}", file, pixels)
    if proposal is not None and any(proposal.class_pixels):
        yield proposal


def _one_class_a_color(set_name: str, pixels: Mapping[int, int]) -> Proposal:
    ordered = [unpack_color(c) for c in sorted(pixels, key=lambda c: (-pixels[c], c))]
    file = _label_file(set_name, [(f"colour {r} {g} {b}", (r, g, b)) for r, g, b in ordered], ())
    detail = "one class a colour, the most frequent first; give the classes their names, and void its place"
    counted = tuple(pixels[pack_color(c)] for c in ordered)
    return Proposal("colors", detail, file, counted, 0)


def _label_file(set_name: str, classes: list[tuple[str, Color]], void: tuple[Color, ...]) -> LabelFile:
    labels = LabelSet(set_name, tuple(LabelClass(n, c, n, (i,)) for i, (n, c) in enumerate(classes)))
    return LabelFile(labels, MaskColors(tuple((c,) for _, c in classes), void))
