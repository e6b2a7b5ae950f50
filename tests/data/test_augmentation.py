"""Augmentation against independent computations in NumPy; H and W are those of the crop."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F

from contextnet.data.augmentation import (
    NO_AUGMENTATION,
    AugmentationRanges,
    draw_color_maps,
    draw_windows,
    recolor,
    warp,
)

STRONG = AugmentationRanges(scale=(0.4, 2.5), flip=0.5, hue=0.5, saturation=0.8, brightness=0.8, contrast=0.8)


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def random_pair(seed: int, count: int, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 3, *size_hw), dtype=np.uint8)
    labels = random.choice(np.array([0, 1, 5, 18, 254, 255], np.uint8), (count, *size_hw))
    return torch.from_numpy(images), torch.from_numpy(labels)


def numpy_crop(
    image_HW3: NDArray[np.uint8],
    label_HW: NDArray[np.uint8],
    crop_hw: tuple[int, int],
    scale: float,
    corner_yx: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Crop the image enlarged by ``scale`` at a corner in enlarged pixels, pixel after pixel."""
    height, width = label_HW.shape
    image = np.zeros((*crop_hw, 3))
    label = np.full(crop_hw, 255, np.uint8)
    for y, x in np.ndindex(*crop_hw):
        v = (corner_yx[0] + y + 0.5) / scale - 0.5
        u = (corner_yx[1] + x + 0.5) / scale - 0.5
        row, column = round(v), round(u)
        if 0 <= row < height and 0 <= column < width:
            label[y, x] = label_HW[row, column]
        v, u = min(max(v, 0), height - 1), min(max(u, 0), width - 1)
        top, left = int(v), int(u)
        below, right = min(top + 1, height - 1), min(left + 1, width - 1)
        dy, dx = v - top, u - left
        upper = image_HW3[top, left] * (1 - dx) + image_HW3[top, right] * dx
        lower = image_HW3[below, left] * (1 - dx) + image_HW3[below, right] * dx
        image[y, x] = upper * (1 - dy) + lower * dy
    return image, label


def window_of(
    size_hw: tuple[int, int], crop_hw: tuple[int, int], scale: float, corner_yx: tuple[float, float]
) -> Tensor:
    """The window of a crop whose corner is given in enlarged pixels."""
    rows = []
    for side, crop, corner in zip(size_hw, crop_hw, corner_yx, strict=True):
        extent = crop / (scale * side)
        rows.append((extent, 2 * corner / (scale * side) + extent - 1))
    return torch.tensor([rows], dtype=torch.float32)


@pytest.mark.parametrize("size_hw", [(8, 16), (7, 13), (1, 1), (33, 2), (64, 127)])
def test_without_ranges_a_crop_of_the_image_size_is_the_image(size_hw: tuple[int, int]) -> None:
    images, labels = random_pair(1, 3, size_hw)
    windows = draw_windows([size_hw] * 3, size_hw, NO_AUGMENTATION, generator())
    warped, picked = warp(images, labels, windows, size_hw)
    matrix, grey_share = draw_color_maps(3, NO_AUGMENTATION, generator())
    same = recolor(warped, matrix, grey_share)
    assert torch.equal(picked, labels)
    assert torch.equal(warped.round().to(torch.uint8), images)
    assert torch.equal(same.round().to(torch.uint8), images)
    # What rounding hides is the float32 error of the sampling coordinates.
    assert (same - images).abs().max() < 0.02


@pytest.mark.parametrize("size_hw", [(8, 16), (9, 31)])
def test_flip_is_the_exact_mirror(size_hw: tuple[int, int]) -> None:
    images, labels = random_pair(2, 2, size_hw)
    windows = draw_windows([size_hw] * 2, size_hw, replace(NO_AUGMENTATION, flip=1.0), generator())
    warped, picked = warp(images, labels, windows, size_hw)
    assert torch.equal(picked, labels.flip(-1))
    assert torch.equal(warped.round().to(torch.uint8), images.flip(-1))


