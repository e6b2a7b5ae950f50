"""Weights files of the compared networks: written, read and rebuilt, and refused where they are not what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from contextnet.errors import WeightsError
from contextnet.models.baselines.baseline import Baseline
from contextnet.models.cost import measure_cost
from contextnet.models.network import build_network
from contextnet.models.storage import Weights, read_tensors, read_weights, write_tensors, write_weights
from contextnet.network_spec import BASELINES, BaselineSpec, named_spec
from contextnet.spec import variant
from contextnet.weights.catalogue import summarize_weights
from lively_baselines import SMALL, lively_baseline, lively_baseline_weights
from lively_networks import CLASSES, patches, some_labels

FORMAT = "contextnet-weights-1"


@pytest.mark.parametrize("name", SMALL)
def test_everything_comes_back_and_scores_alike(tmp_path: Path, name: str) -> None:
    path = tmp_path / "weights.safetensors"
    write_weights(path, lively_baseline_weights(name))
    read = read_weights(path)
    assert read.spec == BaselineSpec(name, CLASSES)
    assert (read.labels, read.training, read.licence) == (some_labels(CLASSES), {"miou": 0.5}, "free")
    rebuilt = read.build()
    assert isinstance(rebuilt, Baseline)
    assert not rebuilt.training
    image = torch.from_numpy(patches((37, 53), 2)).permute(2, 0, 1)[None]
    with torch.no_grad():
        assert torch.equal(rebuilt(image).scores, lively_baseline(name)(image).scores)


@pytest.mark.parametrize("name", ["icnet", "fast-scnn"])
def test_an_auxiliary_classifier_comes_back(tmp_path: Path, name: str) -> None:
    torch.manual_seed(2)
    spec = BaselineSpec(name, 3, auxiliary=True, dropout=0.0)
    network = Baseline(spec)
    write_weights(tmp_path / "w.safetensors", Weights(spec, some_labels(3), network.state_dict(), {}, ""))
    rebuilt = read_weights(tmp_path / "w.safetensors").build()
    assert rebuilt.state_dict().keys() == network.state_dict().keys()
    assert torch.equal(
        rebuilt.state_dict()["body.auxiliary.classifier.weight"],
        network.state_dict()["body.auxiliary.classifier.weight"],
    )


@pytest.mark.parametrize("name", ["dabnet", "icnet"])
def test_a_file_that_states_dropout_its_network_lacks_is_read_without_it(tmp_path: Path, name: str) -> None:
    """As earlier versions wrote it."""
    path = tmp_path / "weights.safetensors"
    write_weights(path, lively_baseline_weights(name))
    tensors, metadata = read_tensors(path, FORMAT)
    stated = json.loads(metadata["spec"])
    assert stated["dropout"] == 0.0
    rewrite(path, tensors, metadata | {"spec": json.dumps(stated | {"dropout": 0.1})})
    read = read_weights(path)
    assert (read.spec, read.spec.to_json()) == (BaselineSpec(name, CLASSES), stated)
    assert read.build().state_dict().keys() == tensors.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "unknown"}, "network description: 'kind' is 'unknown'; expected 'baseline'"),
        ({"name": "unet"}, "no baseline is called 'unet'; known: segnet, "),
        ({"name": None}, "network description: 'name' is None; expected str"),
        ({"num_classes": "5"}, "network description: 'num_classes' is '5'; expected int"),
        ({"num_classes": 0}, "network 'dabnet': 0 classes"),
        ({"num_classes": 6}, "the network scores 6 classes but its label set has 5"),
        ({"dropout": 10**400}, "network 'dabnet': dropout 1000"),
        ({"width": 1}, "network description: 'width' is no part of it"),
        ({"kind": ...}, "network description: "),
    ],
)
def test_a_wrong_description_is_refused_by_name(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "weights.safetensors"
    write_weights(path, lively_baseline_weights("dabnet"))
    tensors, metadata = read_tensors(path, FORMAT)
    spec = {key: value for key, value in (json.loads(metadata["spec"]) | change).items() if value is not ...}
    rewrite(path, tensors, metadata | {"spec": json.dumps(spec)})
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_tensors_of_another_baseline_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_weights(path, lively_baseline_weights("dabnet"))
    tensors, metadata = read_tensors(path, FORMAT)
    rewrite(path, tensors, metadata | {"spec": json.dumps(BaselineSpec("enet", CLASSES).to_json())})
    with pytest.raises(WeightsError, match=r"^weights of 'enet': 'body\.block1.* is not part of the network"):
        read_weights(path).build()


def rewrite(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a file again with its checksum made to fit."""
    path.unlink()
    write_tensors(path, tensors, {k: v for k, v in metadata.items() if k not in {"format", "checksum"}}, FORMAT)


@pytest.mark.parametrize("name", [*BASELINES, "cn14", "cn124"])
def test_a_summary_counts_what_the_network_costs(tmp_path: Path, name: str) -> None:
    """Parameters without those that only training has, of which batch norm's statistics are none."""
    spec = named_spec(name, 3, auxiliary=True)
    with torch.device("meta"):
        network = build_network(spec)
    # As many values of one byte each: a file of a large network is then small, and its header says the same.
    tensors = {n: torch.zeros(t.shape, dtype=torch.uint8) for n, t in network.state_dict().items()}
    texts = {"spec": json.dumps(spec.to_json()), "labels": json.dumps(some_labels(3).to_json())}
    path = tmp_path / "weights.safetensors"
    save_file(tensors, path, texts | {"training": "{}", "licence": '""'})
    summary = summarize_weights(path)
    assert (summary.variant, summary.num_classes) == (name, 3)
    assert summary.parameters == measure_cost(spec, (64, 64)).parameters
    assert summary.parameters == measure_cost(named_spec(name, 3), (64, 64)).parameters
    assert summary.parameters == sum(p.numel() for n, p in network.named_parameters() if "auxiliary" not in n)


def test_a_contextnet_is_still_read_as_one(tmp_path: Path) -> None:
    torch.manual_seed(3)
    spec = variant("cn14", CLASSES, width=0.125)
    path = tmp_path / "w.safetensors"
    write_weights(path, Weights(spec, some_labels(CLASSES), build_network(spec).state_dict(), {}, ""))
    assert read_weights(path).spec == spec
