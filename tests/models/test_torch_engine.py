"""PyTorch as an engine: its results on a CPU against the network's own, its errors, and its slots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from prediction_sources import CLASSES, full_size_scores, lively_network, noise
from torch import Tensor

from contextnet.errors import ContextNetError, WeightsError
from contextnet.models.contextnet import ContextNet
from contextnet.models.engine import TorchEngine, build_engine, open_engine
from contextnet.models.gpu_network import gpu_network
from contextnet.models.storage import read_weights
from contextnet.runtime.engines.cores import MAX_IN_FLIGHT
from contextnet.runtime.engines.engine import EngineInfo, Inference
from contextnet.weights import find_weights

CPU = torch.device("cpu")
SIZES = [(1, 1), (7, 13), (32, 64), (37, 53), (64, 96), (1, 300)]


def images_of(size_hw: tuple[int, int], seed: int = 0, batch: int = 2) -> NDArray[np.uint8]:
    return np.ascontiguousarray(noise(size_hw, seed, batch).permute(0, 2, 3, 1).numpy())


def own_scores(network: ContextNet, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The scores of the network as it is, batch norm and all."""
    with torch.no_grad():
        scores: NDArray[np.float32] = network(torch.from_numpy(images).permute(0, 3, 1, 2)).scores.numpy()
        return scores


# On the CPU.


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("batch", [1, 3])
def test_scores_are_the_networks_own_and_labels_those_of_every_pixel(size_hw: tuple[int, int], batch: int) -> None:
    network, images = lively_network(), images_of(size_hw, seed=3, batch=batch)
    inference = build_engine(network, CPU, "fp32").submit(images)
    scores, labels = inference.scores(), inference.labels()
    height, width = (-(-side // 32) * 4 for side in size_hw)
    assert (scores.shape, scores.dtype) == ((batch, CLASSES, height, width), np.float32)
    assert (labels.shape, labels.dtype) == ((batch, *size_hw), np.uint8)
    np.testing.assert_allclose(scores, own_scores(network, images), rtol=0, atol=1e-4)
    expected = full_size_scores(network)(torch.from_numpy(images).permute(0, 3, 1, 2)).argmax(dim=1).numpy()
    assert np.count_nonzero(labels != expected) <= labels.size // 1000
    assert np.array_equal(inference.labels(), labels)


@pytest.fixture(scope="module")
def trained() -> ContextNet:
    """A shipped network: rounding errors fade in it, where they grow in one of random weights."""
    return read_weights(find_weights("cn14-camvid")).build()


def test_bfloat16_scores_as_float32_does_to_its_eight_bits(trained: ContextNet) -> None:
    images = images_of((64, 96), seed=4)
    exact = build_engine(trained, CPU, "fp32").submit(images).scores()
    engine = build_engine(trained, CPU, "bf16")
    scores = engine.submit(images).scores()
    assert engine.info.precision == "bf16"
    assert scores.dtype == np.float32
    # Roundings of 2^-9 in some 40 layers: errors near 0.5 % of a score's spread, but never none.
    assert 0.001 < float(np.abs(scores - exact).mean() / exact.std()) < 0.01


def test_images_are_read_before_submit_returns_and_however_they_lie_in_memory() -> None:
    engine = build_engine(lively_network(), CPU, "fp32")
    images = images_of((40, 56), seed=5)
    expected = engine.submit(images).scores()
    fixed = images.copy()
    fixed.flags.writeable = False
    planar = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    backwards = np.ascontiguousarray(images[:, ::-1])[:, ::-1]
    for given in (fixed, planar, backwards):
        assert np.array_equal(engine.submit(given).scores(), expected)
    inference = engine.submit(images)
    images[:] = 0
    assert np.array_equal(inference.labels(), engine.submit(fixed).labels())
    assert np.array_equal(inference.scores(), expected)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 4), np.uint8),
        np.zeros((1, 3, 8, 8), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((1, 0, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 3), np.float32),
    ],
    ids=lambda images: f"{images.dtype} {images.shape}",
)
def test_other_arrays_are_refused(images: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"^the images are .*; expected uint8 \(N, H, W, 3\)$"):
        build_engine(lively_network(), CPU, "fp32").submit(images)


