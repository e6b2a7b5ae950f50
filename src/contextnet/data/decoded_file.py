"""Decoded samples in a file that processes map instead of decoding again.

The file begins with a mark; then stand the pixels of each sample, uint8, image (H, W, 3) before label (H, W); then an
index as JSON, its length in 8 bytes, little-endian, and the mark again. A process that has mapped the file keeps the
pixels also when the file is deleted (POSIX).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import DataError
from contextnet.files import write_atomically
from contextnet.labels import LabelSet

FORMAT = "contextnet-decoded-1"
_MARK = b"\x89contextnet decoded samples\n"
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class DecodedIndex:
    """What a file of decoded samples says of itself; ``places`` holds each sample's (offset, height, width)."""

    name: str
    labels: LabelSet
    licence: str
    skipped: tuple[str, ...]
    places: tuple[tuple[int, int, int], ...]


def write_decoded(file: Path, data: SegmentationData, samples: Iterable[Sample], skipped: Sequence[str]) -> None:
    """Write samples of ``data``, all with ground truth, to a file one by one, keeping none in memory.

    ``skipped`` is looked at when the samples are through, since what makes them may add to it. Raises
    ``ContextNetError`` naming the file when it cannot be written; errors of ``samples`` pass through. Nothing is left
    behind on failure.
    """

    def write(out: BinaryIO) -> None:
        out.write(_MARK)
        places = [_write_sample(out, sample) for sample in samples]
        values = {
            "format": FORMAT,
            "name": data.name,
            "labels": data.labels.to_json(),
            "licence": data.licence,
            "skipped": list(skipped),
            "places": places,
        }
        index = json.dumps(values).encode()
        out.write(index + len(index).to_bytes(_LENGTH_BYTES, "little") + _MARK)

    write_atomically(file, write)


def _write_sample(out: BinaryIO, sample: Sample) -> tuple[int, int, int]:
    assert sample.label is not None
    offset = out.tell()
    for pixels in (sample.image, sample.label):
        out.write(np.ascontiguousarray(pixels, np.uint8).data)
    height, width = sample.label.shape
    return offset, height, width


def read_index(file: Path) -> DecodedIndex:
    """Read the index of a file that ``write_decoded`` wrote; ``DataError`` naming a file that is not whole or another.

    All places that it names lie inside the file.
    """
    try:
        with file.open("rb") as opened:
            text, end = _read_trailer(file, opened)
    except OSError as error:
        raise DataError.at(file, f"cannot be read: {error.strerror or error}", "decode the split again") from None
    try:
        values = json.loads(text)
        if values["format"] != FORMAT:
            found = f"has the format '{values['format']}' where '{FORMAT}' is expected"
            raise DataError.at(file, found, "decode the split again with this version")
        return _index_from(values, end, str(file))
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError):
        raise _damaged(file, "has an index that makes no sense") from None


def _read_trailer(file: Path, opened: BinaryIO) -> tuple[bytes, int]:
    """Read the index as it stands, and tell where the pixels end."""
    if opened.read(len(_MARK)) != _MARK:
        raise DataError.at(file, "holds no decoded samples", "give a file that a split was decoded to")
    tail = _LENGTH_BYTES + len(_MARK)
    tail_at = opened.seek(0, os.SEEK_END) - tail
    if tail_at < len(_MARK):
        raise _damaged(file, "ends before its index")
    opened.seek(tail_at)
    length_bytes, mark = opened.read(_LENGTH_BYTES), opened.read(len(_MARK))
    end = tail_at - int.from_bytes(length_bytes, "little")
    if mark != _MARK or end < len(_MARK):
        raise _damaged(file, "ends before its index")
    opened.seek(end)
    return opened.read(tail_at - end), end


def _damaged(file: Path, found: str) -> DataError:
    return DataError.at(file, found, "it was cut off or altered; decode the split again")


def _index_from(values: dict[str, Any], end: int, file: str) -> DecodedIndex:
    """Build the index of pixels before ``end``; ``ValueError`` and the like where it cannot be one."""
    places = tuple((int(offset), int(height), int(width)) for offset, height, width in values["places"])
    if not places:
        raise ValueError("no samples")
    for offset, height, width in places:
        if min(height, width) < 1 or offset < len(_MARK) or offset + 4 * height * width > end:
            raise ValueError(offset)
    labels = LabelSet.from_json(values["labels"], file)
    return DecodedIndex(str(values["name"]), labels, str(values["licence"]), tuple(values["skipped"]), places)


def map_pixels(file: Path, index: DecodedIndex) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Map the pixels that ``index`` names: uint8 images (3, H, W) RGB and labels (H, W), read from disk when touched.

    They are for reading only: what is written to them is written to the file, and seen by all who map it. Raises
    ``DataError`` naming a file that cannot be mapped.
    """
    try:
        # A shared mapping is no demand on memory, however large; a private one that could be written would be.
        whole = torch.from_file(str(file), shared=True, size=file.stat().st_size, dtype=torch.uint8)
    except (OSError, RuntimeError) as error:
        found = f"cannot be mapped: {str(error).splitlines()[0]}"
        raise DataError.at(file, found, "choose a folder on a local disk and decode the split again") from None
    images, masks = [], []
    for offset, height, width in index.places:
        split, end = offset + 3 * height * width, offset + 4 * height * width
        images.append(whole[offset:split].view(height, width, 3).permute(2, 0, 1))
        masks.append(whole[split:end].view(height, width))
    return tuple(images), tuple(masks)
