from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from made_samples import CallableData, sample

from contextnet.data.augmentation import (
    NO_AUGMENTATION,
    AugmentationRanges,
    draw_color_maps,
    draw_windows,
    recolor,
    warp,
)
from contextnet.data.batches import (
    AUGMENTATION_STREAM,
    NETWORK_STREAM,
    ORDER_STREAM,
    draw_batch,
    epoch_order,
    generator_for,
)
from contextnet.data.decoding import DecodedSplit, decode_split


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


def test_streams_stay_as_runs_on_disk_were_made() -> None:
    # Other numbers would resume such a run with other draws; those from the last on are of one process each.
    assert (ORDER_STREAM, AUGMENTATION_STREAM, NETWORK_STREAM) == (0, 1, 2)
    state = np.random.SeedSequence([3, 0, 5]).generate_state(1, np.uint64)
    expected = torch.randperm(50, generator=torch.Generator().manual_seed(int(state[0]) >> 1))
    assert torch.equal(epoch_order(50, seed=3, epoch=5), expected)


def test_generators_are_pure_and_differ_by_seed_step_and_stream() -> None:
    keys = [(seed, step, stream) for seed in (0, 1, 2**62) for step in (0, 1, 2) for stream in (0, 1, 2)]
    draws = [torch.rand(2, generator=generator_for(a, b, stream=c)).tolist() for a, b, c in keys]
    again = [torch.rand(2, generator=generator_for(a, b, stream=c)).tolist() for a, b, c in keys]
    assert draws == again
    assert len({tuple(d) for d in draws}) == len(keys)


RANGES = AugmentationRanges()
SENSED = AugmentationRanges(cast=0.3, gamma=0.3, blur=0.6, noise=8.0)
MIXED = AugmentationRanges(noise=8.0, class_mix=0.7)


def augmenting(seed: int, step: int) -> torch.Generator:
    return generator_for(seed, step, stream=AUGMENTATION_STREAM)


def split_of(sizes_hw: list[tuple[int, int]]) -> DecodedSplit:
    return decode_split(CallableData(len(sizes_hw), lambda i: sample(i, sizes_hw[i])))


@pytest.mark.parametrize("sizes_hw", [[(12, 20)] * 4, [(12, 20), (9, 31), (40, 16), (12, 20)], [(1, 1)]])
def test_batch_has_one_crop_of_each_sample(sizes_hw: list[tuple[int, int]]) -> None:
    split = split_of(sizes_hw)
    batch = draw_batch(split, list(range(len(split))), (16, 24), RANGES, augmenting(0, 0))
    assert batch.images.shape == (len(split), 3, 16, 24)
    assert batch.images.dtype == torch.float32
    assert 0 <= batch.images.min() <= batch.images.max() <= 255
    assert batch.labels.shape == (len(split), 16, 24)
    assert batch.labels.dtype == torch.int64
    assert set(batch.labels.unique().tolist()) <= {0, 3, 10, 255}


def test_batch_takes_the_samples_asked_for() -> None:
    split = split_of([(8, 16)] * 5)
    batch = draw_batch(split, [4, 1], (8, 16), NO_AUGMENTATION, augmenting(0, 0))
    for image, labels, index in zip(batch.images, batch.labels, [4, 1], strict=True):
        assert torch.equal(image.round().to(torch.uint8), split.images[index])
        assert torch.equal(labels, split.masks[index].long())


def test_samples_of_mixed_sizes_are_warped_as_those_of_one_size() -> None:
    # Sample 0 stands in both batches in first place, so it has the same draw beside whatever sample.
    crop = (16, 24)
    mixed = draw_batch(split_of([(12, 20), (9, 31)]), [0, 1], crop, RANGES, augmenting(7, 0))
    alike = draw_batch(split_of([(12, 20), (12, 20)]), [0, 1], crop, RANGES, augmenting(7, 0))
    torch.testing.assert_close(mixed.images[0], alike.images[0], rtol=0, atol=1e-3)
    assert torch.equal(mixed.labels[0], alike.labels[0])


def test_batch_is_a_function_of_the_generator() -> None:
    split = split_of([(12, 20)] * 3)
    first, same, other = (draw_batch(split, [0, 1, 2], (8, 8), RANGES, augmenting(7, step)) for step in (4, 4, 5))
    assert torch.equal(first.images, same.images)
    assert torch.equal(first.labels, same.labels)
    assert not torch.equal(first.images, other.images)


SIZES = {"alike": [(12, 20)] * 7, "mixed": [(12, 20), (12, 20), (9, 31), (40, 16), (12, 20), (12, 20), (12, 20)]}


