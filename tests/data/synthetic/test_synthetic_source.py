"""Synthetic streets by the words of a recipe or a command line."""

from __future__ import annotations

import numpy as np
import pytest

from contextnet.data import list_splits, open_data
from contextnet.data.synthetic import Drive
from contextnet.data.synthetic.source import open_synthetic, synthetic_splits
from contextnet.errors import DataError


@pytest.mark.parametrize(
    ("text", "split", "samples", "first", "last"),
    [
        # 80 drives to train on and 6 else, of 6 frames each; seeds run from 0, 10000 and 20000.
        ("32x64", "train", 480, "synthetic/seed-0/000000", "synthetic/seed-79/000005"),
        ("32x64", "val", 36, "synthetic/seed-10000/000000", "synthetic/seed-10005/000005"),
        ("32x64", "demo", 36, "synthetic/seed-20000/000000", "synthetic/seed-20005/000005"),
        ("32x64,drives=2,frames=3", "val", 6, "synthetic/seed-10000/000000", "synthetic/seed-10001/000002"),
        ("32x64,frames=1,fps=2.5,drives=1", "train", 1, "synthetic/seed-0/000000", "synthetic/seed-0/000000"),
        ("32x64,varied,drives=2,frames=1", "val", 2, "synthetic/seed-10000/000000", "synthetic/seed-10001/000000"),
    ],
)
def test_words_say_how_many_streets(text: str, split: str, samples: int, first: str, last: str) -> None:
    data = open_synthetic(text, split)
    assert (data.name, len(data)) == (f"synthetic/{split}", samples)
    assert (str(data[0].image_path), str(data[samples - 1].image_path)) == (first, last)
    assert data[0].image.shape == (32, 64, 3)


def test_frames_a_second_say_how_far_the_camera_moves() -> None:
    slow, fast, same = (open_synthetic(f"32x64,drives=1,frames=2,fps={fps}", "val") for fps in ("17", "1", "17.0"))
    assert (slow[1].image == same[1].image).all()
    assert (slow[1].image != fast[1].image).any()


def test_varied_streets_are_others() -> None:
    busy, varied = (open_synthetic(f"32x64,drives=1,frames=1{word}", "val")[0] for word in ("", ",varied"))
    np.testing.assert_array_equal(varied.image, Drive(10_000, (32, 64), 1, 1.0, varied=True).frame(0).image)
    assert (varied.image != busy.image).any()


@pytest.mark.parametrize(
    ("text", "split", "error"),
    [
        ("64", "train", "'64': expected HEIGHTxWIDTH first, as in synthetic:512x1024"),
        ("drives=2", "train", "expected HEIGHTxWIDTH first"),
        (f"{'9' * 5000}x64", "train", "expected HEIGHTxWIDTH first"),
        ("32x64,drives=2.7", "train", "'drives=2.7' is none of drives=N, .* N is a whole number"),
        ("32x64,frames=2.0", "train", "'frames=2.0' is none of drives=N, .* N is a whole number"),
        (f"32x64,drives={'9' * 5000}", "train", "is none of drives=N"),
        ("32x64,drives=-1", "train", "'drives=-1' is none of"),
        ("32x64,fps=", "train", "'fps=' is none of"),
        ("32x64,fps=inf", "train", "'fps=inf' is none of"),
        ("32x64,drive=2", "train", "'drive=2' is none of"),
        ("32x64,", "train", "'' is none of"),
        ("32x64,varied=1", "train", "'varied=1' is none of drives=N, frames=N, fps=F, varied"),
        ("32x64,drives=0", "train", "0 drives asked for; 1 to 10000 are possible"),
        ("32x64,frames=0", "train", "frame_count 0 of a drive is out of range"),
        ("32x64,fps=0", "train", "frames_per_s 0.0 of a drive is out of range"),
        ("8x64", "train", r"size_hw \(8, 64\) of a drive is out of range"),
        ("32x64", "test", "synthetic split 'test' does not exist; use one of train, val, demo"),
    ],
)
def test_mistakes_are_named(text: str, split: str, error: str) -> None:
    with pytest.raises(DataError, match=error):
        open_synthetic(text, split)


def test_every_listed_split_opens() -> None:
    assert list_splits("synthetic:32x64") == synthetic_splits("32x64") == ("train", "val", "demo")
    for split in synthetic_splits("32x64"):
        assert len(open_data("synthetic:32x64,drives=1,frames=2", split)) == 2
