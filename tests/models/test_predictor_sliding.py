from __future__ import annotations

import numpy as np
import pytest
import torch
from prediction_sources import FunctionSource, full_size_scores, lively_network, log_odds_source, noise, whole

from contextnet.models.multiscale import MultiScalePredictor
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.score_field import best_classes
from contextnet.models.sliding import SlidingPredictor, window_starts


@pytest.mark.parametrize(
    ("length_px", "window_px", "overlap", "starts"),
    [
        (1, 1, 0.0, [0]),
        (5, 8, 0.5, [0]),
        (8, 8, 0.5, [0]),
        (9, 8, 0.5, [0, 1]),
        (16, 8, 0.0, [0, 8]),
        (17, 8, 0.0, [0, 4, 9]),
        (16, 8, 0.5, [0, 4, 8]),
        (100, 40, 0.33, [0, 20, 40, 60]),  # steps of at most 27 pixels: three of them to go 60
        (2048, 1024, 0.33, [0, 512, 1024]),
        (4, 1, 0.0, [0, 1, 2, 3]),
        (3, 1, 0.9, [0, 1, 2]),
    ],
)
def test_window_starts(length_px: int, window_px: int, overlap: float, starts: list[int]) -> None:
    assert window_starts(length_px, window_px, overlap) == starts


def test_windows_cover_every_side_and_overlap_enough() -> None:
    generator = np.random.default_rng(17)
    for _ in range(300):
        length, window = int(generator.integers(1, 400)), int(generator.integers(1, 200))
        overlap = float(generator.uniform(0, 0.9))
        starts = window_starts(length, window, overlap)
        steps = np.diff(starts)
        assert starts[0] == 0
        assert starts[-1] + min(window, length) == length
        assert (steps > 0).all()
        assert (steps <= max(1, round(window * (1 - overlap)))).all()
        fewer = len(starts) - 2
        assert fewer < 0 or fewer * max(1, round(window * (1 - overlap))) < length - window


def test_overlaps_are_averaged_by_hand() -> None:
    # Windows of 4 columns over 8 begin at 0, 2, 4: columns 2…3 lie under the first two, 4…5 under the last two.
    shares = (0.9, 0.4, 0.1)
    found = whole(SlidingPredictor(log_odds_source(*shares), (4, 4), 0.5), noise((3, 8)))
    expected = torch.tensor([0.9, 0.9, 0.65, 0.65, 0.25, 0.25, 0.1, 0.1])
    torch.testing.assert_close(found[0, 0], expected.expand(3, 8))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(1, 3, 8))
    labels = SlidingPredictor(log_odds_source(*shares), (4, 4), 0.5).labels(np.zeros((3, 8, 3), np.uint8))
    assert labels.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]] * 3


def test_every_window_is_shown_once_from_top_left_to_bottom_right() -> None:
    source, image = FunctionSource(lambda image: image[:, :2]), noise((6, 5))
    SlidingPredictor(source, (4, 3), 0.0).field(image)
    corners = [(0, 0), (0, 2), (2, 0), (2, 2)]
    assert len(source.shown) == len(corners)
    for shown, (top, left) in zip(source.shown, corners, strict=True):
        assert torch.equal(shown, image[..., top : top + 4, left : left + 3])


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 64), (37, 53), (64, 64)])
def test_a_window_over_the_whole_image_is_the_plain_prediction(size_hw: tuple[int, int]) -> None:
    plain, image = NetworkPredictor(lively_network()), noise(size_hw, seed=4)
    sliding = SlidingPredictor(plain, (64, 64), 0.33)
    assert torch.equal(whole(sliding, image), whole(plain, image))
    pixels = image[0].permute(1, 2, 0).numpy()
    assert np.array_equal(sliding.labels(pixels), plain.labels(pixels))


@pytest.mark.parametrize("size_hw", [(1, 211), (65, 64), (101, 150)])
@pytest.mark.parametrize("overlap", [0.0, 0.33, 0.6])
def test_equals_the_windows_pasted_whole(size_hw: tuple[int, int], overlap: float) -> None:
    network, image = lively_network(seed=5), noise(size_hw, seed=9)
    scores, window = full_size_scores(network), 64
    total, count = torch.zeros(5, *size_hw, dtype=torch.float64), torch.zeros(size_hw)
    for top in window_starts(size_hw[0], window, overlap):
        for left in window_starts(size_hw[1], window, overlap):
            part = (..., slice(top, top + window), slice(left, left + window))
            total[part] += scores(image[part])[0].softmax(dim=0)
            count[part] += 1
    expected = (total / count)[None].float()
    sliding = SlidingPredictor(NetworkPredictor(network), (window, window), overlap)
    torch.testing.assert_close(whole(sliding, image), expected, atol=2e-5, rtol=0)
    assert sliding.labels(image[0].permute(1, 2, 0).numpy()).shape == size_hw


def test_bands_do_not_change_windows_and_scales_together() -> None:
    sliding = SlidingPredictor(NetworkPredictor(lively_network(seed=3)), (32, 64), 0.5)
    predictor = MultiScalePredictor(sliding, (0.5, 1.0, 1.5), flip=True)
    with torch.inference_mode():
        field = predictor.field(noise((90, 110), seed=10))
        labels = best_classes(field)
        rows = field.rows(0, 90)
        for band_values in (1, 100_000):
            assert torch.equal(best_classes(field, band_values), labels)
    assert labels.unique().numel() > 2
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(1, 90, 110))


def test_windows_at_a_scale_keep_their_probabilities() -> None:
    # One window at scale 1; at scale 2, windows of 4 begin at 0, 2 and 4 each way. A second soft-max over these nine
    # would pull their 0.9 to 0.69, and the mean to 0.79.
    predictor = MultiScalePredictor(SlidingPredictor(log_odds_source(*[0.9] * 10), (4, 4), 0.5), (1.0, 2.0))
    torch.testing.assert_close(whole(predictor, noise((4, 4)))[0, 0], torch.full((4, 4), 0.9))


@pytest.mark.parametrize(("window_hw", "overlap"), [((0, 4), 0.5), ((4, 4), 1.0), ((4, 4), -0.1)])
def test_refuses_windows_that_tile_nothing(window_hw: tuple[int, int], overlap: float) -> None:
    with pytest.raises(ValueError, match="sides are 1 or more, overlap 0 to below 1"):
        SlidingPredictor(log_odds_source(), window_hw, overlap)
