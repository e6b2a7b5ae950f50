from __future__ import annotations

import json
import sys
import time

import numpy as np
import pytest
import torch

from contextnet.benchmark import training_rate
from contextnet.benchmark.plain_step import draw_plain_batch
from contextnet.benchmark.training_rate import measure_training, noise_split
from contextnet.cli import main
from contextnet.data.augmentation import NO_AUGMENTATION, AugmentationRanges
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
