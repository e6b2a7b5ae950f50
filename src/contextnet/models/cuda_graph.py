"""Calls on a CUDA GPU: all kernels of a call recorded once for a shape and replayed as one launch.

A slot takes one call at a time: it has a stream of its own, so that the upload of one slot, the kernels of another and
the download of a third overlap, and within it everything happens in the order in which it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.backends import cudnn

from contextnet.models.gpu_network import score_and_label
from contextnet.models.network import Network
from contextnet.runtime.engines.engine import Labels, Scores
from contextnet.runtime.engines.shape_cache import KEPT_SHAPES, Shape, ShapeCache

_WARM_UPS = 3


class CapturedGraph:
    """A function of one tensor on a GPU, recorded as a CUDA graph on ``stream``, the one that it is to be replayed on.

    ``input`` and ``outputs`` are the graph's own memory: a replay reads the one and overwrites the others, with the
    same bits for the same input. Whatever goes wrong while recording is raised as PyTorch raises it.
    """

    def __init__(
        self, function: Callable[[Tensor], tuple[Tensor, ...]], image: Tensor, stream: torch.cuda.Stream
    ) -> None:
        self.input = image
        self._graph = torch.cuda.CUDAGraph()
        # cuDNN looks for its fastest kernels in the first warm-up, among those whose result does not vary.
        tuned = cudnn.flags(enabled=True, benchmark=True, deterministic=True)
        with torch.cuda.device(stream.device), torch.inference_mode(), tuned:
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    function(self.input)
            # Other threads may go on waiting for their results meanwhile, which the default mode would not bear.
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                self.outputs = function(self.input)

    def replay(self) -> None:
        """Launch the graph on the current stream, which has to be the one it was recorded on."""
        self._graph.replay()


@dataclass(frozen=True, eq=False)
class GraphInference:
    """A call on its way: ``device_scores`` and the pinned ``host_labels`` hold its results once ``done`` has come."""

    done: torch.cuda.Event
    device_scores: Tensor
    host_labels: Tensor

    def scores(self) -> Scores:
        """Wait, fetch the scores from the GPU, and give them."""
        self.done.synchronize()
        scores: Scores = self.device_scores.cpu().numpy()
        return scores

    def labels(self) -> Labels:
        """Wait, and give the labels in memory that is not pinned."""
        self.done.synchronize()
        labels: Labels = self.host_labels.numpy().copy()
        return labels


class GraphSlot:
    """Takes one call at a time on a GPU; ``network`` is one that ``gpu_network`` arranged there."""

    def __init__(self, network: Network, device: torch.device) -> None:
        self._network = network
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # Not shared between slots: cuBLAS has one workspace a stream, and recorded products keep using it.
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._calls = ShapeCache(self._capture, KEPT_SHAPES)
        self._done: torch.cuda.Event | None = None

    def submit(self, images_NHW3: Tensor) -> GraphInference:
        """Copy the images, uint8 on the CPU, into pinned memory, and start the call once the last one is done."""
        self._wait()
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream), torch.inference_mode():
            call = self._calls[tuple(images_NHW3.shape)]
            call.host_images.copy_(images_NHW3)
            call.graph.input.copy_(call.host_images, non_blocking=True)
            call.graph.replay()
            scores, labels = call.graph.outputs
            # Memory of this call's own: the next replay overwrites the graph's, and a result may be taken much later.
            host_labels = torch.empty(labels.shape, dtype=torch.uint8, pin_memory=True)
            host_labels.copy_(labels, non_blocking=True)
            device_scores = scores.clone()
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()
        return GraphInference(self._done, device_scores, host_labels)

    def close(self) -> None:
        """Finish the last call and give back the graphs."""
        self._wait()
        self._calls.clear()

    def _wait(self) -> None:
        if self._done is not None:
            self._done.synchronize()

    def _capture(self, shape: Shape) -> _ShapedCall:
        images = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        graph = CapturedGraph(partial(score_and_label, self._network, side=self._side), images, self._stream)
        return _ShapedCall(torch.empty(shape, dtype=torch.uint8, pin_memory=True), graph)


@dataclass(frozen=True, eq=False)
class _ShapedCall:
    """What a slot has for images of one shape: pinned memory to upload from, and the graph."""

    host_images: Tensor
    graph: CapturedGraph
