"""Files that are either wholly written or not there: temporary name, sync, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from contextnet.errors import ContextNetError

_REMEDIES = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some of your quota or choose another folder",
    errno.EFBIG: "raise the limit on the size of files ('ulimit -f') or choose another disk",
    errno.EACCES: "make the folder writable or choose another one",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOENT: "make the folder first",
}
_TOKEN_BYTES = 4
_STANDARD_STREAMS = {("dev", name) for name in ("stdin", "stdout", "stderr")}


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write ``path`` through ``write``, so that a reader sees the old file or the whole new one, never a part.

    ``write`` gets an open binary file in the same folder; it is synced and renamed when ``write`` returns. On any
    failure the temporary file is removed and the old file stays. A link stays, and what it leads to is written; pipes
    and devices are written straight into. Raises ``ContextNetError`` naming ``path`` when the disk is full or the
    folder cannot be written; what else ``write`` raises passes through.
    """
    try:
        if is_no_place_for_files(path):
            with path.open("wb") as file:
                write(file)
        else:
            _replace(path.resolve() if path.is_symlink() else path, write)
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check the folder and the disk")
        raise ContextNetError(f"{path}: cannot be written: {error.strerror or error}; {remedy}") from error


def is_no_place_for_files(path: Path) -> bool:
    """Tell whether another file must not take this path's place: a device, a pipe, or a descriptor of a process."""
    parts = path.absolute().parts[1:]
    is_descriptor = parts[:1] == ("proc",) or parts[:2] == ("dev", "fd") or parts in _STANDARD_STREAMS
    return is_descriptor or (path.exists() and not path.is_file())


def try_to_write(path: Path) -> None:
    """Raise ``OSError`` where a file could not be written; nothing is left or changed."""
    if path.is_file():
        path.open("ab").close()
    elif not path.exists():  # a pipe waits for its reader, and a device needs no trial
        TemporaryFile(dir=path.parent).close()


def _replace(path: Path, write: Callable[[BinaryIO], None]) -> None:
    temporary = path.with_name(f".{path.name[:64]}.{secrets.token_hex(_TOKEN_BYTES)}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def leftovers(folder: Path, pattern: str) -> tuple[Path, ...]:
    """Give the temporary files that killed writers left; ``pattern``, a glob, matches names of at most 64 characters.

    A file that is being written looks the same, so that only the folder's one writer may remove them.
    """
    return tuple(sorted(folder.glob(f".{pattern}.{'[0-9a-f]' * 2 * _TOKEN_BYTES}.tmp")))


def file_checksum(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, values: Any) -> None:
    """Write plain JSON values as indented UTF-8, atomically. NaN and infinity are refused with ``ValueError``."""
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes as they are, atomically."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    write_atomically(path, write)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut; where folders cannot be opened (Windows) there is nothing to do."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
