"""From a split on disk to batches: decode once, keep as uint8, shuffle by seed, warp and recolour by the batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Thread

import numpy as np
import torch
from torch import Generator, Tensor

from contextnet.data.augmentation import AugmentationRanges, draw_color_maps, draw_warps, recolor, warp
from contextnet.data.sample import Sample, SegmentationData
from contextnet.errors import DataError
from contextnet.labels import LabelSet

READ_TIMEOUT_S = 120.0
DECODING_THREADS = 2
READ_AHEAD = 4 * DECODING_THREADS

Outcome = Future[Sample | DataError]
"""What became of reading one sample, once it is known."""


@dataclass(frozen=True)
class Batch:
    """Augmented images, float (N, 3, H, W) RGB of 0…255, and labels, int64 (N, H, W) with 255 for void."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class DecodedSplit:
    """A whole split in memory: uint8 images (3, H, W) RGB and labels (H, W), and what could not be read."""

    name: str
    labels: LabelSet
    licence: str
    images: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    skipped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def pixel_counts(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Count labelled pixels by train id, int64 (classes,)."""
        counts = np.zeros(256, np.int64)
        for mask in self.masks:
            counts += np.bincount(mask.numpy().ravel(), minlength=256)
        return counts[: self.labels.num_classes]


def decode_split(
    data: SegmentationData,
    *,
    unreadable_budget: int = 0,
    progress: Callable[[int, int], None] | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> DecodedSplit:
    """Read every sample of a split into memory, in order.

    A sample that cannot be read is skipped and reported while there are at most ``unreadable_budget`` of them.
    Raises ``DataError`` naming the sample beyond that, for a sample without ground truth, for an empty split, and
    when one sample takes longer than ``read_timeout_s``. Decoding runs in threads: no worker process can be lost.
    """
    images, masks, skipped = [], [], []
    for index, outcome in enumerate(_read_all(data, read_timeout_s)):
        if isinstance(outcome, DataError):
            skipped.append(str(outcome))
            if len(skipped) > unreadable_budget:
                raise DataError(
                    f"{outcome} ({len(skipped)} unreadable so far, 'data.unreadable_budget' allows {unreadable_budget})"
                )
        else:
            image, mask = decode_sample(outcome, data.name)
            images.append(image)
            masks.append(mask)
        if progress:
            progress(index + 1, len(data))
    if not images:
        raise DataError(f"'{data.name}' holds no sample to train on; check the split with 'contextnet data check'")
    return DecodedSplit(data.name, data.labels, data.licence, tuple(images), tuple(masks), tuple(skipped))


def decode_sample(sample: Sample, data_name: str) -> tuple[Tensor, Tensor]:
    """Turn a sample into uint8 tensors, image (3, H, W) and label (H, W); ``DataError`` without ground truth."""
    if sample.label is None:
        raise DataError(f"{sample.image_path}: has no ground truth; '{data_name}' cannot be trained on")
    image = np.ascontiguousarray(sample.image.transpose(2, 0, 1))
    return torch.from_numpy(image), torch.from_numpy(np.ascontiguousarray(sample.label))


def _read_all(data: SegmentationData, timeout_s: float) -> Iterator[Sample | DataError]:
    """Read ahead in threads, yield in order; errors about data are values, everything else is raised.

    A read that hangs cannot be stopped, so the threads are daemons, which nobody waits for when the program ends.
    """
    jobs: SimpleQueue[tuple[int, Outcome] | None] = SimpleQueue()
    stop = Event()
    for number in range(min(DECODING_THREADS, len(data))):
        Thread(target=_read_jobs, args=(data, jobs, stop), name=f"decode-{number}", daemon=True).start()
    pending: deque[Outcome] = deque()
    submitted = 0
    try:
        for index in range(len(data)):
            while submitted < min(index + READ_AHEAD, len(data)):
                pending.append(Future())
                jobs.put((submitted, pending[-1]))
                submitted += 1
            try:
                yield pending.popleft().result(timeout=timeout_s)
            except FutureTimeoutError:
                raise DataError(
                    f"sample {index} of '{data.name}' was not read within {timeout_s:g} s; check the disk"
                ) from None
    finally:
        stop.set()
        for _ in range(DECODING_THREADS):
            jobs.put(None)


def _read_jobs(data: SegmentationData, jobs: SimpleQueue[tuple[int, Outcome] | None], stop: Event) -> None:
    """Read one sample a job until stopped; None wakes a thread that waits for a job when there are no more."""
    while (job := jobs.get()) is not None and not stop.is_set():
        index, outcome = job
        try:
            outcome.set_result(data[index])
        except DataError as error:
            outcome.set_result(error)
        except BaseException as error:
            outcome.set_exception(error)


def epoch_order(length: int, seed: int, epoch: int) -> Tensor:
    """Shuffle 0…length-1 for one epoch: a pure function of seed and epoch, int64 (length,)."""
    return torch.randperm(length, generator=generator_for(seed, epoch, stream=0))


def generator_for(seed: int, index: int, *, stream: int, device: str | torch.device = "cpu") -> Generator:
    """Make the generator of one step or epoch, so that any of them can be repeated without those before it."""
    state = np.random.SeedSequence([seed, stream, index]).generate_state(1, np.uint64)
    return Generator(device).manual_seed(int(state[0]) >> 1)


def draw_batch(
    split: DecodedSplit,
    indices: list[int],
    crop_hw: tuple[int, int],
    ranges: AugmentationRanges,
    generator: Generator,
) -> Batch:
    """Cut, warp and recolour the samples ``indices`` to one batch, on the generator's device."""
    device = generator.device
    images = [split.images[i] for i in indices]
    masks = [split.masks[i] for i in indices]
    sizes = [(int(m.shape[0]), int(m.shape[1])) for m in masks]
    theta = draw_warps(sizes, crop_hw, ranges, generator)
    if len(set(sizes)) == 1:
        warped, labels = warp(torch.stack(images).to(device), torch.stack(masks).to(device), theta, crop_hw)
    else:
        pieces = [
            warp(image[None].to(device), mask[None].to(device), one[None], crop_hw)
            for image, mask, one in zip(images, masks, theta, strict=True)
        ]
        warped = torch.cat([piece[0] for piece in pieces])
        labels = torch.cat([piece[1] for piece in pieces])
    matrix, grey_share = draw_color_maps(len(indices), ranges, generator)
    return Batch(recolor(warped, matrix, grey_share), labels.long())
