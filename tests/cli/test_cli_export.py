"""``contextnet export`` and what runs its files, as at the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contextnet.data.synthetic import SyntheticStreets, drives_for, write_drives
from contextnet.images import write_png
from contextnet.models.storage import write_weights
from contextnet.runtime.segmenter import Segmenter
from contextnet.spec import variant
from lively_networks import CLASSES, lively_weights, patches

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    write_weights(path, lively_weights(variant("cn14", CLASSES, width=0.25)))
    return path


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn streets, of which one is compared and four calibrate."""
    drawn = SyntheticStreets(drives_for("demo", 5, (256, 512), 1, 1.0), split="demo")
    folder = tmp_path_factory.mktemp("streets")
    for index in range(len(drawn)):
        write_png(folder / f"{index}.png", drawn[index].image)
    return folder


@pytest.mark.parametrize(
    ("form", "precision", "size", "files"),
    [
        ("onnx", "fp32", "dynamic", ["m.onnx"]),
        ("onnx", "fp32", "190x350", ["m.onnx"]),
        ("openvino", "fp32", "192x384", ["m.bin", "m.xml"]),
    ],
)
def test_a_model_file_is_made_compared_and_runs(
    shell: Shell, streets: Path, tmp_path: Path, form: str, precision: str, size: str, files: list[str]
) -> None:
    output = tmp_path / ("m.onnx" if form == "onnx" else "m.xml")
    words = ("--format", form, "--precision", precision, "--size", size, "--output", str(output))
    code, out, err = shell("export", "cn14-synthetic", *words, "--images", str(streets), "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert sorted(Path(file).name for file in facts["files"]) == files
    assert sorted(file.name for file in tmp_path.iterdir()) == files
    assert {parity["engine"] for parity in facts["parity"]} <= {"openvino", "onnxruntime"}
    assert all(parity["equal_share"] >= parity["tolerance"] for parity in facts["parity"])
    with Segmenter.load(output) as segmenter:
        default = (segmenter.info.name, segmenter.info.precision)
    assert default in {(parity["engine"], parity["precision"]) for parity in facts["parity"]}
    size_hw = (64, 96) if size == "dynamic" else tuple(int(side) for side in size.split("x"))
    with Segmenter.load(output) as segmenter:
        assert segmenter.predict(patches((size_hw[0], size_hw[1]))).labels.shape == size_hw


def test_the_file_is_named_after_the_weights(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = shell("export", "cn14-synthetic")
    assert code == 0, err
    assert [file.name for file in tmp_path.iterdir()] == ["cn14-synthetic-fp32.onnx"]
    assert "openvino" in out
    assert "compared on drawn streets\n" in out
    assert "on 4 images of drawn streets" in err


def test_one_image_is_enough_where_nothing_is_calibrated(shell: Shell, streets: Path, tmp_path: Path) -> None:
    words = ("--images", str(streets / "0.png"), "--output", str(tmp_path / "m.onnx"), "--json")
    code, out, err = shell("export", "cn14-synthetic", *words)
    assert code == 0, err
    assert {parity["images"] for parity in json.loads(out)["parity"]} == {1}


def test_a_data_set_without_train_is_enough_where_nothing_is_calibrated(shell: Shell, tmp_path: Path) -> None:
    labelled = tmp_path / "streets"
    write_drives(labelled, "val", drives_for("demo", 1, (256, 512), 1, 1.0))
    words = ("--data", f"cityscapes:{labelled}", "--output", str(tmp_path / "m.onnx"))
    code, out, err = shell("export", "cn14-synthetic", *words)
    assert code == 0, err
    assert "compared on cityscapes/val\n" in out
    code, out, err = shell("export", "cn14-synthetic", *words, "--precision", "int8")
    assert (code, out) == (2, "")
    assert "train" in err


def test_weights_of_another_program_are_not_overwritten(
    shell: Shell, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.bin").write_bytes(b"theirs")
    code, out, err = shell("export", str(weights), "--format", "openvino", "--output", "best.xml")
    assert (code, out) == (2, "")
    assert err.startswith("error: best.bin: exists without best.xml, so it is no model's, and would be overwritten; ")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("best.bin", b"theirs")]


def test_half_precision_halves_the_file(shell: Shell, streets: Path, tmp_path: Path) -> None:
    words = ("--precision", "fp16", "--images", str(streets), "--output", str(tmp_path / "m.onnx"), "--json")
    code, out, err = shell("export", "cn14-synthetic", *words)
    assert code == 0, err
    facts = json.loads(out)
    assert 1_600_000 < facts["file_bytes"] < 1_800_000
    assert all(parity["equal_share"] >= 0.995 for parity in facts["parity"])


def test_int8_is_judged_by_its_labels(shell: Shell, streets: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.onnx"
    words = ("--precision", "int8", "--images", str(streets), "--output", str(output), "--json")
    code, out, err = shell("export", "cn14-synthetic", *words)
    assert code == 0, err
    facts = json.loads(out)
    assert facts["file_bytes"] < 1_300_000
    assert facts["quantization"]["measure"] == "equal labels on 1 images"
    assert facts["quantization"]["before"] == pytest.approx(1, abs=1e-4)
    assert facts["quantization"]["after"] > 0.98
    code, out, err = shell("predict", str(output), str(streets), "--output", str(tmp_path / "results"), "--json")
    assert code == 0, err
    assert json.loads(out)["engine"].startswith("openvino (int8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--precision", "int8"], "INT8 needs images to measure its ranges on: give --images FOLDER"),
        (["--output", "m.xml"], r"m\.xml: a file of this format ends in \.onnx; give --output NAME\.onnx"),
        (["--format", "openvino", "--output", "m.onnx"], r"m\.onnx: a file of this format ends in \.xml"),
        (["--output", "none/m.onnx"], r"none/m\.onnx: its folder does not exist; make it first"),
        (["--size", "big"], "size 'big': expected HEIGHTxWIDTH"),
        (["--images", "a.png", "--data", "camvid:x"], "--images and --data: give one of them"),
        (["--images", "nowhere"], "nowhere: does not exist"),
        (["--data", "camvid:nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_sentence(
    shell: Shell, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    import re

    monkeypatch.chdir(tmp_path)
    code, out, err = shell("export", str(weights), *words)
    assert (code, out) == (2, "")
    assert re.search(f"^error: .*{message}", err), err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_model_file_is_evaluated_as_it_runs(shell: Shell, tmp_path: Path) -> None:
    labelled = tmp_path / "streets"
    write_drives(labelled, "val", drives_for("demo", 2, (128, 256), 2, 1.0))
    shares = {}
    for network in ("cn14-synthetic", "cn14-synthetic-int8"):
        code, out, err = shell("evaluate", network, f"cityscapes:{labelled}", "--split", "val", "--json", "-")
        assert code == 0, err
        shares[network] = json.loads(out)["pixel_accuracy"]
    assert shares["cn14-synthetic-int8"] == pytest.approx(shares["cn14-synthetic"], abs=0.03)
    assert shares["cn14-synthetic-int8"] != shares["cn14-synthetic"]
    code, _, err = shell("evaluate", "cn14-synthetic-int8", f"cityscapes:{labelled}", "--flip")
    assert code == 2
    assert "a model file is scored as it is run; --scales, --flip and --window take weights" in err


def test_models_lists_weights_and_model_files(shell: Shell) -> None:
    _, out, _ = shell("models", "--json")
    rows = {(row["name"], row["kind"]): row for row in json.loads(out)}
    assert ("cn14-camvid", "weights") in rows
    assert ("cn14-camvid", "model, fp32") in rows
    quantized = rows["cn14-camvid-int8", "model, int8"]
    assert quantized["file_bytes"] < 1_300_000
    assert quantized["miou"] >= rows["cn14-camvid", "weights"]["miou"] - 0.005
    assert np.isclose(rows["cn14-camvid", "model, fp32"]["miou"], rows["cn14-camvid", "weights"]["miou"])
