from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from contextnet.data.augmentation import NO_AUGMENTATION, AugmentationRanges
from contextnet.data.batches import DecodedSplit, decode_split, draw_batch, epoch_order, generator_for
from contextnet.data.reading import READ_AHEAD
from contextnet.data.sample import Sample
from contextnet.errors import DataError, ImageError
from contextnet.labels import CAMVID, LabelSet


def sample(index: int, size_hw: tuple[int, int] = (4, 6)) -> Sample:
    random = np.random.default_rng(index)
    image = random.integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    label = random.choice(np.array([0, 3, 10, 255], np.uint8), size_hw)
    return Sample(image, label, Path(f"{index}.png"), Path(f"{index}_mask.png"))


@dataclass
class CallableData:
    """A split whose samples a function makes; keeps the indices in the order of reading."""

    count: int
    read: Callable[[int], Sample] = sample
    name: str = "made/train"
    labels: LabelSet = CAMVID
    licence: str = "for tests"
    indices: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        self.indices.append(index)
        return self.read(index)


def broken_at(*indices: int) -> Callable[[int], Sample]:
    def read(index: int) -> Sample:
        if index in indices:
            raise ImageError(f"{index}.png: is damaged")
        return sample(index)

    return read


def test_samples_stay_in_order_and_as_they_are() -> None:
    calls: list[tuple[int, int]] = []
    data = CallableData(40, lambda i: sample(i, (3 + i % 5, 7)))
    split = decode_split(data, progress=lambda done, total: calls.append((done, total)))
    assert len(split) == 40
    assert (split.name, split.labels, split.licence, split.skipped) == ("made/train", CAMVID, "for tests", ())
    for index, (image, mask) in enumerate(zip(split.images, split.masks, strict=True)):
        expected = sample(index, (3 + index % 5, 7))
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), expected.image)
        np.testing.assert_array_equal(mask.numpy(), expected.label)
    assert calls == [(n, 40) for n in range(1, 41)]
    assert sorted(data.indices) == list(range(40))


def test_pixel_counts_are_by_image_and_leave_void_out() -> None:
    masks = np.array([[0, 0, 3], [10, 255, 3]], np.uint8)
    image = np.zeros((2, 3, 3), np.uint8)
    data = CallableData(2, lambda i: Sample(image, masks if i else np.zeros_like(masks), Path("a.png")))
    expected = [[6] + [0] * 10, [2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1]]
    assert decode_split(data).pixel_counts().tolist() == expected


@pytest.mark.parametrize(
    ("broken", "budget", "error"),
    [
        ((2,), 1, None),
        ((0, 5), 2, None),
        ((0, 1, 2, 3, 4), 5, None),
        ((2,), 0, r"^2\.png: is damaged \(1 unreadable so far, 'data.unreadable_budget' allows 0\)$"),
        ((1, 4, 5), 2, r"^5\.png: is damaged \(3 unreadable so far, 'data.unreadable_budget' allows 2\)$"),
        ((0, 1, 2, 3, 4, 5), 6, "^'made/train' holds no sample to train on"),
    ],
)
def test_unreadable_samples_within_and_beyond_the_budget(
    broken: tuple[int, ...], budget: int, error: str | None
) -> None:
    data = CallableData(6, broken_at(*broken))
    if error:
        with pytest.raises(DataError, match=error):
            decode_split(data, unreadable_budget=budget)
        return
    split = decode_split(data, unreadable_budget=budget)
    assert split.skipped == tuple(f"{index}.png: is damaged" for index in broken)
    kept = [index for index in range(6) if index not in broken]
    assert len(split) == len(kept)
    for image, index in zip(split.images, kept, strict=True):
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), sample(index).image)


def test_wrong_data_is_refused_whatever_the_budget() -> None:
    def read(index: int) -> Sample:
        if index == 1:
            raise DataError("1.png: ids outside label set 'camvid': 77 (3 pixels)")
        return sample(index)

    with pytest.raises(DataError, match=r"^1\.png: ids outside label set 'camvid': 77 \(3 pixels\)$"):
        decode_split(CallableData(6, read), unreadable_budget=6)


def test_sample_without_ground_truth_is_refused_by_name() -> None:
    data = CallableData(3, lambda i: replace(sample(i), label=None) if i == 1 else sample(i))
    with pytest.raises(DataError, match=r"^1\.png: has no ground truth; 'made/train' cannot be trained on or scored$"):
        decode_split(data, unreadable_budget=3)


def test_empty_split_is_refused() -> None:
    with pytest.raises(DataError, match="'made/train' holds no sample to train on; check the split"):
        decode_split(CallableData(0))


def test_faults_of_the_program_are_not_taken_for_unreadable_samples() -> None:
    def read(index: int) -> Sample:
        if index == 3:
            raise KeyError("a bug")
        return sample(index)

    with pytest.raises(KeyError, match="a bug"):
        decode_split(CallableData(6, read), unreadable_budget=6)


def test_reading_runs_in_threads_of_this_process_and_ends_with_it() -> None:
    places: set[tuple[int, str]] = set()

    def read(index: int) -> Sample:
        places.add((os.getpid(), threading.current_thread().name))
        return sample(index)

    decode_split(CallableData(20, read))
    assert {pid for pid, _ in places} == {os.getpid()}
    assert {name for _, name in places} <= {"decode-0", "decode-1"}
    for thread in threading.enumerate():
        if thread.name.startswith("decode-"):
            thread.join(timeout=10)
            assert not thread.is_alive()


