"""Decode a split once: to memory, or to a file that any number of processes map."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contextnet.data.decoded_file import map_pixels, read_index, write_decoded
from contextnet.data.reading import READ_TIMEOUT_S, read_ahead
from contextnet.data.relabel import without_instances
from contextnet.data.sample import Sample, SegmentationData
from contextnet.data.verification import NumberingCheck, has_labelled_pixel, void_only
from contextnet.errors import DataError, ImageError
from contextnet.labels import LabelSet


@dataclass(frozen=True)
class DecodedSplit:
    """A whole split decoded: uint8 images (3, H, W) RGB and labels (H, W), and what could not be read.

    All pixels stand in one place: memory, a device, or a mapped file. The images' channels are innermost in memory.
    """

    name: str
    labels: LabelSet
    licence: str
    images: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    skipped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> DecodedSplit:
        """Give the split with its pixels on ``device``; repeated samples go there once."""
        moved = {key: pixels.to(device) for key, pixels in self._distinct().items()}
        images = tuple(moved[id(image)] for image in self.images)
        return replace(self, images=images, masks=tuple(moved[id(mask)] for mask in self.masks))

    def pixel_counts(self) -> NDArray[np.int64]:
        """Count the labelled pixels of each image by train id, int64 (images, classes)."""
        masks = {id(mask): mask for mask in self.masks}
        counts = {key: torch.bincount(mask.flatten(), minlength=256) for key, mask in masks.items()}
        stacked = torch.stack([counts[id(mask)] for mask in self.masks])
        counted: NDArray[np.int64] = stacked[:, : self.labels.num_classes].cpu().numpy()
        return counted

    def _distinct(self) -> dict[int, Tensor]:
        return {id(pixels): pixels for pixels in (*self.images, *self.masks)}


def decode_split(
    data: SegmentationData,
    *,
    unreadable_budget: int = 0,
    progress: Callable[[int, int], None] | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
    file: Path | None = None,
) -> DecodedSplit:
    """Decode every sample of a split, in order, to memory or to ``file``, from where it is mapped.

    A sample whose file cannot be read is skipped and reported while there are at most ``unreadable_budget`` of them.
    Instance masks are left alone: training has no use for them. Decoding runs in threads: no worker process can be
    lost. ``file`` is the caller's to delete, on POSIX as soon as every process that shares it has opened it.

    Raises ``DataError`` naming the sample beyond the budget, and at once for files that can be read but are wrong:
    unknown ids, RGB masks, image and mask of different size, a missing mask; naming the first mask when the split is
    numbered otherwise than expected; for an empty or wholly void split, and when one sample takes longer than
    ``read_timeout_s``; ``ContextNetError`` when ``file`` cannot be written.
    """
    data = without_instances(data)
    skipped: list[str] = []
    with closing(_checked_samples(data, unreadable_budget, skipped, progress, read_timeout_s)) as samples:
        if file is not None:
            write_decoded(file, data, samples, skipped)
            return open_decoded(file)
        decoded = [decode_sample(sample, data.name) for sample in samples]
    images, masks = zip(*decoded, strict=True)
    return DecodedSplit(data.name, data.labels, data.licence, images, masks, tuple(skipped))


def open_decoded(file: Path) -> DecodedSplit:
    """Map a split that another process of this machine decoded to ``file``; its pixels are for reading only.

    Raises ``DataError`` naming the file when it is not whole, or holds something else.
    """
    index = read_index(file)
    images, masks = map_pixels(file, index)
    return DecodedSplit(index.name, index.labels, index.licence, images, masks, index.skipped)


def decode_sample(sample: Sample, data_name: str) -> tuple[Tensor, Tensor]:
    """Turn a sample into uint8 tensors, image (3, H, W) and label (H, W); ``DataError`` without ground truth."""
    if sample.label is None:
        raise DataError(f"{sample.image_path}: has no ground truth; '{data_name}' cannot be trained on")
    image = torch.from_numpy(np.array(sample.image, order="C"))
    return image.permute(2, 0, 1), torch.from_numpy(np.array(sample.label, order="C"))


def join_splits(splits: Sequence[tuple[DecodedSplit, int]]) -> DecodedSplit:
    """Make one split of several, each repeated as often as is said beside it, without copying pixels.

    Raises ``DataError`` naming the two splits whose label sets differ.
    """
    first = splits[0][0]
    for split, _ in splits:
        if split.labels != first.labels:
            raise DataError(
                f"'{first.name}' and '{split.name}' cannot be one split: their label sets "
                f"'{first.labels.name}' ({first.labels.num_classes} classes) and "
                f"'{split.labels.name}' ({split.labels.num_classes} classes) differ; give both the same label set"
            )
    return DecodedSplit(
        " + ".join(split.name for split, _ in splits),
        first.labels,
        " ".join(dict.fromkeys(split.licence for split, _ in splits if split.licence)),
        tuple(image for split, times in splits for image in split.images * times),
        tuple(mask for split, times in splits for mask in split.masks * times),
        tuple(fault for split, _ in splits for fault in split.skipped),
    )


def _checked_samples(
    data: SegmentationData,
    unreadable_budget: int,
    skipped: list[str],
    progress: Callable[[int, int], None] | None,
    read_timeout_s: float,
) -> Generator[Sample, None, None]:
    """Yield the samples that can be read, in order, and judge the split when it is through; see ``decode_split``."""
    numbering, labelled, count = NumberingCheck(data), False, 0
    for index, outcome in enumerate(read_ahead(data, read_timeout_s)):
        if isinstance(outcome, ImageError):
            skipped.append(str(outcome))
            if len(skipped) > unreadable_budget:
                raise DataError(
                    f"{outcome} ({len(skipped)} unreadable so far, 'data.unreadable_budget' allows {unreadable_budget})"
                )
        elif isinstance(outcome, DataError):
            raise outcome
        else:
            labelled |= has_labelled_pixel(outcome, data)
            numbering.add(outcome)
            count += 1
            yield outcome
        if progress:
            progress(index + 1, len(data))
    if not count:
        raise DataError(f"'{data.name}' holds no sample to train on; check the split with 'contextnet data check'")
    numbering.finish()
    if not labelled:
        raise void_only(data)
