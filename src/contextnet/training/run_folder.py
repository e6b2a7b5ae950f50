"""The run folder: which files a training run leaves, and when a folder may be written to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contextnet.errors import RunError

_RESULTS = ("last.safetensors", "last.state.safetensors", "best.safetensors")
_NAMES = ("recipe.yaml", "log.jsonl", "last.safetensors", "last.state.safetensors", "best.safetensors", "scores.json")


@dataclass(frozen=True)
class RunFolder:
    """The paths inside one run's folder."""

    root: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe, which runs again as it is."""
        return self.root / "recipe.yaml"

    @property
    def log(self) -> Path:
        """Events, one JSON object a line."""
        return self.root / "log.jsonl"

    @property
    def last_weights(self) -> Path:
        """The weights after the last epoch."""
        return self.root / "last.safetensors"

    @property
    def last_state(self) -> Path:
        """Everything that resuming needs."""
        return self.root / "last.state.safetensors"

    @property
    def best_weights(self) -> Path:
        """The weights with the highest mIoU on the validation split."""
        return self.root / "best.safetensors"

    @property
    def scores(self) -> Path:
        """The scores of the best weights."""
        return self.root / "scores.json"


def check_run_folder(root: Path, *, resume: bool, overwrite: bool) -> RunFolder:
    """Give the paths of a run's folder, which may not exist yet; nothing is changed.

    Raises ``RunError`` when it already holds a run and neither ``resume`` nor ``overwrite`` was asked for, or when
    there is nothing to resume.
    """
    if resume and overwrite:
        raise RunError("--resume goes on with a run and --overwrite starts anew; give one of them")
    if root.exists() and not root.is_dir():
        raise RunError(f"{root}: is a file; give a folder for the run")
    folder = RunFolder(root)
    if resume and not folder.last_state.exists():
        raise RunError(f"{root}: holds no run to resume ('{folder.last_state.name}' is missing)")
    present = [name for name in _RESULTS if (root / name).exists()]
    if present and not (resume or overwrite):
        raise RunError(
            f"{root}: already holds a run ('{present[0]}'); go on with --resume or start anew with --overwrite"
        )
    return folder


def prepare_run_folder(root: Path, *, resume: bool, overwrite: bool) -> RunFolder:
    """Check the folder as ``check_run_folder`` does, then make it ready for a run.

    A run that starts anew removes the files of the old one, or what one left that never finished an epoch, and nothing
    else. Raises ``RunError`` also when it cannot be made.
    """
    folder = check_run_folder(root, resume=resume, overwrite=overwrite)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{root}: cannot be made: {error.strerror}") from None
    if not resume:
        for name in _NAMES:
            (root / name).unlink(missing_ok=True)
    return folder
