from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_samples import CallableData, broken_at, sample

from contextnet.data.decoding import DecodedSplit, decode_split, join_splits
from contextnet.data.reading import READ_AHEAD
from contextnet.data.sample import Sample
from contextnet.errors import DataError
from contextnet.labels import CAMVID, CITYSCAPES


@pytest.fixture(params=["memory", "mapped"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Where to decode to; nothing else stands in its folder."""
    return tmp_path / "split" if request.param == "mapped" else None


def assert_nothing_is_left(file: Path | None) -> None:
    assert file is None or list(file.parent.iterdir()) == []


def test_samples_stay_in_order_and_as_they_are(file: Path | None) -> None:
    calls: list[tuple[int, int]] = []
    data = CallableData(40, lambda i: sample(i, (3 + i % 5, 7)))
    split = decode_split(data, progress=lambda done, total: calls.append((done, total)), file=file)
    assert len(split) == 40
    assert (split.name, split.labels, split.licence, split.skipped) == ("made/train", CAMVID, "for tests", ())
    for index, (image, mask) in enumerate(zip(split.images, split.masks, strict=True)):
        expected = sample(index, (3 + index % 5, 7))
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), expected.image)
        np.testing.assert_array_equal(mask.numpy(), expected.label)
        assert (image.dtype, mask.dtype, image.device.type) == (torch.uint8, torch.uint8, "cpu")
        assert image.permute(1, 2, 0).is_contiguous()
    assert calls == [(n, 40) for n in range(1, 41)]
    assert sorted(data.indices) == list(range(40))


def test_pixel_counts_are_by_image_and_leave_void_out(file: Path | None) -> None:
    masks = np.array([[0, 0, 3], [10, 255, 3]], np.uint8)
    image = np.zeros((2, 3, 3), np.uint8)
    data = CallableData(2, lambda i: Sample(image, masks if i else np.zeros_like(masks), Path("a.png")))
    first, second = [6] + [0] * 10, [2, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1]
    split = decode_split(data, file=file)
    assert split.pixel_counts().tolist() == [first, second]
    repeated = join_splits([(split, 2), (split, 1)])
    assert repeated.pixel_counts().tolist() == [first, second, first, second, first, second]
    assert split.pixel_counts().dtype == np.int64


def named_split(name: str, licence: str, count: int, *broken: int, seed: int = 0) -> DecodedSplit:
    """Samples of 4×6 pixels, 96 bytes decoded."""
    read = broken_at(*broken)
    data = CallableData(count, lambda i: read(i) if i in broken else sample(seed + i), name=name, licence=licence)
    return decode_split(data, unreadable_budget=len(broken))


def test_splits_are_joined_by_reference_and_in_order() -> None:
    a = named_split("a/train", "Notice A.", 3, 1, seed=0)
    b = named_split("b/train", "", 2, seed=50)
    c = named_split("c/train", "Notice A.", 1, seed=70)
    d = named_split("d/train", "Notice D.", 2, 0, seed=90)
    joined = join_splits([(a, 2), (b, 1), (c, 3), (d, 1)])
    assert joined.name == "a/train + b/train + c/train + d/train"
    assert joined.licence == "Notice A. Notice D."
    assert joined.skipped == ("1.png: is damaged", "0.png: is damaged")
    assert joined.labels == CAMVID
    images = [*a.images, *a.images, *b.images, *c.images, *c.images, *c.images, *d.images]
    masks = [*a.masks, *a.masks, *b.masks, *c.masks, *c.masks, *c.masks, *d.masks]
    assert len(joined) == len(images) == 10
    assert all(one is other for one, other in zip(joined.images, images, strict=True))
    assert all(one is other for one, other in zip(joined.masks, masks, strict=True))


def test_single_split_joined_once_is_itself() -> None:
    split = named_split("a/train", "Notice A.", 2)
    assert join_splits([(split, 1)]) == split


def test_splits_of_different_label_sets_are_not_joined() -> None:
    a = named_split("a/train", "", 1)
    b = replace(named_split("b/train", "", 1), labels=CITYSCAPES)
    message = (
        r"^'a/train' and 'b/train' cannot be one split: their label sets 'camvid' \(11 classes\) and 'cityscapes' "
        r"\(19 classes\) differ; give both the same label set$"
    )
    with pytest.raises(DataError, match=message):
        join_splits([(a, 1), (a, 2), (b, 1)])


def test_split_moves_as_a_whole_and_repeated_samples_once() -> None:
    split = named_split("a/train", "Notice A.", 3, 1)
    moved = join_splits([(split, 3)]).to("meta")
    assert {t.device.type for t in (*moved.images, *moved.masks)} == {"meta"}
    assert [tuple(image.shape) for image in moved.images] == [(3, 4, 6)] * 6
    assert all(image.permute(1, 2, 0).is_contiguous() for image in moved.images)
    assert all(moved.images[i] is moved.images[i % 2] and moved.masks[i] is moved.masks[i % 2] for i in range(6))
    assert (moved.name, moved.labels, moved.licence, moved.skipped) == ("a/train", CAMVID, "Notice A.", split.skipped)


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
    broken: tuple[int, ...], budget: int, error: str | None, file: Path | None
) -> None:
    data = CallableData(6, broken_at(*broken))
    if error:
        with pytest.raises(DataError, match=error):
            decode_split(data, unreadable_budget=budget, file=file)
        assert_nothing_is_left(file)
        return
    split = decode_split(data, unreadable_budget=budget, file=file)
    assert split.skipped == tuple(f"{index}.png: is damaged" for index in broken)
    kept = [index for index in range(6) if index not in broken]
    assert len(split) == len(kept)
    for image, index in zip(split.images, kept, strict=True):
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), sample(index).image)


def test_wrong_data_is_refused_whatever_the_budget(file: Path | None) -> None:
    def read(index: int) -> Sample:
        if index == 1:
            raise DataError("1.png: ids outside label set 'camvid': 77 (3 pixels)")
        return sample(index)

    with pytest.raises(DataError, match=r"^1\.png: ids outside label set 'camvid': 77 \(3 pixels\)$"):
        decode_split(CallableData(6, read), unreadable_budget=6, file=file)
    assert_nothing_is_left(file)


def test_sample_without_ground_truth_is_refused_by_name(file: Path | None) -> None:
    data = CallableData(3, lambda i: replace(sample(i), label=None) if i == 1 else sample(i))
    with pytest.raises(DataError, match=r"^1\.png: has no ground truth; 'made/train' cannot be trained on or scored$"):
        decode_split(data, unreadable_budget=3, file=file)
    assert_nothing_is_left(file)


def test_empty_split_is_refused(file: Path | None) -> None:
    with pytest.raises(DataError, match="'made/train' holds no sample to train on; check the split"):
        decode_split(CallableData(0), file=file)
    assert_nothing_is_left(file)


def test_wholly_void_split_is_refused(file: Path | None) -> None:
    data = CallableData(3, lambda i: replace(sample(i), label=np.full((4, 6), 255, np.uint8)))
    with pytest.raises(DataError, match=r"^'made/train' holds void pixels only"):
        decode_split(data, file=file)
    assert_nothing_is_left(file)


def test_source_and_split_share_no_pixels(file: Path | None) -> None:
    kept = sample(0)
    split = decode_split(CallableData(1, lambda _: kept), file=file)
    before = split.images[0].clone(), split.masks[0].clone()
    assert kept.label is not None
    kept.image[:] += 1
    kept.label[:] = 3
    assert torch.equal(split.images[0], before[0])
    assert torch.equal(split.masks[0], before[1])


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
from contextnet.data.decoding import decode_split
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
