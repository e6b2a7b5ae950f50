from __future__ import annotations

import numpy as np
import pytest
import torch
from prediction_sources import GivenScores, full_size_scores, lively_network, noise

from contextnet.models.predictor import NetworkPredictor
from contextnet.models.score_field import UpsampledScores, best_classes, probabilities

SIZES = [(1, 1), (7, 13), (8, 8), (37, 53), (128, 96)]


@pytest.mark.parametrize("size_hw", [*SIZES, (1, 997), (997, 1)])
def test_the_predictor_takes_the_best_of_the_networks_own_scores(size_hw: tuple[int, int]) -> None:
    network, image = lively_network(), noise(size_hw, seed=2)
    labels = NetworkPredictor(network).labels(image[0].permute(1, 2, 0).numpy())
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, full_size_scores(network)(image)[0].argmax(dim=0).numpy())


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("band", [1, 3, 8, 11, 200])
def test_rows_of_upsampled_scores_are_those_of_the_whole(size_hw: tuple[int, int], band: int) -> None:
    generator = torch.Generator().manual_seed(5)
    cells_hw = (-(-size_hw[0] // 32) * 4, -(-size_hw[1] // 32) * 4)
    field = UpsampledScores(torch.randn(1, 3, *cells_hw, generator=generator), size_hw, 8)
    height = size_hw[0]
    everything = field.rows(0, height)
    assert everything.shape == (1, 3, *size_hw)
    for first in range(0, height, band):
        last = min(first + band, height)
        # Threads may share out the rows otherwise, which rounds otherwise.
        torch.testing.assert_close(field.rows(first, last), everything[:, :, first:last], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_labels_of_upsampled_scores_are_the_best_of_their_rows(size_hw: tuple[int, int], requires_grad: bool) -> None:
    cells = torch.randn(1, 3, 16, 12, generator=torch.Generator().manual_seed(11))
    field = UpsampledScores(cells.to(memory_format=torch.channels_last).requires_grad_(requires_grad), size_hw, 8)
    labels = best_classes(field)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels, field.rows(0, size_hw[0])[0].argmax(dim=0).to(torch.uint8))


def test_upsampled_scores_by_hand() -> None:
    # Two cells a row: pixel x stands at (x + 0.5) / 8 - 0.5 cells, held to 0…1.
    field = UpsampledScores(torch.tensor([[[[0.0, 16.0]]]]), (8, 15), 8)
    expected = [0, 0, 0, 0, 1, 3, 5, 7, 9, 11, 13, 15, 16, 16, 16]
    assert field.rows(0, 8)[0, 0].tolist() == [expected] * 8
    assert field.rows(5, 6)[0, 0].tolist() == [expected]


@pytest.mark.parametrize(
    ("band_values", "bands"),
    [
        (1, [(0, 8), (8, 16), (16, 20)]),
        (8 * 12, [(0, 8), (8, 16), (16, 20)]),
        (16 * 12, [(0, 16), (16, 20)]),
        (23 * 12, [(0, 16), (16, 20)]),
        (24 * 12, [(0, 20)]),
        (1 << 24, [(0, 20)]),
    ],
)
def test_bands_are_whole_cells_within_the_limit(band_values: int, bands: list[tuple[int, int]]) -> None:
    scores = torch.randn(1, 3, 20, 4, generator=torch.Generator().manual_seed(1))
    field = GivenScores(scores)
    labels = best_classes(field, band_values)
    assert field.asked == bands
    assert torch.equal(labels, scores[0].argmax(dim=0).to(torch.uint8))


def test_probabilities_are_made_once() -> None:
    scores = torch.tensor([0.25, 0.75]).log()[None, :, None, None]
    torch.testing.assert_close(probabilities(GivenScores(scores), 0, 1).flatten(), torch.tensor([0.25, 0.75]))
    ready = GivenScores(torch.tensor([0.25, 0.75])[None, :, None, None], are_probabilities=True)
    assert probabilities(ready, 0, 1).flatten().tolist() == [0.25, 0.75]
