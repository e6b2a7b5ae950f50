"""PyTorch as an engine: a network from its weights file, on a CPU or on a CUDA GPU."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from contextnet.errors import ContextNetError
from contextnet.models.cuda_graph import GraphSlot
from contextnet.models.folding import fold_batch_norm
from contextnet.models.gpu_network import gpu_network
from contextnet.models.network import Network
from contextnet.models.storage import read_weights
from contextnet.runtime.engines.cores import MAX_IN_FLIGHT
from contextnet.runtime.engines.engine import EngineInfo, Images, Inference
from contextnet.runtime.engines.scoring_call import ScoringCall, accept_images

PRECISIONS = {
    "cpu": {"fp32": torch.float32, "bf16": torch.bfloat16},
    "cuda": {"fp16": torch.float16, "bf16": torch.bfloat16},
}
"""What each kind of device computes in; the first is the default."""


class Slot(Protocol):
    """Computes one call at a time."""

    def submit(self, images_NHW3: Tensor) -> Inference:
        """Begin with uint8 images on the CPU, which are read before it returns; waits for the call before."""
        ...

    def close(self) -> None:
        """Finish the last call and give back memory."""
        ...


class TorchEngine:
    """Runs a network's calls on its slots in turn, so that a call that has to wait waits for the oldest one.

    Images are read before ``submit`` returns. Results stay valid, after ``close`` too.
    """

    def __init__(self, info: EngineInfo, slots: Sequence[Slot]) -> None:
        self._info = info
        self._slots = tuple(slots)
        self._submitted = 0

    @property
    def info(self) -> EngineInfo:
        """What computes, where and how."""
        return self._info

    def submit(self, images: Images) -> Inference:
        """Begin with images of one size, uint8 (N, H, W, 3) RGB.

        Returns at once while fewer than ``info.in_flight`` calls are being computed, otherwise waits for the oldest.
        Raises ``ValueError`` for arrays of another shape or dtype.
        """
        images = accept_images(images, None)
        if not self._slots:
            raise ValueError("the engine is closed")
        slot = self._slots[self._submitted % len(self._slots)]
        self._submitted += 1
        # PyTorch takes arrays that may be written to alone, though nothing here does.
        return slot.submit(torch.from_numpy(np.require(images, requirements="W")))

    def close(self) -> None:
        """Finish the calls that are on their way and give back memory; nothing can be submitted any more."""
        for slot in self._slots:
            slot.close()
        self._slots = ()


def open_engine(
    weights: Path, *, device: str = "auto", precision: str | None = None, in_flight: int = 1
) -> TorchEngine:
    """Open a weights file on ``device``: cpu, cuda, cuda:N, or auto, which is a CUDA GPU where there is one.

    A CPU computes in fp32 or bf16, one call at a time whatever ``in_flight`` is; a GPU in fp16 or bf16.
    Raises ``WeightsError`` as ``read_weights`` does, ``ContextNetError`` for a device that is not there, a precision
    that it does not have, and a number of calls that is not 1 to 8.
    """
    where = _find_device(device)
    dtype_name = _choose_precision(where, precision)
    if not 1 <= in_flight <= MAX_IN_FLIGHT:
        raise ContextNetError(f"{in_flight} calls in flight; 1 to {MAX_IN_FLIGHT} are possible")
    return build_engine(read_weights(weights).build(), where, dtype_name, in_flight)


def build_engine(network: Network, device: torch.device, precision: str, in_flight: int = 1) -> TorchEngine:
    """Make the engine of a network that is in memory; the network is left as it is."""
    dtype = PRECISIONS[device.type][precision]
    slots: list[Slot]
    if device.type == "cpu":
        name, slots = "cpu", [EagerSlot(network, dtype)]
    else:
        arranged = gpu_network(network, device, dtype)
        name, slots = torch.cuda.get_device_name(device), [GraphSlot(arranged, device) for _ in range(in_flight)]
    return TorchEngine(EngineInfo("pytorch", str(torch.__version__), name, precision, len(slots)), slots)


class EagerSlot:
    """Computes calls on the CPU while they are submitted; labels when they are asked for."""

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        folded = fold_batch_norm(network).to(dtype)
        self._stride = network.spec.output_stride
        self._network = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it

    def submit(self, images_NHW3: Tensor) -> ScoringCall:
        """Score the images."""
        with torch.inference_mode():
            # The interleaved array, seen as (N, 3, H, W), already is in channels-last layout.
            scores = self._network(images_NHW3.permute(0, 3, 1, 2)).scores.float().contiguous()
        return ScoringCall(scores.numpy, (images_NHW3.shape[1], images_NHW3.shape[2]), self._stride)

    def close(self) -> None:
        """Do nothing: the memory goes with the slot."""


def _find_device(text: str) -> torch.device:
    """Turn a device's name into a device that is there."""
    if text not in {"auto", "cpu"} and not re.fullmatch(r"cuda(:\d+)?", text):
        raise ContextNetError(f"device '{text}': expected auto, cpu, cuda or cuda:N")
    if text == "cpu" or (text == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ContextNetError(f"device '{text}': PyTorch finds no CUDA GPU on this machine; use cpu")
    index = int(text[5:]) if text.startswith("cuda:") else torch.cuda.current_device()
    if index >= torch.cuda.device_count():
        raise ContextNetError(f"device '{text}': there are {torch.cuda.device_count()} CUDA GPUs, counted from 0")
    return torch.device("cuda", index)


def _choose_precision(device: torch.device, precision: str | None) -> str:
    possible = tuple(PRECISIONS[device.type])
    if precision is not None and precision not in possible:
        raise ContextNetError(f"precision '{precision}': on {device.type} expected {' or '.join(possible)}")
    return precision or possible[0]
