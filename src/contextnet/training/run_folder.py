"""The run folder: which files a training run leaves, and when a folder may be written to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contextnet.errors import RunError
from contextnet.files import leftovers

_RESULTS = ("last.safetensors", "best.safetensors")
_NAMES = ("recipe.yaml", "log.jsonl", *_RESULTS, "scores.json")
_EVENTS = "events.out.tfevents.*"
_STATES = "step-*.safetensors"
_STATE = re.compile(r"step-([0-9]{8,})\.safetensors")


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
    def states(self) -> Path:
        """The folder of the newest training states, each with everything that resuming needs."""
        return self.root / "states"

    @property
    def best_weights(self) -> Path:
        """The weights with the highest mIoU on the validation split."""
        return self.root / "best.safetensors"

    @property
    def scores(self) -> Path:
        """The scores of the best weights."""
        return self.root / "scores.json"

    def state(self, step: int) -> Path:
        """The training state after ``step`` steps."""
        return self.states / f"step-{step:08d}.safetensors"

    def state_files(self) -> tuple[Path, ...]:
        """Give the states that are there, the newest step first; other files are passed over."""
        steps = [int(match[1]) for path in self.states.glob(_STATES) if (match := _STATE.fullmatch(path.name))]
        paths = [self.state(step) for step in sorted(set(steps), reverse=True)]
        return tuple(path for path in paths if path.is_file())

    def state_leftovers(self) -> tuple[Path, ...]:
        """Give what killed processes left of states that they were writing."""
        return leftovers(self.states, _STATES)


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
    states = folder.state_files()
    if resume and not states:
        raise RunError(
            f"{root}: holds no run to resume (no '{folder.states.name}/{_STATES}'); start it without --resume"
        )
    present = [path for path in (*(root / name for name in _RESULTS), *states) if path.exists()]
    if present and not (resume or overwrite):
        raise RunError(
            f"{root}: already holds a run ('{present[0].relative_to(root)}'); "
            "go on with --resume or start anew with --overwrite"
        )
    return folder


def prepare_run_folder(root: Path, *, resume: bool, overwrite: bool) -> RunFolder:
    """Check the folder as ``check_run_folder`` does, then make it ready for a run.

    A run that starts anew removes the files of the old one, or what one left that never finished an epoch; every run
    removes what a killed one left half-written; nothing else goes. Raises ``RunError`` also when the folder cannot be
    made or a file not be removed.
    """
    folder = check_run_folder(root, resume=resume, overwrite=overwrite)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{root}: cannot be made: {error.strerror}") from None
    remove_files(folder.state_leftovers())
    for name in _NAMES:
        remove_files(leftovers(root, name))
    if not resume:
        remove_files((*(root / name for name in _NAMES), *root.glob(_EVENTS), *folder.state_files()))
        with suppress(OSError):  # it may be missing, or hold files of others
            folder.states.rmdir()
    return folder


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files, which may be gone already; raises ``RunError`` naming the first that cannot be."""
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"{path}: cannot be removed: {error.strerror}; remove it, or give another folder") from None
