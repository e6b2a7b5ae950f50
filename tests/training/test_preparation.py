from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rank_processes import run_ranks

from contextnet.errors import DataError
from contextnet.training import preparation
from contextnet.training.messages import wait_for_all
from contextnet.training.preparation import prepare_split
from contextnet.training.ranks import Ranks
from contextnet.training.recipe.data import DataOptions
from training_data import Blocks, write_pairs

CPU = torch.device("cpu")


@contextmanager
def silent(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "pairs", train=3)
    return tmp_path


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def options_of(root: Path, **values: Any) -> DataOptions:
    return DataOptions.model_validate({"source": f"folder:{root / 'pairs'}", **values})


@pytest.mark.parametrize("store", ["auto", "memory", "device", "mapped"])
def test_every_place_holds_the_same_pixels_and_leaves_no_file(root: Path, scratch: Path, store: str) -> None:
    split = prepare_split(options_of(root, store=store), CPU, silent, pytest.fail)
    assert len(split) == 3
    expected = Blocks(3, seed=len("train"))
    for index in range(3):
        assert (split.images[index].permute(1, 2, 0).numpy() == expected[index].image).all()
        assert (split.masks[index].numpy() == expected[index].label).all()
    assert not list(scratch.iterdir())


def test_file_is_written_where_memory_does_not_hold_the_split(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Path | None] = []
    decode = preparation.decode_split

    def noted(*arguments: Any, file: Path | None, **options: Any) -> Any:
        files.append(file)
        return decode(*arguments, file=file, **options)

    monkeypatch.setattr(preparation, "decode_split", noted)
    for free, in_file in ((1 << 40, False), (1000, True)):
        monkeypatch.setattr("contextnet.data.placement.free_memory_bytes", lambda free=free: free)
        assert len(prepare_split(options_of(root), CPU, silent, pytest.fail)) == 3
        assert (files.pop() is not None) == in_file


@dataclass(frozen=True)
class Prepare:
    """What each of two processes of a machine does; pickled on the way to it."""

    root: Path

    def __call__(self, ranks: Ranks) -> tuple[int, int, list[str]]:
        tempfile.tempdir = str(self.root / "scratch")
        split = prepare_split(options_of(self.root), CPU, silent, print, ranks)
        wait_for_all(ranks)
        return (
            len(split),
            int(split.images[2].sum()),
            [path.name for path in (self.root / "scratch").glob("contextnet-*")],
        )


def test_processes_of_a_machine_share_one_file_that_goes_with_them(root: Path) -> None:
    alone = prepare_split(options_of(root), CPU, silent, pytest.fail)
    # Not this process's own temporary folder: the fork server's socket lies there, and its address must be short.
    for folder in ("scratch", "results"):
        (root / folder).mkdir()
    ended = run_ranks(Prepare(root), 2, root / "results")
    assert [process.code for process in ended] == [0, 0], ended[1].errors
    assert [process.result for process in ended] == [(3, int(alone.images[2].sum()), [])] * 2


@pytest.mark.parametrize("difference", ["length", "skipped"])
def test_machines_with_other_samples_are_told_apart(
    root: Path, monkeypatch: pytest.MonkeyPatch, difference: str
) -> None:
    def answers(value: Any, ranks: Ranks) -> list[Any]:
        if not isinstance(value, tuple):
            return [value]
        count, skipped, *rest = value
        other = (count - 1, skipped, *rest) if difference == "length" else (count, ("1.png",), *rest)
        return [value, other]

    monkeypatch.setattr(preparation, "gather", answers)
    with pytest.raises(DataError, match=r"rank 0 read 3 samples and skipped 0, rank 1 read [23] and skipped [01]"):
        prepare_split(options_of(root), CPU, silent, pytest.fail)


def test_several_data_sets_are_one_split_and_what_their_classes_became_is_said(root: Path) -> None:
    extra = {"source": f"folder:{root / 'pairs'}", "split": "val", "classes": {"class 2": "class 0"}, "repeat": 2}
    said: list[str] = []
    split = prepare_split(options_of(root, extra=[extra]), CPU, silent, said.append)
    assert len(split) == 3 + 2
    assert any(line.startswith("blocks/val: ") and "class 2" in line and "class 0" in line for line in said), said
    kept = Blocks(1, seed=len("val"))[0].label
    assert kept is not None
    expected = torch.from_numpy(kept)
    expected = torch.where(expected == 2, 0, expected)
    assert torch.equal(split.masks[3], expected)
    assert split.masks[4] is split.masks[3]


def test_damaged_image_leaves_nothing_behind(root: Path, scratch: Path) -> None:
    (root / "pairs" / "train" / "images" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1\.png"):
        prepare_split(options_of(root, store="mapped"), CPU, silent, pytest.fail)
    assert not list(scratch.iterdir())
