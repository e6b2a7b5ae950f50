from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contextnet.images import read_image, read_mask, write_png
from contextnet.labels import CITYSCAPES

Run = Callable[..., tuple[int, str, str]]


def test_every_image_gets_labels_colours_and_overlay(
    shell: Run, tiny_weights: Path, pictures: Path, tmp_path: Path
) -> None:
    code, out, _ = shell("predict", str(tiny_weights), str(pictures), "--output", str(tmp_path / "out"), "--json")
    summary = json.loads(out)
    assert code == 0
    assert summary["images"] == 3
    assert sum(summary["class_shares"].values()) == pytest.approx(1)
    for name, size in (("a", (40, 60)), ("b", (1, 1)), ("inner/a", (33, 97))):
        labels = read_mask(tmp_path / "out" / "labels" / f"{name}.png").values
        assert labels.shape == size
        train_ids = CITYSCAPES.encode(labels)
        np.testing.assert_array_equal(
            read_image(tmp_path / "out" / "color" / f"{name}.png"), CITYSCAPES.colorize(train_ids)
        )
        overlay = read_image(tmp_path / "out" / "overlay" / f"{name}.png")
        assert overlay.shape[0] > size[0], "the legend is missing"
        assert overlay.shape[1] == size[1]
    assert read_image(Path(summary["sheet"])).ndim == 3


def test_labels_are_those_of_the_network(shell: Run, tiny_weights: Path, pictures: Path, tmp_path: Path) -> None:
    import torch

    from contextnet.models.storage import read_weights

    shell("predict", str(tiny_weights), str(pictures / "a.png"), "--output", str(tmp_path / "out"))
    network = read_weights(tiny_weights).build()
    image = torch.from_numpy(read_image(pictures / "a.png")).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = network.full_size_scores(image).argmax(1)[0].byte().numpy()
    found = CITYSCAPES.encode(read_mask(tmp_path / "out" / "labels" / "a.png").values)
    assert (found == expected).mean() >= 0.9999


def test_a_damaged_image_is_named_and_the_others_are_labelled(
    shell: Run, tiny_weights: Path, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:60])
    code, _, err = shell("predict", str(tiny_weights), str(pictures), "--output", str(tmp_path / "out"))
    assert code == 2
    assert "broken.png" in err
    assert "Traceback" not in err
    assert len(list((tmp_path / "out" / "labels").rglob("*.png"))) == 3


def test_inputs_that_cannot_be_used(shell: Run, tiny_weights: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_png(tmp_path / "a.jpg.png", np.zeros((8, 8, 3), np.uint8))
    write_png(pictures / "inner" / "c.png", np.zeros((8, 8, 3), np.uint8))
    table = [
        ([tmp_path / "missing.png"], "missing.png: no such file or folder"),
        ([tmp_path / "empty"], "empty: holds no image"),
        ([pictures / "a.png", pictures / "inner" / "a.png"], "would both be written as 'a'"),
    ]
    for inputs, expected in table:
        words = [str(path) for path in inputs]
        code, _, err = shell("predict", str(tiny_weights), *words, "--output", str(tmp_path / "out"))
        assert code == 2
        assert expected in err
        assert not (tmp_path / "out").exists()


def test_a_missing_network_is_named(shell: Run, pictures: Path, tmp_path: Path) -> None:
    code, _, err = shell("predict", "cn99", str(pictures), "--output", str(tmp_path / "out"))
    assert code == 2
    assert "'cn99' is neither a file nor a shipped network" in err


def test_results_of_an_earlier_call_are_no_inputs(shell: Run, tiny_weights: Path, pictures: Path) -> None:
    for expected in (3, 3):
        code, out, _ = shell("predict", str(tiny_weights), str(pictures), "--output", str(pictures), "--json")
        assert code == 0
        assert json.loads(out)["images"] == expected
    only_results = [str(pictures / "labels"), "--output", str(pictures)]
    code, _, err = shell("predict", str(tiny_weights), *only_results)
    assert code == 2
    assert "holds no image but the results of an earlier call" in err
