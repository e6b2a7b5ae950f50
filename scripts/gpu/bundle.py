"""What goes back from a run: its folder as one tar in parts of limited size, and back from the parts to folders.

The tar of all runs is cut into ``runs-0001.tar.00``, ``runs-0001.tar.01``, … ; ``cat`` joins them. Every bundle has a
number of its own, and its part 00 is written last: a bundle that has it is whole, and the one before stays until then.
The tar's first member, ``bundle.json``, says which runs are finished.

Of a run's training states the newest goes back, of a finished run none. Where not everything fits, the weights after
the last epoch are left out first, then training states; results never are before those.
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
from functools import partial
from pathlib import Path
from typing import BinaryIO

from contextnet.errors import ContextNetError
from contextnet.files import leftovers, write_atomically
from contextnet.training.run_folder import RunFolder

PART_BYTES = 15 * 2**20
MAX_PARTS = 4
INDEX = "bundle.json"
_PART = re.compile(r"runs-([0-9]{4,})\.tar\.([0-9]{2})")
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
    """Write the parts of the runs' tar to ``out``, then remove older ones; ``finished`` is by run folder.

    Raises ``ContextNetError`` naming the part that cannot be written; the bundle before stays.
    """
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
    return Bundle(_write_parts(tar.getvalue(), out, part_bytes), tuple(member.name for member in left_out))


def _write_parts(content: bytes, out: Path, part_bytes: int) -> tuple[Path, ...]:
    """Write the first part last, which makes the bundle valid, and remove what is left of others after that."""
    older = _parts_by_bundle(out)
    stray = leftovers(out, "runs-*.tar.*")
    bundle = max(older, default=0) + 1
    pieces = [content[start : start + part_bytes] for start in range(0, len(content), part_bytes)]
    parts = tuple(out / f"runs-{bundle:04d}.tar.{number:02d}" for number in range(len(pieces)))
    for path, piece in reversed(list(zip(parts, pieces, strict=True))):
        write_atomically(path, partial(_write_piece, piece))
    for path in (*stray, *(path for numbered in older.values() for path in numbered.values())):
        path.unlink()
    return parts


def _write_piece(piece: bytes, file: BinaryIO) -> None:
    file.write(piece)


def _parts_by_bundle(folder: Path) -> dict[int, dict[int, Path]]:
    """Give the parts in a folder by the number of their bundle and their own."""
    found: dict[int, dict[int, Path]] = {}
    for path in sorted(folder.glob("runs-*.tar.*")):
        if match := _PART.fullmatch(path.name):
            found.setdefault(int(match[1]), {})[int(match[2])] = path
    return found


def _newest_bundle(source: Path) -> tuple[Path, ...]:
    """Give the parts of the newest bundle that has its first part and no gap; none where there is none."""
    for _, parts in sorted(_parts_by_bundle(source).items(), reverse=True):
        if sorted(parts) == list(range(len(parts))):
            return tuple(parts[number] for number in sorted(parts))
    return ()


def unpack_bundle(source: Path, runs: Path, results: Path) -> dict[str, bool]:
    """Put the runs of the newest bundle in place of older ones of the same name; tell which are finished, by name.

    A finished run goes to ``results`` whole, and ``runs`` keeps its log and recipe, by which it is skipped; any other
    goes to ``runs`` to be gone on with. The training states that an older one has there stay where the bundle has none.
    Raises ``ContextNetError`` naming the folder when it holds no bundle, one that is damaged, or one with a path that
    leads elsewhere.
    """
    parts = _newest_bundle(source)
    if not parts:
        raise ContextNetError(
            f"{source}: holds no whole bundle of runs ('runs-0001.tar.00' and so on); "
            "give the folder that the trainings came back in, or fetch it again"
        )
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
            if is_finished:
                _put(incoming / run, results / run, incoming)
                _keep_marker(results / run, runs / run)
            else:
                _keep_states(runs / run, incoming / run)
                _put(incoming / run, runs / run, incoming)
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


def _keep_states(local: Path, incoming: Path) -> None:
    """Copy the states of a local run to the one that takes its place, if that came without any."""
    states = RunFolder(local).state_files()
    if states and not RunFolder(incoming).state_files():
        RunFolder(incoming).states.mkdir(exist_ok=True)
        for state in states:
            shutil.copy2(state, RunFolder(incoming).states)


def _put(source: Path, target: Path, aside: Path) -> None:
    """Move a folder in place of an older one, which goes aside before and is removed after that."""
    if target.exists():
        shutil.move(target, aside / f".older-{target.name}")
    shutil.move(source, target)


def _keep_marker(run: Path, marker: Path) -> None:
    if marker.exists():
        shutil.rmtree(marker)
    marker.mkdir()
    for path in (RunFolder(run).log, RunFolder(run).recipe):
        if path.is_file():
            shutil.copy2(path, marker / path.name)
