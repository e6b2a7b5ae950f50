from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from contextnet.benchmark import training_rate
from contextnet.benchmark.plain_step import draw_plain_batch
from contextnet.benchmark.training_rate import measure_training, noise_split
from contextnet.cli import main
from contextnet.data.augmentation import NO_AUGMENTATION, AugmentationRanges
from contextnet.data.augmentation.sensor import blur, gaussian_kernels
from contextnet.data.batches import Batch
from contextnet.data.decoding import DecodedSplit
from contextnet.labels import CAMVID
from training_data import blocks_split, tiny_recipe

CPU = torch.device("cpu")


def test_rates_and_shares_are_those_of_steps_that_take_known_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only the parts of a step move: drawing takes 1 s, plain drawing 3 s, a step 4 s, a plain one 7 s."""
    clock = {"s": 0.0}

    def passes(seconds: float, result: object = None) -> object:
        clock["s"] += seconds
        return result

    batch = Batch(torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64))
    monkeypatch.setattr(time, "perf_counter", lambda: clock["s"])
    monkeypatch.setattr(training_rate, "draw_batch", lambda *_: passes(1.0, batch))
    monkeypatch.setattr(training_rate, "draw_plain_batch", lambda *_: passes(3.0, batch))
    is_plain = {"float32": 7.0, "bfloat16": 4.0}
    monkeypatch.setattr(
        training_rate, "take_step", lambda run, *_: passes(is_plain[run.recipe.execution.precision], 0.5)
    )
    recipe = tiny_recipe(execution={"precision": "bfloat16"})
    rate = measure_training(recipe, blocks_split(4), CPU, steps=3, rounds=2)
    assert (rate.images_per_s, rate.fixed_batch_images_per_s, rate.plain_images_per_s) == (0.4, 0.5, 0.2)
    assert rate.data_wait_share == 0.2
    assert rate.device_busy_share is None
    assert 50 < rate.peak_memory_mb < 50_000


def test_plain_batch_without_changes_is_the_sample_itself() -> None:
    split = blocks_split(2)
    batch = draw_plain_batch(split, [1, 0], (32, 64), NO_AUGMENTATION, np.random.default_rng(0))
    for place, index in enumerate((1, 0)):
        torch.testing.assert_close(batch.images[place], split.images[index].float(), atol=1e-3, rtol=0)
        assert torch.equal(batch.labels[place], split.masks[index].long())


@pytest.mark.parametrize("scale", [(0.4, 0.5), (1.0, 1.0), (2.0, 2.5)])
def test_plain_batch_has_the_crops_size_and_labels_of_the_source(scale: tuple[float, float]) -> None:
    ranges = AugmentationRanges(scale=scale)
    batch = draw_plain_batch(blocks_split(3), [0, 1, 2], (24, 40), ranges, np.random.default_rng(1))
    assert (batch.images.shape, batch.labels.shape) == ((3, 3, 24, 40), (3, 24, 40))
    assert batch.images.dtype == torch.float32
    assert 0 <= float(batch.images.min()) < float(batch.images.max()) <= 255
    is_void = batch.labels == 255
    assert set(batch.labels[~is_void].unique().tolist()) <= {0, 1, 2}
    # Shrunk to half or less, an image of 32×64 leaves a border around it; at its size or larger it fills the crop.
    assert bool(is_void.any()) == (scale[1] < 1)


def test_plain_colors_stay_within_their_ranges() -> None:
    grey = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    split = DecodedSplit("grey", CAMVID, "", (grey,), (torch.zeros(8, 8, dtype=torch.uint8),), ())
    ranges = AugmentationRanges(scale=(1.0, 1.0), brightness=0.2)
    values = [
        float(draw_plain_batch(split, [0], (8, 8), ranges, np.random.default_rng(seed)).images.mean())
        for seed in range(40)
    ]
    # Grey has no hue or saturation and no contrast of its own: brightness alone moves it, by up to a fifth.
    assert 80 <= min(values) < 88
    assert 112 < max(values) <= 120


def plain_pixels(image: torch.Tensor, count: int, **ranges: float) -> np.ndarray:
    """The image as the plain way shows it ``count`` times, float (count, 3, H, W)."""
    split = DecodedSplit("one", CAMVID, "", (image,), (torch.zeros(image.shape[1:], dtype=torch.uint8),), ())
    size_hw = (image.shape[1], image.shape[2])
    changes = replace(NO_AUGMENTATION, **ranges)
    batch = draw_plain_batch(split, [0] * count, size_hw, changes, np.random.default_rng(3))
    pixels: np.ndarray = batch.images.double().numpy()
    return pixels


def test_plain_light_and_sensor_stay_within_their_ranges() -> None:
    grey = torch.full((3, 16, 16), 100, dtype=torch.uint8)
    red, green, blue = plain_pixels(grey, 60, cast=0.3).mean((2, 3)).T
    assert green == pytest.approx(100, abs=1e-3)
    for gain in (red, blue):
        assert 70 <= gain.min() < 75
        assert 125 < gain.max() <= 130.001
    # 255 · (100 / 255)^exp(±0.3) are 72.06 and 127.49.
    bent = plain_pixels(grey, 60, gamma=0.3).mean((1, 2, 3))
    assert 72.06 <= bent.min() < 75
    assert 124 < bent.max() <= 127.5
    deviations = plain_pixels(grey, 60, noise=10).std((1, 2, 3))
    assert 0 <= deviations.min() < 1
    assert 9 < deviations.max() < 10.7
    white = plain_pixels(torch.full((3, 16, 16), 255, dtype=torch.uint8), 9, noise=10)
    assert 200 < white.min() < white.max() == 255


def test_plain_blur_is_the_gaussian_of_the_fast_way() -> None:
    point = torch.zeros((3, 15, 17), dtype=torch.uint8)
    point[:, 7, 8] = 200
    for seen in plain_pixels(point, 12, blur=1.0):
        assert seen.sum() == pytest.approx(600, rel=1e-3)
        # The sigma that was drawn shows in how much the neighbour has of the centre.
        sigma = math.sqrt(-0.5 / math.log(max(seen[0, 7, 9] / seen[0, 7, 8], 1e-30)))
        expected = blur(point[None].float(), gaussian_kernels(torch.tensor([sigma])))[0]
        np.testing.assert_allclose(seen, expected.numpy(), atol=0.05)
    assert (plain_pixels(point, 40, blur=0.5).max((1, 2, 3)) > 199).mean() == pytest.approx(0.6, abs=0.2)


def test_command_gives_the_figures_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["network.variant=cn14-160", "augmentation.crop_hw=[64, 96]", "batch_size=2"]
    options = [part for change in small for part in ("--set", change)]
    line = ["contextnet", "benchmark", "training", "--steps", "1", "--rounds", "1", "--json", "-", *options]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    figures = json.loads(capsys.readouterr().out)
    assert figures["crop_hw"] == [64, 96]
    for key in ("images_per_s", "fixed_batch_images_per_s", "plain_images_per_s", "peak_memory_mb"):
        assert figures[key] > 0
    assert 0 < figures["data_wait_share"] < 1


def test_noise_has_every_class_and_the_size_asked_for() -> None:
    split = noise_split(CAMVID, (16, 24), 3)
    assert len(split) == 3
    assert split.images[0].shape == (3, 16, 24)
    assert split.pixel_counts().all()
