"""Convolution by Fourier transform: its time hardly depends on the size of the kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contextnet.data.conditions.kernels import Kernel

_MULTIPLE = 16
"""Transforms of a multiple of this many values are fast enough; those of a large prime are slow."""


def convolve(values_HWC: NDArray[np.float32], kernel_KL: Kernel) -> NDArray[np.float32]:
    """Convolve each channel with a kernel of odd size, float32 (H, W, C); the edge goes on beyond the image."""
    height, width, _ = values_HWC.shape
    above, left = (side // 2 for side in kernel_KL.shape)
    padded = np.pad(values_HWC, ((above, above), (left, left), (0, 0)), mode="edge")
    size_hw = [-(-side // _MULTIPLE) * _MULTIPLE for side in padded.shape[:2]]
    spectrum = np.fft.rfft2(padded, size_hw, axes=(0, 1)) * np.fft.rfft2(kernel_KL, size_hw, axes=(0, 1))[..., None]
    spread = np.fft.irfft2(spectrum, size_hw, axes=(0, 1))
    return spread[2 * above : 2 * above + height, 2 * left : 2 * left + width].astype(np.float32)