def test_hanging_read_is_an_error_within_the_time_limit() -> None:
    release = threading.Event()

    def read(index: int) -> Sample:
        if index == 2:
            release.wait()
        return sample(index)

    started = time.monotonic()
    try:
        with pytest.raises(DataError, match=r"^sample 2 of 'made/train' was not read within 0.2 s; check the disk$"):
            decode_split(CallableData(50, read), read_timeout_s=0.2)
        assert time.monotonic() - started < 5
    finally:
        release.set()


def test_reading_stops_after_an_error() -> None:
    data = CallableData(10_000, broken_at(0))
    with pytest.raises(DataError, match=r"0\.png"):
        decode_split(data)
    for thread in threading.enumerate():
        if thread.name.startswith("decode-"):
            thread.join(timeout=10)
    assert len(data.indices) <= READ_AHEAD


HANGING_PROGRAM = """
import threading
from contextnet.data.batches import decode_split
from contextnet.errors import DataError
from contextnet.labels import CAMVID

class Hanging:
    name, labels, licence = "hanging/train", CAMVID, ""
    def __len__(self): return 9
    def __getitem__(self, index): threading.Event().wait()

try:
    decode_split(Hanging(), read_timeout_s=0.1)
except DataError as error:
    print(error)
"""


def test_hanging_read_does_not_keep_the_program_from_ending() -> None:
    command = [sys.executable, "-c", HANGING_PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "sample 0 of 'hanging/train' was not read within 0.1 s; check the disk\n"


@pytest.mark.parametrize("length", [1, 2, 7, 367])
def test_epoch_order_is_a_permutation_and_pure(length: int) -> None:
    order = epoch_order(length, seed=3, epoch=5)
    assert sorted(order.tolist()) == list(range(length))
    torch.manual_seed(99)
    assert torch.equal(order, epoch_order(length, seed=3, epoch=5))


def test_epoch_orders_differ_by_seed_and_epoch() -> None:
    orders = {tuple(epoch_order(50, seed, epoch).tolist()) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_every_sample_takes_every_place_about_equally_often() -> None:
    # 600 epochs of 6 samples: each stands in each place 100 times on average, with a deviation of 9.
    places = torch.zeros(6, 6)
    for epoch in range(600):
        places[torch.arange(6), epoch_order(6, 1, epoch)] += 1
    assert places.min() > 60
    assert places.max() < 140


def test_generators_are_pure_and_differ_by_seed_step_and_stream() -> None:
    keys = [(seed, step, stream) for seed in (0, 1, 2**62) for step in (0, 1, 2) for stream in (0, 1, 2)]
    draws = [torch.rand(2, generator=generator_for(a, b, stream=c)).tolist() for a, b, c in keys]
    again = [torch.rand(2, generator=generator_for(a, b, stream=c)).tolist() for a, b, c in keys]
    assert draws == again
    assert len({tuple(d) for d in draws}) == len(keys)


RANGES = AugmentationRanges()


def split_of(sizes_hw: list[tuple[int, int]]) -> DecodedSplit:
    return decode_split(CallableData(len(sizes_hw), lambda i: sample(i, sizes_hw[i])))


@pytest.mark.parametrize("sizes_hw", [[(12, 20)] * 4, [(12, 20), (9, 31), (40, 16), (12, 20)], [(1, 1)]])
def test_batch_has_one_crop_of_each_sample(sizes_hw: list[tuple[int, int]]) -> None:
    split = split_of(sizes_hw)
    batch = draw_batch(split, list(range(len(split))), (16, 24), RANGES, generator_for(0, 0, stream=1))
    assert batch.images.shape == (len(split), 3, 16, 24)
    assert batch.images.dtype == torch.float32
    assert 0 <= batch.images.min() <= batch.images.max() <= 255
    assert batch.labels.shape == (len(split), 16, 24)
    assert batch.labels.dtype == torch.int64
    assert set(batch.labels.unique().tolist()) <= {0, 3, 10, 255}


def test_batch_takes_the_samples_asked_for() -> None:
    split = split_of([(8, 16)] * 5)
    batch = draw_batch(split, [4, 1], (8, 16), NO_AUGMENTATION, generator_for(0, 0, stream=1))
    for image, labels, index in zip(batch.images, batch.labels, [4, 1], strict=True):
        assert torch.equal(image.round().to(torch.uint8), split.images[index])
        assert torch.equal(labels, split.masks[index].long())


def test_samples_of_mixed_sizes_are_warped_as_those_of_one_size() -> None:
    # Sample 0 stands in both batches in first place, so it has the same draw beside whatever sample.
    crop = (16, 24)
    mixed = draw_batch(split_of([(12, 20), (9, 31)]), [0, 1], crop, RANGES, generator_for(7, 0, stream=1))
    alike = draw_batch(split_of([(12, 20), (12, 20)]), [0, 1], crop, RANGES, generator_for(7, 0, stream=1))
    torch.testing.assert_close(mixed.images[0], alike.images[0], rtol=0, atol=1e-3)
    assert torch.equal(mixed.labels[0], alike.labels[0])


def test_batch_is_a_function_of_the_generator() -> None:
    split = split_of([(12, 20)] * 3)
    first, same, other = (
        draw_batch(split, [0, 1, 2], (8, 8), RANGES, generator_for(7, step, stream=1)) for step in (4, 4, 5)
    )
    assert torch.equal(first.images, same.images)
    assert torch.equal(first.labels, same.labels)
    assert not torch.equal(first.images, other.images)


def test_split_itself_is_left_alone() -> None:
    split = split_of([(12, 20)] * 2)
    before = [t.clone() for t in (*split.images, *split.masks)]
    draw_batch(split, [0, 1], (12, 20), RANGES, generator_for(0, 0, stream=1))
    assert all(torch.equal(a, b) for a, b in zip(before, (*split.images, *split.masks), strict=True))
