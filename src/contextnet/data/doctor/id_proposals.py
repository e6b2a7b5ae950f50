"""Label sets for masks of ids: known numberings by their likeness, black and white, listed names, one class an id."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from contextnet.data.doctor.class_list import ClassList, ListedClass
from contextnet.data.doctor.known_labels import KNOWN_IDS, KnownIds
from contextnet.data.doctor.proposal import MAX_STRAY_SHARE, Proposal, propose_ids
from contextnet.labels import IGNORE_INDEX, MAX_CLASSES, Color, LabelClass, LabelSet, default_color

# On counted data right readings lie above 0.92 and wrong ones below 0.77; twelve equally large classes reach 0.82.
_MIN_LIKENESS = 0.85
_MIN_GROUPS = 6
_MIN_LABELLED_SHARE = 0.3


def id_proposals(
    set_name: str, pixels: Mapping[int, int], palette: Mapping[int, Color], names: ClassList | None
) -> Iterator[Proposal]:
    """Propose label sets for masks of ids, the likeliest first.

    ``pixels`` has the pixels of every id that occurs, ``palette`` the colour of ids where masks have one.
    """
    if not pixels:
        return
    if names is not None:
        yield from _from_names(set_name, pixels, palette, names)
    yield from _black_and_white(set_name, pixels)
    ranked = sorted(((likeness(known, pixels), known) for known in KNOWN_IDS), key=lambda pair: -pair[0])
    for value, known in ranked:
        if value < _MIN_LIKENESS or (known.name == "camvid-12" and not pixels.get(11)):
            continue
        detail = f"{known.detail} ({100 * value:.0f} % alike by how often each class occurs)"
        proposal = propose_ids(known.name, detail, known.labels, pixels)
        if proposal is not None:
            yield proposal
    yield from _one_class_an_id(set_name, pixels, palette)


def likeness(known: KnownIds, pixels: Mapping[int, int]) -> float:
    """Say from 0 to 1 how like the usual class shares of a numbering the counted ones are (Bhattacharyya).

    0 where too few classes occur or most pixels would be void, so that a handful of small ids is like nothing.
    """
    counted = [0.0] * len(known.shares)
    for label, group in zip(known.labels.classes, known.groups, strict=True):
        if group is not None:
            counted[group] += sum(pixels.get(i, 0) for i in label.file_ids)
    total = sum(counted)
    if sum(n > 0 for n in counted) < _MIN_GROUPS or total < _MIN_LABELLED_SHARE * sum(pixels.values()):
        return 0.0
    usual = sum(known.shares)
    return sum(math.sqrt(n / total * share / usual) for n, share in zip(counted, known.shares, strict=True))


def _black_and_white(set_name: str, pixels: Mapping[int, int]) -> Iterator[Proposal]:
    for white in (255, 1):
        if set(pixels) == {0, white}:
            classes = (
                LabelClass("background", (0, 0, 0), "background", (0,)),
                LabelClass("foreground", (255, 255, 255), "foreground", (white,)),
            )
            detail = f"black-and-white masks, 0 is background and {white} foreground"
            proposal = propose_ids("binary", detail, LabelSet(set_name, classes, ()), pixels)
            if proposal is not None:
                yield proposal


def _from_names(
    set_name: str, pixels: Mapping[int, int], palette: Mapping[int, Color], names: ClassList
) -> Iterator[Proposal]:
    """Propose the classes of a list: by the ids that it gives, by the palette's colours, or by their order."""
    numbered, how = _numbered(names, pixels, palette)
    void = [i for i, listed in numbered if listed.is_void]
    classes = tuple(
        _class(listed.name, i, position, listed.color or palette.get(i))
        for position, (i, listed) in enumerate(pair for pair in numbered if not pair[1].is_void)
    )
    if not classes or len(classes) > MAX_CLASSES or len({i for i, _ in numbered}) < len(numbered):
        return
    if IGNORE_INDEX not in {i for i, _ in numbered}:
        void.append(IGNORE_INDEX)
    detail = f"the classes of {names.path.name}, {how}"
    proposal = propose_ids("named", detail, LabelSet(set_name, classes, tuple(void)), pixels)
    # A list of which one class alone occurs is a list of something else.
    if proposal is not None and sum(n > 0 for n in proposal.class_pixels) >= min(2, len(classes)):
        yield proposal


def _numbered(
    names: ClassList, pixels: Mapping[int, int], palette: Mapping[int, Color]
) -> tuple[list[tuple[int, ListedClass]], str]:
    if any(c.file_id is not None for c in names.classes):
        return [(c.file_id, c) for c in names.classes if c.file_id is not None], "by the ids it gives"
    by_color = {c.color: c for c in names.classes if c.color is not None}
    colors = {i: palette.get(i, (i, i, i)) for i in sorted(pixels)}
    found = [(i, by_color[color]) for i, color in colors.items() if color in by_color]
    if sum(pixels[i] for i, _ in found) >= (1 - MAX_STRAY_SHARE) * sum(pixels.values()):
        return found, "by their colours in the masks"
    if set(pixels) == {0, 255} and len(names.classes) == 2:
        return [(0, names.classes[0]), (255, names.classes[1])], "its first line being black and its second white"
    return list(enumerate(names.classes))[:256], "its first line being id 0"


def _one_class_an_id(set_name: str, pixels: Mapping[int, int], palette: Mapping[int, Color]) -> Iterator[Proposal]:
    has_void = IGNORE_INDEX in pixels and len(pixels) > 2
    ids = [i for i in sorted(pixels) if not (has_void and i == IGNORE_INDEX)]
    if len(ids) > MAX_CLASSES:
        return
    classes = tuple(_class(f"class {i}", i, position, palette.get(i)) for position, i in enumerate(ids))
    void = () if IGNORE_INDEX in ids else (IGNORE_INDEX,)
    name, detail = ("palette", "the palette's indices, in its colours") if palette else ("ids", "one class an id")
    detail += "; 255 is void" if has_void else ""
    proposal = propose_ids(name, f"{detail}; give the classes their names", LabelSet(set_name, classes, void), pixels)
    if proposal is not None:
        yield proposal


def _class(name: str, file_id: int, position: int, color: Color | None) -> LabelClass:
    return LabelClass(name, default_color(position) if color is None else color, name, (file_id,))
