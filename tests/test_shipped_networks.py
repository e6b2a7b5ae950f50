"""The shipped networks are as good as their cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contextnet.data.sources import open_data
from contextnet.data.synthetic import SyntheticStreets, drives_for
from contextnet.evaluation.evaluator import evaluate
from contextnet.export.deployment import source_labels
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import read_weights
from contextnet.runtime.onnx_file import read_onnx_file
from contextnet.runtime.openvino_package import openvino_core
from contextnet.runtime.segmenter import Segmenter
from contextnet.weights.catalogue import find_model_file, find_weights, model_names, summarize_weights, weights_names

CAMVID = {
    "cn12-camvid": (855_819, 0.73),
    "cn12-camvid-trainval": (855_819, 0.8),
    "cn14-camvid": (855_819, 0.63),
    "cn14-camvid-pruned": (855_819, 0.63),
    "cn14-500-camvid": (489_379, 0.62),
    "cn14-500-camvid-pruned": (489_305, 0.62),
    "cn14-160-camvid": (158_971, 0.60),
    "cn14-160-camvid-pruned": (158_968, 0.59),
}
"""The networks trained on CamVid: their parameters, and the least mIoU on val that is worth shipping."""


def _predictor(name: str) -> NetworkPredictor:
    return NetworkPredictor(read_weights(find_weights(name)).build())


def test_the_networks_of_the_documents_are_shipped_with_cards_and_notices() -> None:
    assert {*CAMVID, "cn12-synthetic", "cn14-synthetic"} == set(weights_names())
    for name in weights_names():
        path = find_weights(name)
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        summary = summarize_weights(path)
        assert summary.miou is not None
        assert f"| **mean** | **{100 * summary.miou:.2f}** |" in card
        assert summary.licence
        assert summary.licence in card


@pytest.mark.parametrize(("name", "parameters", "least"), [(name, *facts) for name, facts in CAMVID.items()])
def test_a_network_of_camvid_has_the_size_and_miou_of_its_card(
    camvid_root: Path, name: str, parameters: int, least: float
) -> None:
    summary = summarize_weights(find_weights(name))
    scores = evaluate(_predictor(name), open_data(f"camvid:{camvid_root}", "val")).scores
    assert scores.miou == pytest.approx(summary.miou, abs=0.001)
    assert scores.miou >= least
    assert summary.parameters == parameters


def test_cn14_synthetic_labels_streets_it_was_not_trained_on() -> None:
    streets = SyntheticStreets(drives_for("demo", 2, (512, 1024), 4, frames_per_s=1.0), split="demo")
    assert evaluate(_predictor("cn14-synthetic"), streets).scores.miou >= 0.70


def test_every_network_is_shipped_as_a_model_file_and_in_int8() -> None:
    for name in weights_names():
        assert {name, f"{name}-int8"} <= set(model_names())
        weights = read_weights(find_weights(name))
        for model, precision in ((name, "fp32"), (f"{name}-int8", "int8")):
            metadata = read_onnx_file(find_model_file(model)).metadata
            assert (metadata.spec, metadata.labels, metadata.licence) == (weights.spec, weights.labels, weights.licence)
            assert metadata.precision == precision
            assert {key: metadata.training[key] for key in weights.training} == weights.training
        assert find_model_file(f"{name}-int8").stat().st_size < find_model_file(name).stat().st_size / 2


@pytest.mark.parametrize(
    ("engine", "precision", "least"),
    [("openvino", "fp32", 0.9999), ("onnxruntime", "fp32", 0.9999), ("openvino", "bf16", 0.995)],
)
def test_the_model_file_agrees_with_its_weights(camvid_root: Path, engine: str, precision: str, least: float) -> None:
    val = open_data(f"camvid:{camvid_root}", "val")
    images = [val[index].image for index in range(0, 100, 5)]
    expected = source_labels(read_weights(find_weights("cn14-camvid")).build(), images)
    if precision == "bf16" and not has_bfloat16():
        pytest.skip("the CPU has no bfloat16")
    with Segmenter.load("cn14-camvid", engine=engine, device="cpu", precision=precision) as segmenter:
        assert segmenter.info.precision == precision
        equal = [np.mean(segmenter.labels(image) == labels) for image, labels in zip(images, expected, strict=True)]
    assert np.mean(equal) >= least


def has_bfloat16() -> bool:
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize("name", CAMVID)
def test_int8_loses_at_most_half_a_point_on_camvid(camvid_root: Path, name: str) -> None:
    with Segmenter.load(f"{name}-int8", precision="fp32") as segmenter:
        scores = evaluate(segmenter, open_data(f"camvid:{camvid_root}", "val")).scores
        quantization = read_onnx_file(find_model_file(f"{name}-int8")).metadata.training["quantization"]
    miou = summarize_weights(find_weights(name)).miou
    assert miou is not None
    assert scores.miou >= miou - 0.005
    assert scores.miou == pytest.approx(quantization["after"], abs=0.001)
