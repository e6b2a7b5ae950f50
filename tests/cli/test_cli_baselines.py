"""The command line with a compared network: described, exported, run and scored; pruning is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from contextnet.data.sources import open_data
from contextnet.data.synthetic import drives_for, write_drives
from contextnet.evaluation import evaluate
from contextnet.images import read_image, read_mask, write_png
from contextnet.labels import CITYSCAPES
from contextnet.models.multiscale import MultiScalePredictor
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import read_weights, write_weights
from contextnet.network_spec import BASELINES, NETWORKS
from contextnet.spec import VARIANTS
from lively_baselines import lively_baseline_weights
from lively_networks import patches
from training_data import tiny_recipe, write_pairs

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights files of two networks, of strides 1 and 8, with the classes of Cityscapes."""
    folder, found = tmp_path_factory.mktemp("weights"), {}
    for name in ("enet", "fast-scnn"):
        found[name] = folder / f"{name}.safetensors"
        write_weights(found[name], replace(lively_baseline_weights(name, 19), labels=CITYSCAPES))
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index in range(4):
        write_png(folder / f"{index}.png", patches((123, 181), index))
    return folder


# info.


@pytest.mark.parametrize(
    ("name", "parameters", "folded", "layers"),
    [("segnet", 29_446_035, 29_438_099, 26), ("icnet", 6_699_987, 6_685_715, 64)],
)
def test_info_as_json(shell: Shell, name: str, parameters: int, folded: int, layers: int) -> None:
    code, out, err = shell("info", name, "--size", "64x96", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["name"], facts["classes"], facts["size_hw"]) == (name, 19, [64, 96])
    assert (facts["parameters"], facts["parameters_folded"]) == (parameters, folded)
    assert facts["receptive_field"] is None
    assert facts["size_multiple"] == 32
    assert sum(row["repeats"] for row in facts["layers"]) == layers
    assert facts["spec"] == {"kind": "baseline", "name": name, "num_classes": 19, "auxiliary": False, "dropout": 0.0}


@pytest.mark.parametrize("name", ["segnet", "icnet"])
def test_info_as_a_table(shell: Shell, name: str) -> None:
    code, out, err = shell("info", name, "--classes", "11", "--size", "64x96")
    assert code == 0, err
    assert "multiply-adds" in out
    assert "receptive field" not in out
    rows = [line.split() for line in out.splitlines()]
    expected = {"segnet": ["encoder", "64×96×3", "Conv2d", "3×3"], "icnet": ["shared", "32×48×3", "Conv2d", "3×3"]}
    assert expected[name] in [row[:4] for row in rows]


def test_info_of_a_weights_file(shell: Shell, files: dict[str, Path]) -> None:
    code, out, err = shell("info", str(files["enet"]), "--size", "64x96", "--json")
    assert code == 0, err
    assert json.loads(out)["parameters"] == 363_618


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["enet", "--width", "0.5"], "'enet' is built as its paper says; leave out width and pyramid pooling"),
        (["pspnet", "--pyramid-pooling"], "'pspnet' is built as its paper says"),
        (["enet", "--classes", "0"], "network 'enet': 0 classes; 1 to 254 are possible"),
        (["unet"], "error: 'unet' is neither a file nor a shipped network ("),
        (["unet"], f"nor a network ({', '.join(NETWORKS)})"),
    ],
)
def test_info_refuses_in_one_sentence(shell: Shell, words: list[str], expected: str) -> None:
    code, out, err = shell("info", *words)
    assert (code, out) == (2, "")
    assert expected in err
    assert len(err.strip().splitlines()) == 1


# export, predict and evaluate.


@pytest.mark.parametrize(("name", "size"), [("enet", "dynamic"), ("fast-scnn", "128x192")])
def test_a_network_is_exported_and_its_file_labels_alike(
    shell: Shell, files: dict[str, Path], images: Path, tmp_path: Path, name: str, size: str
) -> None:
    model = tmp_path / "m.onnx"
    code, out, err = shell(
        "export", str(files[name]), "--size", size, "--output", str(model), "--images", str(images), "--json"
    )
    assert code == 0, err
    exact = [parity for parity in json.loads(out)["parity"] if parity["precision"] == "fp32"]
    assert exact
    assert all(parity["equal_share"] >= 0.9999 for parity in exact)
    write_png(tmp_path / "one.png", patches((128, 192), 9))
    labels = {}
    for source in (files[name], model):
        output = tmp_path / source.stem
        words = ("predict", str(source), str(tmp_path / "one.png"), "--output", str(output), "--precision", "fp32")
        code, _, err = shell(*words)
        assert code == 0, err
        labels[source] = read_mask(output / "labels" / "one.png").values
    network = read_weights(files[name]).build()
    with torch.inference_mode():
        image = torch.from_numpy(read_image(tmp_path / "one.png")).permute(2, 0, 1)[None]
        expected = network.full_size_scores(image).argmax(1)[0].byte().numpy()
    assert len(np.unique(expected)) > 3
    for found in labels.values():
        assert np.mean(CITYSCAPES.encode(found) == expected) >= 0.999


def test_a_network_is_evaluated_plainly_and_at_several_scales(
    shell: Shell, files: dict[str, Path], tmp_path: Path
) -> None:
    write_drives(tmp_path, "val", drives_for("val", 1, (64, 128), 1))
    data, network = open_data(f"cityscapes:{tmp_path}", "val"), NetworkPredictor(read_weights(files["enet"]).build())
    for words, predictor in (
        ((), network),
        (("--scales", "0.5,1", "--flip"), MultiScalePredictor(network, (0.5, 1.0), flip=True)),
    ):
        code, out, err = shell("evaluate", str(files["enet"]), f"cityscapes:{tmp_path}", "--json", "-", *words)
        assert code == 0, err
        assert json.loads(out)["confusion"] == evaluate(predictor, data).scores.confusion.tolist()


# prune.


def test_weights_of_a_baseline_are_not_pruned(shell: Shell, files: dict[str, Path], tmp_path: Path) -> None:
    words = ("--target", "params=100000", "--steps-only", "--output", str(tmp_path / "out"), "--size", "64x128")
    code, out, err = shell("prune", str(files["enet"]), *words)
    assert (code, out) == (2, "")
    expected = f"error: 'enet' cannot be pruned: that is for ContextNet's variants ({', '.join(VARIANTS)})"
    assert err.strip() == expected
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["dabnet"])
def test_a_recipe_of_a_baseline_is_not_pruned(shell: Shell, tmp_path: Path, name: str) -> None:
    write_pairs(tmp_path / "data", train=2)
    data = {"source": f"folder:{tmp_path / 'data'}"}
    values = tiny_recipe(network={"variant": name}, data=data).model_dump(mode="json")
    values["network"].pop("architecture")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
    words = ["--schedule", "0.5,0.25", "--wide", "0.75", "--wide-epochs", "1", "--epochs", "1", "--last-epochs", "1"]
    code, out, err = shell("prune", str(recipe), *words, "--output", str(tmp_path / "out"), "--size", "64x128")
    assert (code, out) == (2, "")
    assert f"'{name}' cannot be pruned: that is for ContextNet's variants" in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_compared_networks_are_told_where_networks_are() -> None:
    assert set(BASELINES) < set(NETWORKS)
