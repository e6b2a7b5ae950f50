from __future__ import annotations

from pathlib import Path

import pytest

from contextnet.errors import RunError
from contextnet.training.run_folder import RunFolder, prepare_run_folder

STATE = "states/step-00000120.safetensors"
OTHER = "states/step-00000040.safetensors"
HALF_STATE = "states/.step-00000160.safetensors.0123abcd.tmp"
HALF_WEIGHTS = ".last.safetensors.89abcdef.tmp"
HALVES = (HALF_STATE, HALF_WEIGHTS)
EVENTS = "events.out.tfevents.1790000000.host.7.0"
FILES = ("recipe.yaml", "log.jsonl", "last.safetensors", STATE, OTHER, "best.safetensors", "scores.json", EVENTS)
MINE = ("notes.txt", "best.onnx", "states/notes.txt", f"events/{EVENTS}", ".notes.txt.0123abcd.tmp")


def test_paths_of_a_run() -> None:
    folder = RunFolder(Path("r"))
    paths = (folder.recipe, folder.log, folder.last_weights, folder.state(120), folder.best_weights, folder.scores)
    names = ("recipe.yaml", "log.jsonl", "last.safetensors", STATE, "best.safetensors", "scores.json")
    assert paths == tuple(Path("r") / name for name in names)
    assert folder.states == Path("r/states")


@pytest.mark.parametrize(
    ("present", "resume", "overwrite", "error", "left"),
    [
        ((), False, False, None, ()),
        (("notes.txt", "events"), False, False, None, ("events", "notes.txt")),
        (("recipe.yaml", "log.jsonl", EVENTS, *HALVES, "notes.txt"), False, False, None, ("notes.txt",)),
        (MINE, False, False, None, MINE),
        ((STATE, OTHER), False, False, rf"already holds a run \('{STATE}'\); go on with --resume or start anew", None),
        (("best.safetensors",), False, False, r"already holds a run \('best.safetensors'\); go on with --resume", None),
        ((*FILES, *MINE), True, False, None, (*FILES, *MINE)),
        ((*FILES, *MINE, *HALVES), True, False, None, (*FILES, *MINE)),
        ((STATE,), True, False, None, (STATE,)),
        (
            (),
            True,
            False,
            r"holds no run to resume \(no 'states/step-\*.safetensors'\); start it without --resume",
            None,
        ),
        (("recipe.yaml", "log.jsonl"), True, False, "holds no run to resume", None),
        (("best.safetensors", "states/notes.txt", *HALVES), True, False, "holds no run to resume", None),
        ((*FILES, *MINE, *HALVES), False, True, None, MINE),
        (FILES, False, True, None, ()),
        ((), False, True, None, ()),
        (FILES, True, True, "--resume goes on with a run and --overwrite starts anew; give one of them", None),
    ],
)
def test_which_folders_may_be_written_to(
    tmp_path: Path,
    present: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    error: str | None,
    left: tuple[str, ...] | None,
) -> None:
    root = tmp_path / "run"
    root.mkdir()
    for name in present:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")
    if error:
        with pytest.raises(RunError, match=error):
            prepare_run_folder(root, resume=resume, overwrite=overwrite)
        left = present
    else:
        assert prepare_run_folder(root, resume=resume, overwrite=overwrite) == RunFolder(root)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == sorted(left or ())
    assert all((root / name).read_text(encoding="utf-8") == name for name in left or ())
    assert (root / "states").exists() == any(name.startswith("states/") for name in left or ())


def test_file_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(RunError, match=r"log\.jsonl: cannot be removed: .*; remove it, or give another folder"):
        prepare_run_folder(tmp_path, resume=False, overwrite=True)


def test_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    prepare_run_folder(root, resume=False, overwrite=False)
    assert root.is_dir()


@pytest.mark.parametrize("below", [False, True])
def test_file_in_place_of_the_folder_is_named(tmp_path: Path, below: bool) -> None:
    (tmp_path / "run").write_text("a file", encoding="utf-8")
    root = tmp_path / "run" / "inner" if below else tmp_path / "run"
    error = "run/inner: cannot be made: Not a directory" if below else "run: is a file; give a folder for the run"
    with pytest.raises(RunError, match=error):
        prepare_run_folder(root, resume=False, overwrite=False)
