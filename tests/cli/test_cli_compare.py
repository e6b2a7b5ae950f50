"""``contextnet benchmark compare``: which networks, their table, JSON and plot, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from contextnet.benchmark import noise, side_by_side
from contextnet.data.sources import open_data
from contextnet.data.synthetic import drives_for, write_drives
from contextnet.evaluation.evaluator import evaluate
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import read_weights
from contextnet.weights.catalogue import find_weights, model_names

Run = Callable[..., tuple[int, str, str]]
SMALL = ("--size", "64x128", "--threads", "1")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here is about how well is measured."""
    monkeypatch.setattr(side_by_side, "TURN_S", 0.01)
    monkeypatch.setattr(side_by_side, "memory_to_run_mb", lambda *_: 99)
    monkeypatch.setattr(side_by_side, "find_noise", lambda *_: None)
    for watch in ("await_quiet", "others_share"):
        monkeypatch.setattr(noise, watch, lambda: 0.0)


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    write_drives(root, "val", drives_for("val", 1, (64, 128), 1))
    return root


def test_shipped_networks_with_the_classes_of_the_data(shell: Run, streets: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    words = ("--data", f"cityscapes:{streets}", *SMALL, "--plot", str(plot), "--json", "-")
    code, out, err = shell("benchmark", "compare", *words)
    assert code == 0, err
    values = json.loads(out)
    found = {(row["source"], row["form"], row["precision"]) for row in values["rows"]}
    names = ("cn12-synthetic", "cn14-synthetic")
    assert found == {(name, *form) for name in names for form in (("float32", "fp32"), ("INT8", "int8+fp32"))}
    assert (values["data"], values["size_hw"], values["noise"]) == ("cityscapes/val", [64, 128], None)
    # The model file and PyTorch differ by rounding alone.
    network = NetworkPredictor(read_weights(find_weights("cn14-synthetic")).build())
    expected = evaluate(network, open_data(f"cityscapes:{streets}", "val")).scores.miou
    (whole,) = (row for row in values["rows"] if (row["source"], row["form"]) == ("cn14-synthetic", "float32"))
    assert whole["miou"] == pytest.approx(expected, abs=2e-3)
    texts = {text.text for text in ElementTree.parse(plot).iter() if text.text}
    assert {"cn14-synthetic", "float32", "INT8", "parameters, M", "from image to scores, ms (64×128)"} <= texts


def test_named_networks_without_data(shell: Run, tiny_weights: Path) -> None:
    code, out, err = shell("benchmark", "compare", str(tiny_weights), "cn14-160-camvid-int8", *SMALL)
    assert code == 0, err
    assert "64x128, from an image to scores\n" in out
    assert [line.split()[0].rstrip(",") for line in out.splitlines()[2:]] == [tiny_weights.stem, "cn14-160-camvid"]
    assert "mIoU" not in out


def test_latencies_that_are_no_result_are_told(shell: Run, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "find_noise", lambda *_: "rounds differed by 40%")
    code, out, err = shell("benchmark", "compare", str(tiny_weights), *SMALL)
    assert code == 0, err
    assert out.splitlines()[-1] == "the latencies are no result: rounds differed by 40%"


def test_a_run_gives_its_name(shell: Run, tiny_weights: Path, tmp_path: Path) -> None:
    best = tmp_path / "my-run" / "best.safetensors"
    best.parent.mkdir()
    best.write_bytes(tiny_weights.read_bytes())
    code, out, err = shell("benchmark", "compare", str(best), *SMALL, "--json", "-")
    assert code == 0, err
    assert [row["source"] for row in json.loads(out)["rows"]] == ["my-run"]


def test_all_shipped_networks_are_taken_where_none_is_named(shell: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(candidates: list[side_by_side.Candidate], *_: object) -> side_by_side.SideBySide:
        asked.extend(candidate.path.stem for candidate in candidates)
        return side_by_side.SideBySide((), None)

    monkeypatch.setattr(side_by_side, "measure_side_by_side", note)
    assert shell("benchmark", "compare", *SMALL)[0] == 0
    assert asked == model_names()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["cn14-nowhere"], "neither a file nor a shipped network"),
        (["--plot", "a.svg"], "--plot draws mIoU; give --data KIND:ROOT"),
        (["--data", "camvid:nowhere"], "nowhere"),
        (["--size", "8"], "size '8'"),
        (["--precision", "int3"], "int3"),
    ],
)
def test_what_cannot_be_compared_is_refused(shell: Run, words: list[str], complaint: str) -> None:
    code, out, err = shell("benchmark", "compare", *words)
    assert (code, out) == (2, "")
    assert complaint in " ".join(err.split())


def test_other_classes_are_refused_by_name(shell: Run, streets: Path) -> None:
    code, _, err = shell("benchmark", "compare", "cn14-camvid", "--data", f"cityscapes:{streets}")
    assert code == 2
    assert "'cn14-camvid' labels the 11 classes of 'camvid'" in " ".join(err.split())
