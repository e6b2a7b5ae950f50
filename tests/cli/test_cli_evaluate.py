"""``contextnet evaluate`` with several scales, mirrored and in windows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contextnet.data.sources import open_data
from contextnet.data.synthetic import drives_for, write_drives
from contextnet.evaluation import evaluate
from contextnet.models.multiscale import MultiScalePredictor
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.sliding import SlidingPredictor
from contextnet.models.storage import Weights, read_weights, write_weights

Run = Callable[..., tuple[int, str, str]]

PLAIN = {"scales": [1.0], "flip": False, "window": None, "overlap": None}


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    write_drives(root, "val", drives_for("val", 1, (64, 128), 2))
    return root


@pytest.fixture(scope="module")
def lively_weights(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network with a louder classifier: each way of showing it an image gives other labels."""
    weights = read_weights(tiny_weights)
    generator = np.random.default_rng(1)
    tensors = dict(weights.tensors)
    kernel = tensors["classifier.weight"]
    tensors["classifier.weight"] = kernel.new_tensor(generator.normal(0, 50, kernel.shape))
    path = tmp_path_factory.mktemp("lively") / "lively.safetensors"
    write_weights(path, Weights(weights.spec, weights.labels, tensors, weights.training, weights.licence))
    return path


def facts_of(shell: Run, weights: Path, streets: Path, *words: str) -> dict[str, Any]:
    code, out, err = shell("evaluate", str(weights), f"cityscapes:{streets}", "--json", "-", *words)
    assert code == 0, err
    facts: dict[str, Any] = json.loads(out)
    return facts


@pytest.mark.parametrize(
    ("words", "scoring", "present"),
    [
        pytest.param([], PLAIN, lambda network: network, id="plain"),
        pytest.param(
            ["--scales", "0.75,1,1.25", "--flip"],
            {**PLAIN, "scales": [0.75, 1.0, 1.25], "flip": True},
            lambda network: MultiScalePredictor(network, (0.75, 1.0, 1.25), flip=True),
            id="scales and flip",
        ),
        pytest.param(
            ["--window", "32x64"],
            {**PLAIN, "window": [32, 64], "overlap": 0.33},
            lambda network: SlidingPredictor(network, (32, 64), 0.33),
            id="windows",
        ),
        pytest.param(
            ["--window", "32x32", "--overlap", "0.5", "--scales", "0.5,2"],
            {"scales": [0.5, 2.0], "flip": False, "window": [32, 32], "overlap": 0.5},
            lambda network: MultiScalePredictor(SlidingPredictor(network, (32, 32), 0.5), (0.5, 2.0)),
            id="windows at every scale",
        ),
    ],
)
def test_scores_as_asked_and_says_so(
    shell: Run,
    lively_weights: Path,
    streets: Path,
    words: list[str],
    scoring: dict[str, Any],
    present: Callable[[NetworkPredictor], Any],
) -> None:
    facts = facts_of(shell, lively_weights, streets, *words)
    assert facts["scoring"] == scoring
    network = NetworkPredictor(read_weights(lively_weights).build())
    data = open_data(f"cityscapes:{streets}", "val")
    assert facts["confusion"] == evaluate(present(network), data).scores.confusion.tolist()
    plain = evaluate(network, data).scores.confusion.tolist()
    assert (facts["confusion"] == plain) is (not words), "the options have to change what the network answers"


def test_a_window_over_the_whole_image_changes_no_score(shell: Run, lively_weights: Path, streets: Path) -> None:
    plain = facts_of(shell, lively_weights, streets)
    windowed = facts_of(shell, lively_weights, streets, "--window", "64x128")
    assert windowed["confusion"] == plain["confusion"]
    assert windowed["scoring"]["window"] == [64, 128]


def test_a_part_of_a_split_is_scored_by_itself(shell: Run, lively_weights: Path, streets: Path) -> None:
    whole = facts_of(shell, lively_weights, streets)
    last = sorted(path.name for path in streets.rglob("*_leftImg8bit.png"))[-1].removesuffix("_leftImg8bit.png")
    parts = [facts_of(shell, lively_weights, streets, "--split", f"val@{sign}{last}") for sign in ("", "-")]
    assert [(facts["data"], facts["images"]) for facts in parts] == [
        (f"cityscapes/val@{last}", 1),
        (f"cityscapes/val@-{last}", 1),
    ]
    one, other = (np.array(facts["confusion"]) for facts in parts)
    assert (one + other).tolist() == whole["confusion"]


def test_the_table_says_how_it_was_scored(shell: Run, lively_weights: Path, streets: Path) -> None:
    code, out, err = shell("evaluate", str(lively_weights), f"cityscapes:{streets}", "--scales", "0.5,1", "--flip")
    assert code == 0, err
    assert "scales 0.5, 1, flipped" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scales", "1,big"], "scales '1,big': expected numbers and commas, as in 0.75,1,1.25"),
        (["--scales", ""], "scales '': expected numbers and commas"),
        (["--scales", "1,9"], "scales: 9 is out of range; a scale is 0.1 to 4"),
        (["--scales", "1,1.0"], "scales: 1 stands twice"),
        (["--window", "64"], "size '64': expected HEIGHTxWIDTH"),
        (["--window", "16x64"], "window 16x64: a window is at least 32x32"),
        (["--window", "64x64", "--overlap", "1"], "overlap: 1 is out of range; it is 0 to 0.9"),
        (["--overlap", "0.5"], "overlap 0.5: there are no windows to overlap; give --window HxW as well"),
    ],
)
def test_refuses_before_any_work(shell: Run, tmp_path: Path, words: list[str], message: str) -> None:
    code, out, err = shell("evaluate", "no-such-weights", f"cityscapes:{tmp_path / 'absent'}", *words)
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert out == ""