@pytest.mark.parametrize(
    ("size_hw", "crop_hw", "scale", "corner_yx"),
    [
        ((12, 20), (10, 14), 2.0, (3, 5)),
        ((12, 20), (24, 40), 2.0, (0, 0)),
        ((12, 20), (10, 14), 1.0, (1, 4)),
        ((12, 20), (10, 14), 1.3, (2.71, 3.13)),
        ((13, 17), (8, 8), 0.7, (0.43, 1.91)),
        # The crop is larger than the image and holds all of it.
        ((6, 9), (16, 18), 1.0, (-4, -3)),
        ((6, 9), (16, 18), 1.3, (-5.5, -2.2)),
    ],
)
def test_scaled_crop_against_numpy(
    size_hw: tuple[int, int], crop_hw: tuple[int, int], scale: float, corner_yx: tuple[float, float]
) -> None:
    images, labels = random_pair(3, 1, size_hw)
    warped, picked = warp(images, labels, window_of(size_hw, crop_hw, scale, corner_yx), crop_hw)
    image, label = numpy_crop(images[0].permute(1, 2, 0).numpy(), labels[0].numpy(), crop_hw, scale, corner_yx)
    np.testing.assert_allclose(warped[0].permute(1, 2, 0).numpy(), image, atol=0.02)
    np.testing.assert_array_equal(picked[0].numpy(), label)


