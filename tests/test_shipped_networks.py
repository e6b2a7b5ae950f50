"""The shipped networks are as good as their cards say."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextnet.data.sources import open_data
from contextnet.data.synthetic import SyntheticStreets, drives_for
from contextnet.evaluation.evaluator import evaluate
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import read_weights
from contextnet.weights.catalogue import find_weights, summarize_weights, weights_names


def _predictor(name: str) -> NetworkPredictor:
    return NetworkPredictor(read_weights(find_weights(name)).build())


def test_the_networks_of_the_documents_are_shipped_with_cards_and_notices() -> None:
    assert {"cn14-camvid", "cn14-synthetic"} <= set(weights_names())
    for name in weights_names():
        path = find_weights(name)
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        summary = summarize_weights(path)
        assert summary.miou is not None
        assert f"| **mean** | **{100 * summary.miou:.2f}** |" in card
        assert summary.licence
        assert summary.licence in card


def test_cn14_camvid_has_the_miou_of_its_card(camvid_root: Path) -> None:
    scores = evaluate(_predictor("cn14-camvid"), open_data(f"camvid:{camvid_root}", "val")).scores
    assert scores.miou == pytest.approx(summarize_weights(find_weights("cn14-camvid")).miou, abs=0.001)
    assert scores.miou >= 0.60


def test_cn14_synthetic_labels_streets_it_was_not_trained_on() -> None:
    streets = SyntheticStreets(drives_for("demo", 2, (512, 1024), 4, frames_per_s=1.0), split="demo")
    assert evaluate(_predictor("cn14-synthetic"), streets).scores.miou >= 0.60
