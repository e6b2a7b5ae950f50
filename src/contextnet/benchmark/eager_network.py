"""The network as PyTorch runs it without further ado, for comparison: float32, operator by operator.

It has the help that costs nothing: inference mode, batch norm folded, channels-last layout.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from contextnet.models.folding import fold_batch_norm
from contextnet.models.network import build_network
from contextnet.network_spec import NetworkSpec

WARM_UP_RUNS = 2


class EagerNetwork:
    """A network with random weights, which take as long as trained ones, and the image that it is shown.

    ``image_HW3`` is uint8 (H, W, 3) RGB and stays in host memory. Sets the number of threads of the whole process.
    """

    def __init__(self, spec: NetworkSpec, image_HW3: NDArray[np.uint8], threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        folded = fold_batch_norm(build_network(spec)).to(device)
        self._network = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
        self._image_HW3 = image_HW3
        self._device = device
        self._ways: dict[str, Callable[[], object]] = {"network": self.scores, "end_to_end": self.labels}
        for way in self._ways:
            self.times_s(way, WARM_UP_RUNS)

    def times_s(self, way: str, runs: int) -> list[float]:
        """Time ``network``, the scores alone, or ``end_to_end``, the labels, a number of times, in seconds each."""
        times_s = []
        for _ in range(runs):
            began_s = time.perf_counter()
            self._ways[way]()
            times_s.append(time.perf_counter() - began_s)
        return times_s

    @torch.inference_mode()
    def scores(self) -> NDArray[np.float32]:
        """Score the image, float32 (1, classes, H' / 8, W' / 8)."""
        scores: NDArray[np.float32] = self._network(self._image()).scores.cpu().numpy()
        return scores

    @torch.inference_mode()
    def labels(self) -> NDArray[np.uint8]:
        """Label the image the usual way: scores enlarged by 8, then the argmax; uint8 (1, H, W)."""
        best = self._network.full_size_scores(self._image()).argmax(1)
        labels: NDArray[np.uint8] = best.to(torch.uint8).cpu().numpy()
        return labels

    def _image(self) -> torch.Tensor:
        # The interleaved array, seen as (1, 3, H, W), already is in channels-last layout.
        return torch.from_numpy(self._image_HW3).to(self._device).permute(2, 0, 1).unsqueeze(0)