@pytest.mark.parametrize("size_hw", [(37, 53), (90, 24)])
def test_drawn_windows_against_an_affine_grid(size_hw: tuple[int, int]) -> None:
    images, labels = random_pair(4, 6, size_hw)
    windows = draw_windows([size_hw] * 6, (41, 47), STRONG, generator(8))
    warped, picked = warp(images, labels, windows, (41, 47))
    theta = torch.zeros(6, 2, 3)
    theta[:, 1, 1], theta[:, 1, 2] = windows[:, 0].unbind(1)
    theta[:, 0, 0], theta[:, 0, 2] = windows[:, 1].unbind(1)
    grid = F.affine_grid(theta.double(), [6, 3, 41, 47], align_corners=False)
    expected = F.grid_sample(images.double(), grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(warped.double(), expected, rtol=0, atol=0.02)
    nearest = F.grid_sample(labels[:, None] - 255.0, grid.float(), mode="nearest", align_corners=False)[:, 0] + 255
    assert torch.equal(picked, nearest.to(torch.uint8))
    assert (picked == 255).float().mean() > 0.2
    assert (windows[:, 1, 0] < 0).any()


def test_scale_2_by_hand() -> None:
    images = torch.tensor([0, 100], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    labels = torch.tensor([[[4, 9]]], dtype=torch.uint8)
    warped, picked = warp(images, labels, window_of((1, 2), (2, 4), 2.0, (0, 0)), (2, 4))
    # Crop pixels stand at -0.25, 0.25, 0.75 and 1.25 of the image's columns; the outer ones see the edge alone.
    assert warped[0, 0].tolist() == [pytest.approx([0, 25, 75, 100], abs=1e-3)] * 2
    assert picked[0].tolist() == [[4, 4, 9, 9]] * 2


def test_drawn_crops_lie_inside_or_hold_the_image() -> None:
    sizes = [(40, 90), (10, 90), (40, 20), (10, 20)] * 250
    scales = []
    windows = draw_windows(sizes, (24, 48), STRONG, generator(4))
    for (height, width), ((ey, ty), (ex, tx)) in zip(sizes, windows.tolist(), strict=True):
        scales.append(24 / (ey * height))
        assert scales[-1] == pytest.approx(48 / (abs(ex) * width), rel=1e-5)
        for extent, centre in ((abs(ex), tx), (ey, ty)):
            inside = abs(centre) + extent <= 1 + 1e-5
            holds = extent - abs(centre) >= 1 - 1e-5
            assert inside if extent < 1 else holds
    assert 0.4 <= min(scales) < 0.45
    assert 2.2 < max(scales) <= 2.5001
    # Drawn evenly in the logarithm, half of the scales lie below the geometric mean of 1.
    assert 0.45 < np.mean(np.array(scales) < 1) < 0.55
    assert 0.45 < (windows[:, 1, 0] < 0).float().mean().item() < 0.55


def test_window_by_its_draw() -> None:
    # A crop of 24×48 takes 0.6 of 40 rows and 0.75 of 64 columns, which leaves ±0.4 and ±0.25 for its centre.
    ranges = AugmentationRanges(scale=(1, 1), flip=0.5)
    windows = draw_windows([(40, 64)] * 5, (24, 48), ranges, generator(5))
    for window, (_, flip, x, y) in zip(windows.tolist(), torch.rand((5, 4), generator=generator(5)), strict=True):
        assert window[0] == pytest.approx([0.6, (2 * y.item() - 1) * 0.4], abs=1e-6)
        assert window[1] == pytest.approx([-0.75 if flip < 0.5 else 0.75, (2 * x.item() - 1) * 0.25], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_never_interpolated(seed: int) -> None:
    images, labels = random_pair(seed, 4, (21, 34))
    labels[labels == 255] = 254
    windows = draw_windows([(21, 34)] * 4, (25, 30), STRONG, generator(seed))
    _, picked = warp(images, labels, windows, (25, 30))
    assert picked.dtype == torch.uint8
    for before, after in zip(labels, picked, strict=True):
        assert set(after.unique().tolist()) <= set(before.unique().tolist()) | {255}


def test_every_label_value_survives_the_warp() -> None:
    labels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    images = labels[:, None].expand(1, 3, 16, 16)
    _, picked = warp(images, labels, window_of((16, 16), (16, 16), 1.0, (0, 0)), (16, 16))
    assert torch.equal(picked, labels)


def test_outside_is_void_and_the_edge_goes_on() -> None:
    images, labels = random_pair(6, 1, (4, 6))
    labels = labels.clamp(max=18)
    warped, picked = warp(images, labels, window_of((4, 6), (10, 12), 1.0, (-3, -2)), (10, 12))
    expected = torch.full((1, 10, 12), 255, dtype=torch.uint8)
    expected[:, 3:7, 2:8] = labels
    assert torch.equal(picked, expected)
    edge = np.pad(images.numpy(), ((0, 0), (0, 0), (3, 3), (2, 4)), mode="edge")
    np.testing.assert_allclose(warped.numpy(), edge, atol=0.02)


@pytest.mark.parametrize("seed", range(6))
def test_image_and_label_stay_aligned(seed: int) -> None:
    # Each class is painted in 60 times its id, so away from edges between classes colour and label agree exactly.
    random = np.random.default_rng(seed)
    cells = torch.from_numpy(random.integers(0, 5, (4, 6, 8), dtype=np.uint8))
    labels = cells.repeat_interleave(12, 1).repeat_interleave(12, 2)
    images = (labels * 60)[:, None].expand(-1, 3, -1, -1)
    windows = draw_windows([(72, 96)] * 4, (48, 48), STRONG, generator(seed))
    warped, picked = warp(images, labels, windows, (48, 48))
    told = warped[:, 0] / 60
    pure = (told - told.round()).abs() < 1e-3
    compared = pure & (picked != 255)
    assert compared.float().mean() > 0.3
    # A mixture of three colours can look pure beside an edge, so the rare pixel may differ.
    agrees = (told.round() == picked)[compared].float().mean()
    assert agrees > 0.99
    mixed = (picked != 255) & ((told - picked).abs() > 4.01)
    assert not mixed.any()


def apply_maps(images: Tensor, seed: int, **changes: float) -> Tensor:
    matrix, grey_share = draw_color_maps(len(images), replace(NO_AUGMENTATION, **changes), generator(seed))
    return recolor(images, matrix, grey_share)


def muted_images(seed: int, count: int = 3) -> Tensor:
    """Colours far enough from 0 and 255 that no change below is clamped."""
    return torch.rand((count, 3, 6, 5), generator=generator(seed)) * 50 + 100


LUMA = torch.tensor([0.299, 0.587, 0.114])


def test_hue_rotation_keeps_luma_and_grey() -> None:
    images = muted_images(7, 16)
    turned = apply_maps(images, 1, hue=0.5)
    assert (turned - images).abs().amax(dim=(1, 2, 3)).min() > 1
    luma = torch.einsum("nchw,c->nhw", images, LUMA)
    torch.testing.assert_close(torch.einsum("nchw,c->nhw", turned, LUMA), luma, rtol=0, atol=1e-3)
    grey = images[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(apply_maps(grey, 1, hue=0.5), grey, rtol=0, atol=1e-3)


def test_hue_turns_by_the_drawn_angle_in_yiq() -> None:
    images = muted_images(8, 4)
    turned = apply_maps(images, 3, hue=0.2)
    angles = (torch.rand((4, 4), generator=generator(3))[:, 0].numpy() * 2 - 1) * 0.2 * 2 * np.pi
    for before, after, angle in zip(images.numpy(), turned.numpy(), angles, strict=True):
        for y, x in np.ndindex(6, 5):
            # colorsys scales the axes of YIQ a little differently, hence the tolerance.
            _, i0, q0 = colorsys.rgb_to_yiq(*before[:, y, x].tolist())
            _, i1, q1 = colorsys.rgb_to_yiq(*after[:, y, x].tolist())
            expected = complex(i0, q0) * np.exp(1j * angle)
            assert complex(i1, q1) == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_single_changes_against_numpy(name: str) -> None:
    images = muted_images(9)
    changed = apply_maps(images, 2, **{name: 0.3}).double().numpy()
    column = {"saturation": 1, "brightness": 2, "contrast": 3}[name]
    factors = 1 + (torch.rand((3, 4), generator=generator(2))[:, column].double().numpy() * 2 - 1) * 0.3
    for before, after, factor in zip(images.double().numpy(), changed, factors, strict=True):
        luma = np.tensordot([0.299, 0.587, 0.114], before, axes=1)
        expected = {
            "brightness": factor * before,
            "contrast": luma.mean() + factor * (before - luma.mean()),
            "saturation": luma + factor * (before - luma),
        }[name]
        np.testing.assert_allclose(after, expected, atol=2e-3)


def test_changes_apply_one_after_the_other() -> None:
    # Hue and saturation, then brightness, then contrast about the mean grey of what is there by then.
    images = muted_images(10, 2)
    together = apply_maps(images, 5, hue=0.1, saturation=0.3, brightness=0.2, contrast=0.4)
    first = apply_maps(images, 5, hue=0.1, saturation=0.3)
    second = apply_maps(first, 5, brightness=0.2)
    torch.testing.assert_close(together, apply_maps(second, 5, contrast=0.4), rtol=0, atol=1e-2)


def test_colours_are_clamped_to_what_an_image_holds() -> None:
    images = torch.rand((8, 3, 5, 5), generator=generator(11)) * 255
    changed = apply_maps(images, 6, hue=0.5, saturation=1.0, brightness=1.0, contrast=1.0)
    assert changed.min() == 0
    assert changed.max() == 255


def test_draws_depend_on_the_generator_alone() -> None:
    sizes = [(30, 50)] * 6
    windows = [draw_windows(sizes, (20, 20), STRONG, generator(seed)) for seed in (1, 1, 2)]
    maps = [draw_color_maps(6, STRONG, generator(seed)) for seed in (1, 1, 2)]
    assert torch.equal(windows[0], windows[1])
    assert torch.equal(maps[0][0], maps[1][0])
    assert torch.equal(maps[0][1], maps[1][1])
    assert not torch.equal(windows[0], windows[2])
    assert not torch.equal(maps[0][0], maps[2][0])
    assert len(windows[0][:, 1, 1].unique()) == 6, "every image has its own draw"


def test_image_of_a_batch_is_what_it_would_be_alone() -> None:
    images, labels = random_pair(12, 5, (24, 40))
    windows = draw_windows([(24, 40)] * 5, (32, 32), STRONG, generator(3))
    matrix, grey_share = draw_color_maps(5, STRONG, generator(4))
    warped, picked = warp(images, labels, windows, (32, 32))
    recolored = recolor(warped, matrix, grey_share)
    for k in range(5):
        one = slice(k, k + 1)
        warped_alone, picked_alone = warp(images[one], labels[one], windows[one], (32, 32))
        assert torch.equal(picked_alone, picked[one])
        assert torch.equal(warped_alone, warped[one])
        assert torch.equal(recolor(warped_alone, matrix[one], grey_share[one]), recolored[one])
