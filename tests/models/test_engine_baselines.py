"""Compared networks in PyTorch's engine and in a segmenter, against their own scores and the predictor's labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contextnet.models.engine import build_engine
from contextnet.models.gpu_network import gpu_network, score_and_label
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import write_weights
from contextnet.runtime.segmenter import Segmenter
from contextnet.runtime.smoothing.choice import open_smoother
from lively_baselines import lively_baseline, lively_baseline_weights
from lively_networks import CLASSES, patches

CPU = torch.device("cpu")
NAMES = ("icnet", "erfnet")
SIZES_HW = [(37, 53), (64, 96), (1, 1)]


def full_size(name: str, images: NDArray[np.uint8]) -> torch.Tensor:
    with torch.inference_mode():
        return lively_baseline(name).full_size_scores(torch.from_numpy(images).permute(0, 3, 1, 2))


@pytest.mark.parametrize("name", [*NAMES, "fast-scnn"])
@pytest.mark.parametrize("size_hw", SIZES_HW)
def test_labels_are_those_of_the_predictor(name: str, size_hw: tuple[int, int]) -> None:
    network = lively_baseline(name)
    spec, images = network.spec, np.stack([patches(size_hw, seed) for seed in (3, 4)])
    engine = build_engine(network, CPU, "fp32")
    call = engine.submit(images)
    sides = [-(-side // spec.size_multiple) * spec.size_multiple // spec.output_stride for side in size_hw]
    assert call.scores().shape == (2, CLASSES, *sides)
    with torch.inference_mode():
        own = network(torch.from_numpy(images).permute(0, 3, 1, 2)).scores.numpy()
    np.testing.assert_allclose(call.scores(), own, rtol=0, atol=1e-3 * max(1, np.abs(own).max()))
    predictor = NetworkPredictor(network)
    # One image at a time and two together may be rounded otherwise.
    expected = np.stack([predictor.labels(image) for image in images])
    assert np.mean(call.labels() == expected) >= 0.999
    assert np.mean(call.labels() == full_size(name, images).argmax(dim=1).numpy()) >= 0.999


@pytest.mark.parametrize("name", NAMES)
def test_a_network_arranged_for_a_gpu_labels_alike(name: str) -> None:
    """On the CPU: what is arranged for a GPU is the same network, and its labels are of the image's size."""
    images = patches((37, 53), 3)[None]
    arranged = gpu_network(lively_baseline(name), CPU, torch.float32)
    with torch.inference_mode():
        scores, labels = score_and_label(arranged, torch.from_numpy(images))
        own = lively_baseline(name)(torch.from_numpy(images).permute(0, 3, 1, 2)).scores
    torch.testing.assert_close(scores, own, rtol=0, atol=1e-3 * float(own.abs().max()))
    assert labels.shape == (1, 37, 53)
    assert float((labels == full_size(name, images).argmax(dim=1)).double().mean()) >= 0.99


@pytest.mark.parametrize("name", NAMES)
def test_a_segmenter_gives_labels_confidence_and_smooths(tmp_path: Path, name: str) -> None:
    path = tmp_path / "weights.safetensors"
    write_weights(path, lively_baseline_weights(name))
    image = patches((37, 53), 3)
    pixels = full_size(name, image[None])[0]
    with Segmenter.load(path, engine="pytorch", device="cpu", precision="fp32") as segmenter:
        assert segmenter.spec == lively_baseline(name).spec
        pending = segmenter.begin(image)
        found = pending.result(confidence=True)
        assert np.mean(found.labels == pixels.argmax(dim=0).numpy()) >= 0.999
        assert found.confidence is not None
        expected = pixels.softmax(dim=0).max(dim=0).values.numpy()
        np.testing.assert_allclose(found.confidence, expected, atol=1e-2)
        # Smoothed scores, here those of the same picture again, have the stride of the network's own.
        for kind in ("exponential", "motion"):
            smoother = open_smoother(kind, segmenter.spec.output_stride)
            assert smoother is not None
            for _ in range(2):
                scores = smoother.smooth(pending.scores(), image)
            again = pending.result(scores_CHW=scores, confidence=True)
            assert np.mean(again.labels == found.labels) >= 0.999
            assert again.confidence is not None
            np.testing.assert_allclose(again.confidence, found.confidence, atol=1e-2)