# What may be asked for, with PyTorch finding so many GPUs.


@pytest.mark.parametrize(
    ("device", "precision", "in_flight", "gpus", "message"),
    [
        ("gpu", None, 1, 0, "device 'gpu': expected auto, cpu, cuda or cuda:N"),
        ("cuda:", None, 1, 1, "device 'cuda:': expected auto, cpu, cuda or cuda:N"),
        ("cuda", None, 1, 0, "device 'cuda': PyTorch finds no CUDA GPU on this machine; use cpu"),
        ("cuda:0", None, 1, 0, "device 'cuda:0': PyTorch finds no CUDA GPU on this machine; use cpu"),
        ("cuda:2", None, 1, 2, "device 'cuda:2': there are 2 CUDA GPUs, counted from 0"),
        ("cpu", "fp16", 1, 0, "precision 'fp16': on cpu expected fp32 or bf16"),
        ("auto", "int8", 1, 0, "precision 'int8': on cpu expected fp32 or bf16"),
        ("auto", "fp32", 1, 1, "precision 'fp32': on cuda expected fp16 or bf16"),
        ("cuda:1", "fp32", 1, 2, "precision 'fp32': on cuda expected fp16 or bf16"),
        ("cpu", None, 0, 0, "0 calls in flight; 1 to 8 are possible"),
        ("cpu", None, 9, 0, "9 calls in flight; 1 to 8 are possible"),
    ],
)
def test_what_cannot_be_is_refused_before_the_file_is_read(
    device: str, precision: str | None, in_flight: int, gpus: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    with pytest.raises(ContextNetError) as caught:
        open_engine(Path("absent.safetensors"), device=device, precision=precision, in_flight=in_flight)
    assert str(caught.value) == message


def test_a_weights_file_becomes_an_engine_or_is_refused_by_name(tmp_path: Path) -> None:
    engine = open_engine(find_weights("cn14-camvid"), device="cpu", in_flight=3)
    assert engine.info == EngineInfo("pytorch", torch.__version__, "cpu", "fp32", 1)
    assert engine.submit(images_of((33, 40))).scores().shape == (2, 11, 8, 8)
    with pytest.raises(WeightsError, match=r"absent\.safetensors: cannot be read"):
        open_engine(tmp_path / "absent.safetensors", device="cpu")


def test_the_network_is_left_as_it_is() -> None:
    network = lively_network().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    build_engine(network, CPU, "bf16").submit(images_of((8, 8)))
    gpu_network(network, CPU, torch.float16)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_no_call_has_a_stream_that_another_has() -> None:
    streams_of_a_call, streams_of_pytorch = 2, 32
    assert MAX_IN_FLIGHT * streams_of_a_call <= streams_of_pytorch


# Slots.


class NotingSlot:
    """A slot that computes nothing and notes what it is asked to do."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes

    def submit(self, images_NHW3: Tensor) -> Inference:
        self._notes.append(f"{self._name}: {int(images_NHW3[0, 0, 0, 0])}")
        raise NotImplementedError

    def close(self) -> None:
        self._notes.append(f"{self._name}: close")


@pytest.mark.parametrize(
    ("slots", "expected"),
    [("a", ["a: 0", "a: 1", "a: 2", "a: 3"]), ("abc", ["a: 0", "b: 1", "c: 2", "a: 3"])],
)
def test_calls_take_the_slots_in_turn_so_that_the_oldest_is_waited_for(slots: str, expected: list[str]) -> None:
    notes: list[str] = []
    info = EngineInfo("pytorch", "0", "cpu", "fp32", len(slots))
    engine = TorchEngine(info, [NotingSlot(name, notes) for name in slots])
    for number in range(4):
        with pytest.raises(NotImplementedError):
            engine.submit(np.full((1, 1, 1, 3), number, np.uint8))
    assert engine.info is info
    engine.close()
    engine.close()
    assert notes == [*expected, *(f"{name}: close" for name in slots)]
    with pytest.raises(ValueError, match="the engine is closed"):
        engine.submit(np.zeros((1, 1, 1, 3), np.uint8))
