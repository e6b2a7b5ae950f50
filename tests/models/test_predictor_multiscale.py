from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from prediction_sources import (
    CLASSES,
    FunctionSource,
    GivenScores,
    full_size_scores,
    lively_network,
    log_odds_source,
    noise,
    whole,
)
from torch import Tensor
from torch.nn import functional as F

from contextnet.models.multiscale import MeanScores, MirroredScores, MultiScalePredictor, ResizedScores
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.score_field import best_classes

SIZES = [(1, 1), (1, 211), (37, 53), (96, 128)]


def resized(pixels: Tensor, size_hw: tuple[int, ...]) -> Tensor:
    return F.interpolate(pixels.float(), size_hw, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize(
    ("scales", "flip"),
    [((0.75, 1.0, 1.25), False), ((1.0,), True), ((0.5, 2.0), True), ((1.75,), False)],
)
def test_equals_the_same_steps_taken_whole(size_hw: tuple[int, int], scales: tuple[float, ...], flip: bool) -> None:
    network, image = lively_network(seed=1), noise(size_hw, seed=3)
    scores = full_size_scores(network)
    views = []
    for scale in scales:
        scaled = resized(image, tuple(max(1, math.floor(side * scale + 0.5)) for side in size_hw))
        views.append(resized(scores(scaled), size_hw))
        if flip:
            views.append(resized(scores(scaled.flip(-1)).flip(-1), size_hw))
    expected = torch.stack([view.softmax(dim=1) for view in views]).mean(dim=0)

    predictor = MultiScalePredictor(NetworkPredictor(network), scales, flip)
    found = whole(predictor, image)
    if len(views) == 1:
        found = found.softmax(dim=1)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    labels = predictor.labels(image[0].permute(1, 2, 0).numpy())
    assert labels.shape == size_hw
    best = expected[0].gather(0, torch.from_numpy(labels).long()[None])[0]
    assert float((expected[0].max(dim=0).values - best).max()) <= 4e-5


@pytest.mark.parametrize("size_hw", SIZES)
def test_one_view_is_the_plain_prediction(size_hw: tuple[int, int]) -> None:
    plain, image = NetworkPredictor(lively_network()), noise(size_hw, seed=4)
    pixels = image[0].permute(1, 2, 0).numpy()
    assert torch.equal(whole(MultiScalePredictor(plain), image), whole(plain, image))
    assert np.array_equal(MultiScalePredictor(plain).labels(pixels), plain.labels(pixels))


@pytest.mark.parametrize(
    ("scale", "size_hw"),
    [(1.0, (5, 6)), (0.5, (3, 3)), (0.1, (1, 1)), (1.3, (7, 8)), (2.0, (10, 12))],
)
def test_sizes_of_the_views(scale: float, size_hw: tuple[int, int]) -> None:
    source = FunctionSource(lambda image: image[:, :2])
    MultiScalePredictor(source, (scale,), flip=True).field(noise((5, 6)))
    assert [tuple(view.shape[-2:]) for view in source.shown] == [size_hw] * 2
    assert torch.equal(source.shown[1], source.shown[0].flip(-1))


def test_an_image_at_its_own_size_is_shown_untouched() -> None:
    source, image = FunctionSource(lambda image: image[:, :2]), noise((5, 6))
    MultiScalePredictor(source, (1.0, 0.5)).field(image)
    assert source.shown[0].dtype == torch.uint8
    assert torch.equal(source.shown[0], image)
    # Half-pixel centres at half the size: the mean of each 2×2 block, 5 rows becoming 3 at 0.33, 2 and 3.67.
    middle = image[:, :, 2].float().reshape(1, 3, 3, 2).mean(dim=-1)
    torch.testing.assert_close(source.shown[1][:, :, 1], middle)


def test_probabilities_are_averaged_and_not_scores() -> None:
    # The scores' mean is (ln 9999 - 2 ln 4) / 3 = 2.1 in favour of class 0; the probabilities' mean is 0.4666.
    source = log_odds_source(0.9999, 0.2, 0.2)
    found = whole(MultiScalePredictor(source, (0.5, 1.0, 2.0)), noise((4, 6)))
    torch.testing.assert_close(found[0, 0], torch.full((4, 6), 1.3999 / 3))
    labels = MultiScalePredictor(log_odds_source(0.9999, 0.2, 0.2), (0.5, 1.0, 2.0)).labels(np.zeros((4, 6, 3), "u1"))
    assert np.array_equal(labels, np.ones((4, 6), np.uint8))


def test_mirroring_the_image_mirrors_the_labels() -> None:
    predictor = MultiScalePredictor(NetworkPredictor(lively_network(seed=2)), flip=True)
    pixels = noise((45, 71), seed=6)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(predictor.labels(pixels[:, ::-1]), predictor.labels(pixels)[:, ::-1])


@pytest.mark.parametrize("inner_hw", [(1, 1), (3, 5), (8, 40), (29, 17), (64, 64)])
@pytest.mark.parametrize("size_hw", [(1, 1), (16, 16), (23, 31)])
@pytest.mark.parametrize("band", [1, 8, 100])
def test_rows_of_resized_scores(inner_hw: tuple[int, int], size_hw: tuple[int, int], band: int) -> None:
    scores = torch.randn(1, 3, *inner_hw, generator=torch.Generator().manual_seed(7))
    field = ResizedScores(GivenScores(scores), size_hw)
    bands = [field.rows(first, min(first + band, size_hw[0])) for first in range(0, size_hw[0], band)]
    torch.testing.assert_close(torch.cat(bands, dim=2), resized(scores, size_hw), atol=5e-5, rtol=0)


def test_resized_scores_by_hand() -> None:
    # 2 rows to 4: row y stands at (y + 0.5) / 2 - 0.5 = -0.25, 0.25, 0.75, 1.25, held to 0…1.
    field = ResizedScores(GivenScores(torch.tensor([[[[0.0], [8.0]]]])), (4, 1))
    assert field.rows(0, 4).flatten().tolist() == [0, 2, 6, 8]
    assert field.rows(2, 3).flatten().tolist() == [6]


def test_an_inner_field_is_asked_only_for_the_rows_that_count() -> None:
    inner = GivenScores(torch.zeros(1, 2, 200, 3))
    ResizedScores(inner, (100, 3)).rows(10, 20)
    assert inner.asked == [(20, 40)]


def test_views_pass_on_what_their_scores_are() -> None:
    ready = GivenScores(torch.full((1, 2, 4, 4), 0.5), are_probabilities=True)
    raw = GivenScores(torch.zeros(1, 2, 4, 4))
    for field, expected in ((ready, True), (raw, False)):
        assert MirroredScores(field).are_probabilities is expected
        assert ResizedScores(field, (8, 8)).are_probabilities is expected
    mean = MeanScores((ready, raw))
    assert mean.are_probabilities
    torch.testing.assert_close(mean.rows(0, 4), torch.full((1, 2, 4, 4), 0.5))


def test_the_size_of_the_bands_does_not_change_the_labels() -> None:
    predictor = MultiScalePredictor(NetworkPredictor(lively_network(seed=3)), (0.75, 1.0, 1.25), flip=True)
    with torch.inference_mode():
        field = predictor.field(noise((75, 60), seed=8))
        labels = best_classes(field)
        assert labels.unique().numel() == CLASSES
        for band_values in (1, 30_000, 200_000):
            assert torch.equal(best_classes(field, band_values), labels)


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, -1.0)])
def test_scales_must_be_above_zero(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="at least one is needed, all of them above 0"):
        MultiScalePredictor(log_odds_source(), scales)
