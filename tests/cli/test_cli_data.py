from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contextnet.data import open_data
from contextnet.data.synthetic import Drive
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


def test_show_augments_as_a_recipe_says(shell: Run, streets: Path, tmp_path: Path) -> None:
    grids = []
    for number, words in enumerate((["--crop", "48x64"], [], ["--set", "augmentation.noise=60"])):
        grid = tmp_path / f"{number}.png"
        recipe = ["--recipe", "plain-camvid", "--set", "augmentation.crop_hw=[48, 64]"] if number else []
        where = ["--split", "val", "--count", "2", "--output", str(grid)]
        code, _, err = shell("data", "show", f"cityscapes:{streets}", *where, *recipe, *words)
        assert code == 0, err
        grids.append(read_image(grid).astype(int))
    default, plain, noisy = grids
    assert default.shape == plain.shape == noisy.shape
    assert (default != plain).any(), "the recipe scales otherwise"
    # Left of each overlay stands the image: its pixels are as far from their neighbours as the noise is strong.
    roughness = [abs(np.diff(grid[2:46, 2:62], axis=1)).mean() for grid in (plain, noisy)]
    assert roughness[1] > roughness[0] + 10


def test_check_reads_a_part_of_a_split(shell: Run, streets: Path) -> None:
    names = sorted(path.name for path in streets.rglob("*_leftImg8bit.png"))
    part = f"val@-{names[0].removesuffix('_leftImg8bit.png')}"
    code, out, err = shell("data", "check", f"cityscapes:{streets}", "--split", part, "--json", "-")
    assert code == 0, err
    (report,) = json.loads(out)
    assert (report["name"], report["images"]) == (f"cityscapes/{part}", 1)


def test_check_reads_the_splits_that_are_there(shell: Run, tmp_path: Path) -> None:
    yard = tmp_path / "yard"
    for folder, pixels in (("images", np.zeros((1, 3, 3), np.uint8)), ("masks", np.array([[0, 1, 1]], np.uint8))):
        (yard / folder).mkdir(parents=True)
        write_png(yard / folder / "a.png", pixels)
    (yard / "labels.yaml").write_text(
        "name: '[/x] yard'\nclasses: [{name: a, ids: [0]}, {name: 'b [/white]', ids: [1]}]\n"
    )
    code, out, err = shell("data", "check", f"folder:{yard}", "--json", "-")
    assert code == 0, err
    assert [report["name"] for report in json.loads(out)] == ["[/x] yard/all"]
    code, out, err = shell("data", "check", f"folder:{yard}")
    assert code == 0, err
    assert "[/x] yard/all: 1 images, 1 masks" in out
    assert "b [/white]" in out


def test_check_reads_all_splits_of_a_set(shell: Run, streets: Path) -> None:
    shell("data", "synthesize", str(streets), "--split", "demo", "--frames", "1", "--size", "32x64")
    code, out, err = shell("data", "check", f"cityscapes:{streets}", "--json", "-")
    assert code == 0, err
    assert [(report["name"], report["images"]) for report in json.loads(out)] == [
        ("cityscapes/val", 2),
        ("cityscapes/demo", 1),
    ]


def test_synthesize_draws_varied_streets_at_any_rate(shell: Run, tmp_path: Path) -> None:
    words = ["--drives", "1", "--frames", "2", "--size", "32x64", "--fps", "2", "--varied"]
    assert shell("data", "synthesize", str(tmp_path), *words)[0] == 0
    frames = open_data(f"cityscapes:{tmp_path}", "train")
    drawn = Drive(0, (32, 64), 2, 2.0, varied=True)
    for index in range(2):
        np.testing.assert_array_equal(frames[index].image, drawn.frame(index).image)


def test_synthesize_refuses_a_split_that_holds_files(shell: Run, streets: Path) -> None:
    before = {path: path.read_bytes() for path in streets.rglob("*.png")}
    words = ["--split", "val", "--frames", "1", "--size", "32x64"]
    code, _, err = shell("data", "synthesize", str(streets), *words)
    assert code == 2
    assert "leftImg8bit/val: already holds synthetic10000; remove the split or name another folder" in err
    assert {path: path.read_bytes() for path in streets.rglob("*.png")} == before


def test_show_does_not_read_instance_masks(shell: Run, streets: Path, tmp_path: Path) -> None:
    for path in streets.rglob("*_instanceIds.png"):
        path.write_bytes(b"")
    words = ["--split", "val", "--count", "1", "--crop", "32x32", "--output", str(tmp_path / "grid.png")]
    code, _, err = shell("data", "show", f"cityscapes:{streets}", *words)
    assert code == 0, err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["check", "camvid"], "expected KIND:ROOT"),
        (["check", "camvids:/nowhere"], "did you mean 'camvid'"),
        (["check", "camvid:/nowhere"], "/nowhere"),
        (["show", "synthetic:64", "--output", "x.png"], "expected HEIGHTxWIDTH first"),
        (["show", "synthetic:64x128", "--set", "augmentation.noise=8"], "changes a value of a recipe; give --recipe"),
        (
            ["show", "synthetic:64x128", "--recipe", "plain-camvid", "--set", "augmentation.cast=1"],
            "'augmentation.cast'",
        ),
        (["show", "synthetic:64x128", "--split", "train@a"], "its samples have no file names"),
        (["check", "synthetic:64x128", "--split", "train@"], "holds an empty part"),
        (["show", "synthetic:64x128,drive=2", "--output", "x.png"], "'drive=2' is none of drives=N"),
    ],
)
def test_wrong_words_are_one_sentence_and_code_2(shell: Run, words: list[str], expected: str) -> None:
    code, _, err = shell("data", *words)
    assert code == 2
    assert expected in err
    assert "Traceback" not in err
