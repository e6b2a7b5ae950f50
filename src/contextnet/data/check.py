"""The data check: read a whole split and list everything that training would trip over, file by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contextnet.data.mask_colors import UNKNOWN_COLOR, MaskColors
from contextnet.data.numbering import train_id_numbering, wrong_numbering
from contextnet.data.pairs import Pair, PairedFiles, missing_mask, rgb_mask, size_mismatch, unknown_colors
from contextnet.data.sample import SegmentationData
from contextnet.data.verification import judged_over_split
from contextnet.errors import DataError, ImageError
from contextnet.images import read_image, read_instances, read_mask
from contextnet.labels import LabelSet

SizeHW = tuple[int, int]


@dataclass(frozen=True)
class Problem:
    """One thing to mend: its kind in two words, the file, what was found there, and what to do."""

    kind: str
    file: Path
    detail: str
    remedy: str


@dataclass(frozen=True)
class ClassShare:
    """How much of the labelled area one class covers; ``share`` is a fraction of all mask pixels, void included."""

    name: str
    pixels: int
    share: float


@dataclass(frozen=True)
class DataReport:
    """What a split holds and what is wrong with it.

    ``sizes`` counts the readable images of each (height, width), most frequent first. ``mask_kinds`` counts masks
    stored as gray, palette or rgb, or read by their colors. ``classes`` stand in train-id order. ``void_pixels`` and
    ``unknown_pixels`` are mask pixels of void and of ids or colours that the label set does not know.
    """

    name: str
    images: int
    masks: int
    sizes: tuple[tuple[SizeHW, int], ...]
    mask_kinds: dict[str, int]
    classes: tuple[ClassShare, ...]
    void_pixels: int
    unknown_pixels: int
    problems: tuple[Problem, ...]

    @property
    def mask_pixels(self) -> int:
        """All mask pixels that were read as ids: classes, void and unknown."""
        return sum(c.pixels for c in self.classes) + self.void_pixels + self.unknown_pixels

    def to_json(self) -> dict[str, Any]:
        """Describe the report as plain JSON values."""
        return {
            "name": self.name,
            "images": self.images,
            "masks": self.masks,
            "sizes": [{"height": h, "width": w, "images": n} for (h, w), n in self.sizes],
            "mask_kinds": dict(self.mask_kinds),
            "classes": [{"name": c.name, "pixels": c.pixels, "share": c.share} for c in self.classes],
            "void_pixels": self.void_pixels,
            "unknown_pixels": self.unknown_pixels,
            "problems": [
                {"kind": p.kind, "file": str(p.file), "detail": p.detail, "remedy": p.remedy} for p in self.problems
            ],
        }


@dataclass(frozen=True)
class _Finding:
    """What reading one pair showed; ``id_counts`` (256,) counts the mask values, absent where no ids were read."""

    problems: tuple[Problem, ...] = ()
    size_hw: SizeHW | None = None
    mask_kind: str | None = None
    id_counts: NDArray[np.int64] | None = None


def check_split(data: SegmentationData, progress: Callable[[int, int], None] | None = None) -> DataReport:
    """Read every image and mask of ``data`` and report; a problem never ends the check.

    Open the split with ``allow_missing=True``, so that images without masks are listed too. ``progress`` is called
    with the number of images done and their total after each one. Data that is not read from files is checked
    through its samples.
    """
    findings: list[_Finding] = []
    for finding in _findings(data):
        findings.append(finding)
        if progress is not None:
            progress(len(findings), len(data))
    numbering = data.numbering if isinstance(data, PairedFiles) else train_id_numbering(data.labels)
    counts = sum((f.id_counts for f in findings if f.id_counts is not None), np.zeros(256, np.int64))
    pixels = [int(counts[list(c.file_ids)].sum()) for c in numbering.classes]
    void = int(counts[list(numbering.void_ids)].sum())
    total = int(counts.sum())
    sizes = Counter(f.size_hw for f in findings if f.size_hw is not None)
    kinds = Counter(f.mask_kind for f in findings if f.mask_kind is not None)
    return DataReport(
        name=data.name,
        images=len(data),
        masks=sum(kinds.values()),
        sizes=tuple(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        mask_kinds=dict(sorted(kinds.items())),
        classes=tuple(
            ClassShare(name, n, n / total if total else 0.0) for name, n in zip(data.labels.names, pixels, strict=True)
        ),
        void_pixels=void,
        unknown_pixels=total - sum(pixels) - void,
        problems=_split_problems(data, counts) + tuple(p for f in findings for p in f.problems),
    )


def _findings(data: SegmentationData) -> Iterator[_Finding]:
    if isinstance(data, PairedFiles):
        return (_check_pair(pair, data.numbering, data.colors) for pair in data.pairs)
    return _check_samples(data)


def _split_problems(data: SegmentationData, counts: NDArray[np.int64]) -> tuple[Problem, ...]:
    """List what only the split as a whole shows: how its masks are numbered, and masks that no image claims."""
    if not isinstance(data, PairedFiles):
        return ()
    orphans = tuple(
        Problem("missing image", path, "is a mask that no image claims", "add its image or remove the mask")
        for path in data.orphans
    )
    suspicion = None if data.colors else wrong_numbering(counts, data.numbering, data.labels)
    first = next((p.label_path for p in data.pairs if p.label_path is not None and p.label_path.exists()), None)
    if suspicion is None or first is None:
        void_only = data.colors is None and counts.any() and counts.sum() == counts[list(data.numbering.void_ids)].sum()
        if void_only and first is not None:
            detail = "and every other mask of the split is void from edge to edge"
            return (Problem("void only", first, detail, "give the label set the ids that the masks hold"), *orphans)
        return orphans
    return (Problem(suspicion.kind, first, judged_over_split(suspicion), suspicion.remedy), *orphans)


def _check_pair(pair: Pair, numbering: LabelSet, colors: MaskColors | None) -> _Finding:
    problems: list[Problem] = []
    size_hw: SizeHW | None = None
    try:
        height, width, _ = read_image(pair.image_path).shape
        size_hw = (height, width)
    except ImageError as error:
        problems.append(_problem("unreadable image", error))
    if pair.label_path is None:
        return _Finding(tuple(problems), size_hw)
    if not pair.label_path.exists():
        problems.append(_problem("missing mask", missing_mask(pair)))
        return _Finding(tuple(problems), size_hw)
    problems.extend(_check_instances(pair, size_hw))
    if colors is not None:
        return _check_colors(pair, pair.label_path, colors, size_hw, problems)
    try:
        mask = read_mask(pair.label_path)
    except DataError as error:
        kind = "unreadable mask" if isinstance(error, ImageError) else "unknown ids"
        problems.append(_problem(kind, error))
        return _Finding(tuple(problems), size_hw)
    problems.extend(_check_size(pair, pair.label_path, mask.values.shape, size_hw))
    if mask.kind == "rgb":
        problems.append(_problem("rgb mask", rgb_mask(mask, pair.label_path)))
        return _Finding(tuple(problems), size_hw, mask.kind)
    unknown = numbering.unknown_ids(mask.values)
    if unknown:
        found = ", ".join(f"{i} ({n} pixels)" for i, n in sorted(unknown.items()))
        detail = f"holds ids outside label set '{numbering.name}': {found}"
        problems.append(Problem("unknown ids", pair.label_path, detail, "map them to a class or to void"))
    counts = np.bincount(mask.values.ravel(), minlength=256)
    return _Finding(tuple(problems), size_hw, mask.kind, counts)


def _check_colors(
    pair: Pair, label_path: Path, colors: MaskColors, size_hw: SizeHW | None, problems: list[Problem]
) -> _Finding:
    """Check a colour-coded mask; unknown colours are counted as id 254, which is no train id."""
    try:
        mask = read_image(label_path)
    except ImageError as error:
        return _Finding((*problems, _problem("unreadable mask", error)), size_hw)
    problems.extend(_check_size(pair, label_path, mask.shape, size_hw))
    train_ids = colors.look_up(mask)
    counts = np.bincount(train_ids.ravel(), minlength=256)
    if counts[UNKNOWN_COLOR]:
        problems.append(_problem("unknown colors", unknown_colors(mask, train_ids, label_path, colors)))
    return _Finding(tuple(problems), size_hw, "colors", counts)


def _check_instances(pair: Pair, size_hw: SizeHW | None) -> list[Problem]:
    if pair.instances_path is None:
        return []
    try:
        shape = read_instances(pair.instances_path).shape
    except ImageError as error:
        return [_problem("unreadable mask", error)]
    return _check_size(pair, pair.instances_path, shape, size_hw)


def _check_size(pair: Pair, mask_path: Path, mask_shape: tuple[int, ...], size_hw: SizeHW | None) -> list[Problem]:
    if size_hw is None or mask_shape[:2] == size_hw:
        return []
    return [_problem("size mismatch", size_mismatch(pair.image_path, size_hw, mask_path, mask_shape))]


def _check_samples(data: SegmentationData) -> Iterator[_Finding]:
    for index in range(len(data)):
        try:
            sample = data[index]
        except DataError as error:
            # Such data names its file, or whatever stands for it, in the message alone.
            yield _Finding((Problem("unreadable sample", Path(f"{data.name}[{index}]"), str(error), "mend the data"),))
            continue
        height, width, _ = sample.image.shape
        counts = None if sample.label is None else np.bincount(sample.label.ravel(), minlength=256)
        yield _Finding((), (height, width), None if counts is None else "gray", counts)


def _problem(kind: str, error: DataError) -> Problem:
    """Make a problem of an error that was made with its parts (see ``DataError.at``)."""
    return Problem(kind, Path(error.file), error.detail, error.remedy)
