from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contextnet.images import read_image, write_png

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def streets(shell: Run, tmp_path: Path) -> Path:
    root = tmp_path / "streets"
    words = ["--split", "val", "--drives", "1", "--frames", "2", "--size", "64x128"]
    code, _, err = shell("data", "synthesize", str(root), *words)
    assert code == 0, err
    return root


def test_synthesize_writes_what_check_accepts(shell: Run, streets: Path) -> None:
    code, out, _ = shell("data", "check", f"cityscapes:{streets}", "--split", "val", "--json", "-")
    (report,) = json.loads(out)
    assert code == 0
    assert report["images"] == 2
    assert report["problems"] == []


def test_check_finds_an_id_outside_the_label_set_and_exits_with_1(shell: Run, streets: Path) -> None:
    mask_path = sorted(streets.rglob("*_labelIds.png"))[0]
    mask = read_image(mask_path)[..., 0].copy()
    mask[:2, :3] = 77
    write_png(mask_path, mask)
    code, out, _ = shell("data", "check", f"cityscapes:{streets}", "--split", "val", "--json", "-")
    (report,) = json.loads(out)
    assert code == 1
    assert any(mask_path.name in problem["file"] and "77" in problem["detail"] for problem in report["problems"])


def test_show_writes_a_grid_of_images_and_overlays(shell: Run, streets: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.png"
    words = ["--split", "val", "--count", "2", "--crop", "48x64", "--output", str(grid)]
    code, _, err = shell("data", "show", f"cityscapes:{streets}", *words)
    assert code == 0, err
    picture = read_image(grid)
    assert picture.shape[1] >= 4 * 64
    assert np.unique(picture.reshape(-1, 3), axis=0).shape[0] > 50
    first = grid.read_bytes()
    shell("data", "show", f"cityscapes:{streets}", *words)
    assert grid.read_bytes() == first, "equal seeds must give equal pictures"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["check", "camvid"], "expected KIND:ROOT"),
        (["check", "camvids:/nowhere"], "did you mean 'camvid'"),
        (["check", "camvid:/nowhere"], "/nowhere"),
        (["show", "synthetic:64", "--output", "x.png"], "expected HEIGHTxWIDTH first"),
        (["show", "synthetic:64x128,drive=2", "--output", "x.png"], "'drive=2' is none of drives=N"),
    ],
)
def test_wrong_words_are_one_sentence_and_code_2(shell: Run, words: list[str], expected: str) -> None:
    code, _, err = shell("data", *words)
    assert code == 2
    assert expected in err
    assert "Traceback" not in err
