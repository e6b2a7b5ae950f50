from __future__ import annotations

from pathlib import Path

import pytest

from contextnet.errors import RunError
from contextnet.training.run_folder import RunFolder, prepare_run_folder

STATE = "last.state.safetensors"
FILES = ("recipe.yaml", "log.jsonl", "last.safetensors", STATE, "best.safetensors", "scores.json")


def test_paths_of_a_run() -> None:
    folder = RunFolder(Path("r"))
    paths = (folder.recipe, folder.log, folder.last_weights, folder.last_state, folder.best_weights, folder.scores)
    assert paths == tuple(Path("r") / name for name in FILES)


@pytest.mark.parametrize(
    ("present", "resume", "overwrite", "error", "left"),
    [
        ((), False, False, None, ()),
        (("notes.txt", "events"), False, False, None, ("events", "notes.txt")),
        (("recipe.yaml", "log.jsonl", "notes.txt"), False, False, None, ("notes.txt",)),
        ((STATE,), False, False, rf"already holds a run \('{STATE}'\)", None),
        (("best.safetensors",), False, False, r"already holds a run \('best.safetensors'\); go on with --resume", None),
        ((*FILES, "notes.txt"), True, False, None, tuple(sorted((*FILES, "notes.txt")))),
        ((), True, False, rf"holds no run to resume \('{STATE}' is missing\)", None),
        (("recipe.yaml", "log.jsonl"), True, False, "holds no run to resume", None),
        ((*FILES, "notes.txt", "best.onnx"), False, True, None, ("best.onnx", "notes.txt")),
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
        (root / name).write_text(name, encoding="utf-8")
    if error:
        with pytest.raises(RunError, match=error):
            prepare_run_folder(root, resume=resume, overwrite=overwrite)
        left = tuple(sorted(present))
    else:
        assert prepare_run_folder(root, resume=resume, overwrite=overwrite) == RunFolder(root)
    assert tuple(sorted(path.name for path in root.iterdir())) == left
    assert all((root / name).read_text(encoding="utf-8") == name for name in left or ())


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
