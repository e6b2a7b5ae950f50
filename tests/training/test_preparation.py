from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from contextnet.errors import DataError
from contextnet.training import preparation
from contextnet.training.distributed import Ranks
from contextnet.training.preparation import prepare_split
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


def options_of(root: Path, **values: Any) -> DataOptions:
    return DataOptions.model_validate({"source": f"folder:{root / 'pairs'}", **values})


@pytest.mark.parametrize("store", ["auto", "memory", "device", "mapped"])
def test_every_place_holds_the_same_pixels_and_leaves_no_file(root: Path, store: str) -> None:
    split = prepare_split(options_of(root, store=store), CPU, root / "run", silent, pytest.fail)
    assert len(split) == 3
    expected = Blocks(3, seed=len("train"))
    for index in range(3):
        assert (split.images[index].permute(1, 2, 0).numpy() == expected[index].image).all()
        assert (split.masks[index].numpy() == expected[index].label).all()
    assert not (root / "run").exists()


def test_file_is_written_where_memory_does_not_hold_the_split(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Path | None] = []
    decode = preparation.decode_split

    def noted(*arguments: Any, file: Path | None, **options: Any) -> Any:
        files.append(file)
        return decode(*arguments, file=file, **options)

    monkeypatch.setattr(preparation, "decode_split", noted)
    for free, in_file in ((1 << 40, False), (1000, True)):
        monkeypatch.setattr("contextnet.data.placement.free_memory_bytes", lambda free=free: free)
        assert len(prepare_split(options_of(root), CPU, root / "run", silent, pytest.fail)) == 3
        assert (files.pop() is not None) == in_file


def test_processes_of_a_machine_share_one_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process comes to the first wait when the file is there, the first leaves the last one after it."""
    run, splits = root / "run", {}
    (root / "run").mkdir()
    waits: list[int] = []

    def wait(ranks: Ranks) -> None:
        waits.append(ranks.rank)
        if ranks.rank == 0 and waits.count(0) == 1:
            (file,) = run.glob(".decoded*")
            second = Ranks(1, 2, 1, 2)
            splits[1] = prepare_split(options_of(root), CPU, run, silent, pytest.fail, second)
            assert file.exists()

    monkeypatch.setattr(preparation, "wait_for_all", wait)
    splits[0] = prepare_split(options_of(root), CPU, run, silent, pytest.fail, Ranks(0, 2, 0, 2))
    assert waits == [0, 1, 1, 0]
    assert not list(run.iterdir())
    for one, other in zip(splits[0].images, splits[1].images, strict=True):
        assert torch.equal(one, other)


def test_several_data_sets_are_one_split_and_what_their_classes_became_is_said(root: Path) -> None:
    extra = {"source": f"folder:{root / 'pairs'}", "split": "val", "classes": {"class 2": "class 0"}, "repeat": 2}
    said: list[str] = []
    split = prepare_split(options_of(root, extra=[extra]), CPU, root / "run", silent, said.append)
    assert len(split) == 3 + 2
    assert any("class 2" in line and "class 0" in line for line in said)
    kept = Blocks(1, seed=len("val"))[0].label
    assert kept is not None
    expected = torch.from_numpy(kept)
    expected = torch.where(expected == 2, 0, expected)
    assert torch.equal(split.masks[3], expected)
    assert split.masks[4] is split.masks[3]


def test_damaged_image_leaves_nothing_behind(root: Path) -> None:
    (root / "pairs" / "train" / "images" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"1\.png"):
        prepare_split(options_of(root, store="mapped"), CPU, root / "run", silent, pytest.fail)
    assert not (root / "run").exists()
