"""The resizes against NumPy that shares no code with PyTorch's interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contextnet.models.resize import downscale, pad_to_multiple, upscale, upscale_to

FloatArray = NDArray[np.float64]


def _random(shape: tuple[int, ...], seed: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=shape)


def _half_pixel_rows(rows: FloatArray, factor: int) -> FloatArray:
    """Enlarge the last axis: output i lies at (i + 0.5) / factor - 0.5 of the input, clamped at both ends."""
    size = rows.shape[-1]
    place = np.clip((np.arange(size * factor) + 0.5) / factor - 0.5, 0, size - 1)
    left = np.floor(place).astype(int)
    right = np.minimum(left + 1, size - 1)
    share = place - left
    return rows[..., left] * (1 - share) + rows[..., right] * share


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("size_hw", [(8, 16), (24, 8), (40, 56)])
def test_downscale_averages_the_middle_four_of_each_block(factor: int, size_hw: tuple[int, int]) -> None:
    image = _random((2, 3, *size_hw), seed=factor)
    height, width = size_hw
    blocks = image.reshape(2, 3, height // factor, factor, width // factor, factor)
    middle = slice(factor // 2 - 1, factor // 2 + 1)
    expected = blocks[:, :, :, middle, :, middle].mean(axis=(3, 5))
    np.testing.assert_allclose(downscale(torch.from_numpy(image), factor).numpy(), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 7), (5, 3), (16, 32)])
def test_upscale_is_bilinear_with_half_pixel_centres(factor: int, size_hw: tuple[int, int]) -> None:
    features = _random((2, 5, *size_hw), seed=factor)
    wide = _half_pixel_rows(features, factor)
    expected = _half_pixel_rows(wide.swapaxes(-1, -2), factor).swapaxes(-1, -2)
    np.testing.assert_allclose(upscale(torch.from_numpy(features), factor).numpy(), expected, rtol=0, atol=1e-14)


def test_upscale_by_hand() -> None:
    features = torch.tensor([[[[0.0, 4.0]]]])
    assert upscale(features, 2).tolist() == [[[[0.0, 1.0, 3.0, 4.0]] * 2]]


def test_factor_one_changes_nothing() -> None:
    features = torch.from_numpy(_random((1, 2, 3, 5), seed=0))
    assert torch.equal(downscale(features, 1), features)
    assert torch.equal(upscale(features, 1), features)


@pytest.mark.parametrize(
    ("size_hw", "multiple", "expected_hw"),
    [((1, 1), 32, (32, 32)), ((97, 131), 32, (128, 160)), ((64, 96), 32, (64, 96)), ((33, 32), 16, (48, 32))],
)
def test_padding_repeats_the_last_row_and_column(
    size_hw: tuple[int, int], multiple: int, expected_hw: tuple[int, int]
) -> None:
    image = _random((1, 3, *size_hw), seed=1)
    below, right = expected_hw[0] - size_hw[0], expected_hw[1] - size_hw[1]
    expected = np.pad(image, ((0, 0), (0, 0), (0, below), (0, right)), mode="edge")
    np.testing.assert_array_equal(pad_to_multiple(torch.from_numpy(image), multiple).numpy(), expected)


def test_upscale_to_crops_what_padding_added() -> None:
    scores = torch.from_numpy(_random((1, 4, 3, 2), seed=2))
    assert torch.equal(upscale_to(scores, (21, 9), 8), upscale(scores, 8)[..., :21, :9])
