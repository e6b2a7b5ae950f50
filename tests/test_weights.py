"""The shipped networks: found by name, described by their headers alone, refused when they are something else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import contextnet.weights.catalogue as weights
from contextnet.errors import WeightsError
from contextnet.labels import CAMVID
from contextnet.models.contextnet import ContextNet
from contextnet.models.storage import Weights, read_weights, write_weights
from contextnet.spec import ContextNetSpec, variant
from contextnet.weights.catalogue import find_weights, summarize_weights, weights_names

SPEC = variant("cn14", 11, auxiliary=True)


def _write(path: Path, training: dict[str, object]) -> Path:
    torch.manual_seed(31)
    network = ContextNet(SPEC)
    write_weights(path, Weights(SPEC, CAMVID, network.state_dict(), training, "CamVid: research use"))
    return path


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for the package's own, with two networks and a file that is none."""
    for name in ("cn14-camvid", "cn12-camvid"):
        _write(tmp_path / f"{name}.safetensors", {})
    (tmp_path / "cn14-camvid.md").write_text("a model card")
    monkeypatch.setattr(weights, "_FOLDER", tmp_path)
    return tmp_path


def test_names_are_those_of_the_weights_files(shipped: Path) -> None:
    assert weights_names() == ["cn12-camvid", "cn14-camvid"]
    (shipped / "cn12-camvid.safetensors").unlink()
    assert weights_names() == ["cn14-camvid"]


def test_a_name_or_a_path_finds_its_file(shipped: Path, tmp_path: Path) -> None:
    assert find_weights("cn14-camvid") == shipped / "cn14-camvid.safetensors"
    own = tmp_path / "own" / "best.safetensors"
    own.parent.mkdir()
    own.write_bytes(b"")
    assert find_weights(str(own)) == own


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cn41", "'cn41' is neither a file nor a shipped network (cn12-camvid, cn14-camvid)"),
        ("runs/best.safetensors", "'runs/best.safetensors' is neither a file nor a shipped network (cn12-camvid, "),
        ("../cn14-camvid", "'../cn14-camvid' is neither a file nor a shipped network"),
        ("FOLDER", "'FOLDER' is a folder; give the weights file in it"),
        ("", "'' is a folder; give the weights file in it"),
        ("a\0b", r"'a\x00b' is neither a file nor a shipped network"),
        ("x" * 5000, f"'{'x' * 60}' cannot be a file: File name too long"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    (shipped / "FOLDER").mkdir()
    monkeypatch.chdir(shipped)
    with pytest.raises(WeightsError) as caught:
        find_weights(name)
    assert str(caught.value).startswith(expected)


def test_without_shipped_networks_the_refusal_says_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match=r"'cn14' is neither a file nor a shipped network \(none\)"):
        find_weights("cn14")


def test_a_summary_says_what_the_header_says(tmp_path: Path) -> None:
    training = {"trained_on": "camvid/train", "validated_on": "camvid/val", "miou": 0.625, "epochs": 120}
    path = _write(tmp_path / "mine.safetensors", training)
    summary = summarize_weights(path)
    assert (summary.name, summary.variant, summary.num_classes, summary.label_set) == ("mine", "cn14", 11, "camvid")
    assert (summary.trained_on, summary.validated_on, summary.miou) == ("camvid/train", "camvid/val", 0.625)
    # 856,851 less the eight classes that CamVid has fewer, each 128 weights and a bias; nothing for the auxiliary.
    assert summary.parameters == 856_851 - 8 * 129
    assert (summary.file_bytes, summary.licence) == (path.stat().st_size, "CamVid: research use")
    assert ContextNetSpec.from_json(summary.spec) == SPEC


def test_a_summary_of_weights_that_were_never_measured(tmp_path: Path) -> None:
    summary = summarize_weights(_write(tmp_path / "new.safetensors", {}))
    assert (summary.trained_on, summary.validated_on, summary.miou) == ("", "", None)


_METADATA = {
    "spec": json.dumps(SPEC.to_json()),
    "labels": json.dumps(CAMVID.to_json()),
    "training": "{}",
    "licence": '""',
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"spec": None}, "its header has no 'spec'; it was not written by this project"),
        ({"licence": None}, "its header has no 'licence'; it was not written by this project"),
        ({"labels": "{"}, "its metadata field 'labels' is not JSON"),
        ({"spec": "[" * 100_000}, "its metadata field 'spec' is not JSON"),
        ({"training": "9" * 5000}, "its metadata field 'training' is not JSON"),
        ({"training": "[]"}, "its metadata field 'training' is no JSON object"),
        ({"spec": '"cn14"'}, "its metadata field 'spec' is no JSON object"),
        ({"licence": "{}"}, "its metadata field 'licence' is no JSON text"),
        ({"spec": '{"name": "cn14"}'}, "its spec or label set lacks 'num_classes'; it was not written by"),
        ({"labels": "{}"}, "its spec or label set lacks 'name'; it was not written by this project"),
    ],
)
def test_a_header_of_another_project_is_refused(tmp_path: Path, change: dict[str, str | None], expected: str) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": np.ones(3, np.float32)}, path, _METADATA)
    assert summarize_weights(path).parameters == 3
    metadata = {key: value for key, value in (_METADATA | change).items() if value is not None}
    save_file({"weight": np.ones(3, np.float32)}, path, metadata)
    with pytest.raises(WeightsError) as caught:
        summarize_weights(path)
    assert str(caught.value).startswith(f"{path}: {expected}")


def test_what_is_no_weights_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "no.safetensors"
    for content, expected in (
        (b"", "no safetensors file: "),
        (b"\x80\x04K\x01.", "no safetensors file: "),
        (b"\xff" * 64, "no safetensors file: "),
        (None, "cannot be read: No such file or directory"),
    ):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(WeightsError) as caught:
            summarize_weights(path)
        assert str(caught.value).startswith(f"{path}: {expected}")
    path.mkdir()
    with pytest.raises(WeightsError, match=r"no\.safetensors: cannot be read: is a folder; give the weights file in"):
        summarize_weights(path)


@pytest.mark.parametrize("name", weights_names() or [pytest.param("", marks=pytest.mark.skip("none is shipped yet"))])
def test_every_shipped_network_can_be_rebuilt_and_says_what_it_was_trained_on(name: str) -> None:
    summary = summarize_weights(find_weights(name))
    network = read_weights(find_weights(name)).build()
    counted = sum(p.numel() for n, p in network.named_parameters() if not n.startswith("auxiliary."))
    assert counted == summary.parameters
    assert summary.trained_on
    assert summary.licence
    assert summary.miou is not None
    assert 0 < summary.miou < 1
