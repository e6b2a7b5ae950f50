"""The network as a GPU runs it: its operations on the CPU, the order of its streams, and the GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import pytest
import torch
from prediction_sources import CLASSES, lively_network, noise
from torch import Tensor, nn

from contextnet.models.contextnet import ContextNet
from contextnet.models.cuda_graph import KEPT_SHAPES
from contextnet.models.engine import build_engine
from contextnet.models.gpu_network import gpu_network, score_and_label, score_cells
from contextnet.models.storage import read_weights
from contextnet.runtime.labelling import label_scores
from contextnet.spec import VARIANTS, ContextNetSpec, variant
from contextnet.weights import find_weights

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def interleaved(size_hw: tuple[int, int], seed: int = 0) -> Tensor:
    """Two images, uint8 (2, H, W, 3)."""
    return noise(size_hw, seed, batch=2).permute(0, 2, 3, 1).contiguous()


def lively(spec: ContextNetSpec) -> ContextNet:
    """A network whose batch norm fits its activations, so that every layer carries signal."""
    torch.manual_seed(1)
    network = ContextNet(spec)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(noise((128, 128), seed=1, batch=2))
        network.classifier.weight.normal_(std=0.5)
    return network.eval()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("pyramid_pooling", [False, True])
def test_the_arranged_network_scores_as_its_source(name: str, pyramid_pooling: bool) -> None:
    if pyramid_pooling and name == "cn14-detail":
        pytest.skip("a network without a context branch has no pyramid")
    # In double precision, where rounding is too small to be mistaken for anything else.
    network = lively(variant(name, CLASSES, width=0.125, pyramid_pooling=pyramid_pooling)).double()
    arranged = gpu_network(network, CPU, torch.float64)
    assert not any(isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) for m in arranged.modules())
    for size_hw in [(97, 131), (64, 64)]:
        images = interleaved(size_hw, seed=6)
        with torch.inference_mode():
            expected = network(images.permute(0, 3, 1, 2)).scores
            found = score_cells(arranged, images, None)
        assert float(expected.std()) > 0.3
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size_hw", [(1, 1), (7, 13), (37, 53), (64, 96), (1, 300)])
def test_labels_beside_the_scores_are_those_of_the_scores(size_hw: tuple[int, int]) -> None:
    arranged = gpu_network(lively_network(), CPU, torch.float32)
    with torch.inference_mode():
        scores, labels = score_and_label(arranged, interleaved(size_hw, seed=7))
    assert (scores.dtype, labels.dtype, labels.shape) == (torch.float32, torch.uint8, (2, *size_hw))
    expected = np.stack([label_scores(one, size_hw, 8) for one in scores.numpy()])
    assert np.count_nonzero(labels.numpy() != expected) <= labels.numel() // 500


class NotingStream:
    """A stream that notes whom it waits for."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self._notes = notes

    def wait_stream(self, other: NotingStream) -> None:
        self._notes.append(f"{self.name} waits for {other.name}")


@pytest.mark.parametrize("name", ["cn14", "cn124"])
def test_detail_branches_stand_between_two_waits_on_their_own_stream(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    streams = [NotingStream("main", notes)]

    @contextmanager
    def on(stream: NotingStream) -> Iterator[None]:
        streams.append(stream)
        yield
        streams.pop()

    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: streams[-1])
    arranged = gpu_network(ContextNet(variant(name, CLASSES, width=0.125)), CPU, torch.float32)
    for part, module in [("context", arranged.context), *(("detail", m) for m in arranged.details)]:
        assert module is not None
        module.register_forward_hook(lambda *_, part=part: notes.append(f"{part} on {streams[-1].name}"))
    for unit in arranged.fusions:
        unit.register_forward_pre_hook(lambda *_: notes.append(f"fusion on {streams[-1].name}"))
    with torch.inference_mode():
        score_cells(arranged, interleaved((32, 32)), NotingStream("side", notes))
    details = len(arranged.details)
    assert notes == [
        "side waits for main",
        *["detail on side"] * details,
        "context on main",
        "main waits for side",
        *["fusion on main"] * details,
    ]


@needs_cuda
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("in_flight", [1, 3])
def test_results_on_a_gpu_are_those_of_the_cpu_whatever_came_after_them(precision: str, in_flight: int) -> None:
    # A shipped network: rounding errors fade in it, where they grow in one of random weights.
    trained = read_weights(find_weights("cn14-camvid")).build()
    reference = build_engine(trained, CPU, "fp32")
    # More shapes than are kept, some of them again.
    sizes = [(16 + 24 * (number % (KEPT_SHAPES + 2)), 70) for number in range(3 * KEPT_SHAPES)]
    batches = [interleaved(size_hw, seed).numpy() for seed, size_hw in enumerate(sizes)]
    with closing(build_engine(trained, torch.device("cuda", 0), precision, in_flight)) as engine:
        assert engine.info.in_flight == in_flight
        calls = []
        for images in batches:
            given = images.copy()
            calls.append(engine.submit(given))
            given[:] = 0
    tolerance = {"fp16": 0.002, "bf16": 0.015}[precision]
    for images, call in zip(batches, calls, strict=True):
        expected = reference.submit(images)
        scores, labels = call.scores(), call.labels()
        assert (scores.shape, scores.dtype) == (expected.scores().shape, np.float32)
        assert float(np.abs(scores - expected.scores()).mean()) < tolerance * float(expected.scores().std())
        found = np.stack([label_scores(one, images.shape[1:3], 8) for one in scores])
        assert (labels.shape, labels.dtype) == (found.shape, np.uint8)
        assert np.count_nonzero(labels != found) <= max(1, labels.size // 500)


@needs_cuda
def test_every_slot_of_a_gpu_gives_the_same_bits_each_time() -> None:
    images = interleaved((96, 160), seed=8).numpy()
    with closing(build_engine(lively_network(), torch.device("cuda", 0), "fp16", 3)) as engine:
        calls = [engine.submit(images) for _ in range(9)]
        for call in calls[1:]:
            assert np.array_equal(call.scores(), calls[0].scores())
            assert np.array_equal(call.labels(), calls[0].labels())
