"""What goes back from a run: its folder as one tar in parts of limited size, and back from the parts to folders.

The tar of all runs is cut into ``runs.tar.00``, ``runs.tar.01``, … ; ``cat`` joins them. Its first member,
``bundle.json``, says which runs are finished. Of a run's training states the newest goes back, of a finished run none.
Where not everything fits, the weights after the last epoch are left out first, then training states; results never are
before those.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from contextnet.errors import ContextNetError
from contextnet.training.run_folder import RunFolder

PART_BYTES = 15 * 2**20
MAX_PARTS = 4
INDEX = "bundle.json"
_BLOCK = 512
_RESERVED = 64 * 1024
"""For the index and the tar's end."""
_RESULTS, _STATES, _LAST = range(3)


@dataclass(frozen=True)
class Member:
    """A file that may go back: where it lies, its name in the tar, its bytes and how soon it is left out."""

    path: Path
    name: str
    bytes: int
    rank: int


@dataclass(frozen=True)
class Bundle:
    """The parts that were written and the names that did not fit."""

    parts: tuple[Path, ...]
    left_out: tuple[str, ...]


def list_members(run: Path, *, is_finished: bool) -> list[Member]:
    """List what of a run's folder is worth taking back."""
    folder = RunFolder(run)
    newest = () if is_finished else folder.state_files()[:1]
    members = []
    for path in sorted(path for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")):
        in_states = path.parent == folder.states
        if in_states and path not in newest:
            continue
        rank = _STATES if in_states else _LAST if path == folder.last_weights else _RESULTS
        members.append(Member(path, f"{run.name}/{path.relative_to(run).as_posix()}", path.stat().st_size, rank))
    return members


def choose_members(members: Iterable[Member], limit_bytes: int) -> tuple[list[Member], list[Member]]:
    """Take members in the order of their rank as long as they fit; give those taken and those left out."""
    taken: list[Member] = []
    left_out: list[Member] = []
    left_bytes = limit_bytes - _RESERVED
    for member in sorted(members, key=lambda member: member.rank):
        needed = _BLOCK + -(-member.bytes // _BLOCK) * _BLOCK
        if needed <= left_bytes:
            taken.append(member)
            left_bytes -= needed
        else:
            left_out.append(member)
    return taken, left_out


def write_bundle(
    finished: Mapping[Path, bool], out: Path, *, part_bytes: int = PART_BYTES, max_parts: int = MAX_PARTS
) -> Bundle:
    """Write the parts of the runs' tar to ``out`` in place of older ones; ``finished`` is by run folder."""
    members = [m for run, is_finished in finished.items() for m in list_members(run, is_finished=is_finished)]
    taken, left_out = choose_members(members, part_bytes * max_parts)
    index = json.dumps({"finished": {run.name: is_finished for run, is_finished in finished.items()}}).encode()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as archive:
        entry = tarfile.TarInfo(INDEX)
        entry.size = len(index)
        archive.addfile(entry, io.BytesIO(index))
        for member in taken:
            archive.add(member.path, member.name, recursive=False)
    for old in out.glob("runs.tar.*"):
        old.unlink()
    content = tar.getbuffer()
    parts = []
    for number, start in enumerate(range(0, len(content), part_bytes)):
        parts.append(out / f"runs.tar.{number:02d}")
        parts[-1].write_bytes(content[start : start + part_bytes])
    return Bundle(tuple(parts), tuple(member.name for member in left_out))


def unpack_bundle(source: Path, runs: Path, results: Path) -> dict[str, bool]:
    """Put the runs of a bundle in place of older ones of the same name; tell which are finished, by name.

    A finished run goes to ``results`` whole, and ``runs`` keeps its log and recipe, by which it is skipped; any other
    goes to ``runs`` to be gone on with. Raises ``ContextNetError`` naming the folder when it holds no bundle, one
    that is damaged, or one with a path that leads elsewhere.
    """
    parts = sorted(source.glob("runs.tar.[0-9][0-9]"))
    if not parts:
        raise ContextNetError(f"{source}: holds no 'runs.tar.00'; give the folder that the trainings came back in")
    runs.mkdir(parents=True, exist_ok=True)
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=runs) as name:
        incoming = Path(name)
        with tempfile.TemporaryFile() as joined:
            _join(parts, joined)
            try:
                with tarfile.open(fileobj=joined, mode="r:") as archive:
                    archive.extractall(incoming, filter="data")
                finished = _read_index(incoming / INDEX)
            except (tarfile.TarError, OSError, ValueError) as error:
                raise ContextNetError(f"{source}: its bundle of runs cannot be read: {error}; fetch it again") from None
        for run, is_finished in finished.items():
            _put(incoming / run, (results if is_finished else runs) / run)
            if is_finished:
                _keep_marker(results / run, runs / run)
    return finished


def _join(parts: Sequence[Path], target: BinaryIO) -> None:
    for part in parts:
        with part.open("rb") as file:
            shutil.copyfileobj(file, target)
    target.seek(0)


def _read_index(path: Path) -> dict[str, bool]:
    finished = json.loads(path.read_text(encoding="utf-8"))["finished"]
    names = [name for name in finished if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name)]
    return {name: bool(finished[name]) for name in names if (path.parent / name).is_dir()}


def _put(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    shutil.move(source, target)


def _keep_marker(run: Path, marker: Path) -> None:
    if marker.exists():
        shutil.rmtree(marker)
    marker.mkdir()
    for path in (RunFolder(run).log, RunFolder(run).recipe):
        if path.is_file():
            shutil.copy2(path, marker / path.name)