@pytest.mark.parametrize("ranges", [RANGES, SENSED, MIXED], ids=["as in the paper", "light and sensor", "mixed"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("lengths", [(2, 2, 2, 1), (3, 3, 1), (1,) * 7, (7,), (5, 2)])
def test_parts_put_together_are_the_whole_batch(
    sizes: str, lengths: tuple[int, ...], ranges: AugmentationRanges
) -> None:
    split = split_of(SIZES[sizes])
    indices = [6, 2, 0, 1, 5, 3, 4]
    whole = draw_batch(split, indices, (16, 24), ranges, augmenting(3, 1))
    starts = [sum(lengths[:k]) for k in range(len(lengths))]
    parts = [
        draw_batch(split, indices, (16, 24), ranges, augmenting(3, 1), part=slice(start, start + length))
        for start, length in zip(starts, lengths, strict=True)
    ]
    assert [len(part.images) for part in parts] == list(lengths)
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_number_of_threads_does_not_change_a_batch(threads: int) -> None:
    split = split_of([(48, 64)] * 5)
    expected = draw_batch(split, [0, 1, 2, 3, 4], (40, 56), SENSED, augmenting(3, 1))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        batch = draw_batch(split, [0, 1, 2, 3, 4], (40, 56), SENSED, augmenting(3, 1))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(batch.labels, expected.labels)
    torch.testing.assert_close(batch.images, expected.images, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("step", "images", "labels"), [(1, 2468955520, 596215525), (11, 1754354240, 2890809036)])
def test_batches_without_light_and_sensor_are_those_of_before_there_were_any(
    step: int, images: int, labels: int
) -> None:
    # Checksums taken then; in these two steps no pixel is within 0.001 of being rounded otherwise.
    batch = draw_batch(split_of([(12, 20), (12, 20), (9, 31)]), [2, 0, 1], (6, 8), RANGES, augmenting(3, step))
    assert zlib.crc32(batch.images.round().byte().contiguous().numpy().tobytes()) == images
    assert zlib.crc32(batch.labels.byte().contiguous().numpy().tobytes()) == labels


def test_without_light_and_sensor_a_batch_is_warped_and_recoloured_and_no_more() -> None:
    split, random, again = split_of([(12, 20)] * 3), augmenting(3, 2), augmenting(3, 2)
    batch = draw_batch(split, [2, 0, 1], (16, 24), RANGES, random)
    windows = draw_windows([(12, 20)] * 3, (16, 24), RANGES, again)
    matrix, grey_share = draw_color_maps(3, RANGES, again)
    assert torch.equal(random.get_state(), again.get_state()), "nothing else is drawn"
    for place, index in enumerate([2, 0, 1]):
        one = slice(place, place + 1)
        warped, labels = warp(split.images[index][None], split.masks[index][None], windows[one], (16, 24))
        assert torch.equal(batch.labels[one], labels.long())
        assert torch.equal(batch.images[one], recolor(warped, matrix[one], grey_share[one]))


def test_light_and_sensor_change_the_images_and_nothing_else() -> None:
    split = split_of([(12, 20), (9, 31), (12, 20)])
    plain, sensed, again = (
        draw_batch(split, [0, 1, 2], (16, 24), ranges, augmenting(5, 1)) for ranges in (RANGES, SENSED, SENSED)
    )
    assert torch.equal(sensed.labels, plain.labels)
    assert torch.equal(sensed.images, again.images)
    assert (sensed.images - plain.images).abs().mean() > 2
    assert 0 <= sensed.images.min() <= sensed.images.max() <= 255
    assert sensed.images.stride() == plain.images.stride()


@pytest.mark.parametrize("sizes", SIZES)
def test_batch_from_a_file_is_the_one_from_memory(sizes: str, tmp_path: Path) -> None:
    data = CallableData(7, lambda i: sample(i, SIZES[sizes][i]))
    mapped = decode_split(data, file=tmp_path / "split")
    from_file, from_memory = (
        draw_batch(split, [3, 4, 0, 1], (16, 24), RANGES, augmenting(3, 1)) for split in (mapped, decode_split(data))
    )
    assert torch.equal(from_file.images, from_memory.images)
    assert torch.equal(from_file.labels, from_memory.labels)


def test_channels_of_a_batch_are_innermost() -> None:
    batch = draw_batch(split_of([(12, 20)] * 3), [0, 1, 2], (16, 24), RANGES, augmenting(0, 0))
    assert batch.images.stride() == (3 * 16 * 24, 1, 3 * 24, 3)


def test_split_itself_is_left_alone() -> None:
    split = split_of([(12, 20)] * 2)
    before = [t.clone() for t in (*split.images, *split.masks)]
    draw_batch(split, [0, 1], (12, 20), RANGES, augmenting(0, 0))
    assert all(torch.equal(a, b) for a, b in zip(before, (*split.images, *split.masks), strict=True))
