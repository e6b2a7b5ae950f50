"""Labels as files: a PNG a frame, or all frames in one NumPy archive."""

from __future__ import annotations

import io
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from contextnet.errors import StreamError
from contextnet.runtime.segmentation import Segmentation

# The fastest level: higher ones save a few kilobytes a frame and cost the stream its rate.
_COMPRESS_LEVEL = 1

# What an archive's end takes at most: its directory and the frames' numbers and times, and the classes' names.
_END_BYTES_PER_FRAME = 128
_END_BYTES = 8192


class LabelPngSink:
    """Writes each frame's labels as ``FOLDER/000000.png``, grey, in the data set's own mask ids.

    The number is the frame's index, so that it leaves gaps where frames were dropped. Files of that name are
    overwritten, others in the folder stay. A reader of the folder sees whole files only; they are not synced one by
    one, which would hold the stream up. Raises ``StreamError`` when the folder is not there and cannot be made.
    """

    needs_picture = False

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise StreamError.at(folder, "is a file", "give a folder")
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise _failure(folder, error) from None
        self._folder = folder

    @property
    def name(self) -> str:
        """The folder's path."""
        return str(self._folder)

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        """Write one file. Raises ``StreamError`` when it cannot be written, as on a full disk."""
        assert result.frame is not None
        content = io.BytesIO()
        Image.fromarray(result.file_ids()).save(content, "PNG", compress_level=_COMPRESS_LEVEL)
        path = self._folder / f"{result.frame.index:06d}.png"
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            temporary.write_bytes(content.getbuffer())
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise _failure(path, error) from None

    def close(self) -> None:
        """Every file is whole already."""


class LabelNpzSink:
    """Writes the labels of all frames into one compressed archive for ``numpy.load``, frame by frame.

    with numpy.load(path) as film:
        for index, time_s in zip(film["index"], film["time_s"]):
            labels = film[f"labels_{index:06d}"]  # uint8 (H, W) train ids, 255 for void

    ``index`` is int64 (N,), ``time_s`` float64 (N,), ``names`` the classes' names in train-id order. Each frame is a
    member of its own: frames may differ in size, and a reader needs memory for one of them, not for the film. The file
    has a temporary name until it is closed, since an archive without its directory at the end cannot be read; an
    existing file stays until then. Raises ``StreamError`` when the file cannot be made.
    """

    needs_picture = False

    def __init__(self, path: Path) -> None:
        if path.is_dir():
            raise StreamError.at(path, "is a folder", "give another file")
        self._name = str(path)
        self._path = path = path.resolve()  # a link stays
        self._temporary = path.with_name(f".{path.name[:64]}.{secrets.token_hex(4)}.tmp")
        try:
            self._file = _UnbufferedFile(self._temporary, "xb")
        except OSError as error:
            raise _failure(path, error) from None
        self._archive = ZipFile(self._file, "w", ZIP_DEFLATED, compresslevel=_COMPRESS_LEVEL)
        self._names: tuple[str, ...] = ()
        self._starts: list[int] = []
        self._indices: list[int] = []
        self._times_s: list[float] = []

    @property
    def name(self) -> str:
        """The file's path."""
        return self._name

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        """Add one frame.

        Raises ``StreamError`` when it cannot be written. The frames before it are kept, but for the last few, which on
        a full disk make room for the archive's end.
        """
        assert result.frame is not None
        start = self._archive.start_dir
        try:
            self._add(f"labels_{result.frame.index:06d}", result.labels)
        except OSError as error:
            self._take_back(start)
            raise _failure(self._path, error) from None
        self._names = result.label_set.names
        self._starts.append(start)
        self._indices.append(result.frame.index)
        self._times_s.append(result.frame.time_s)

    def close(self) -> None:
        """Write the frames' numbers and times, and give the file its name; without a frame, an existing file stays.

        Raises ``StreamError`` when there is no room for them; nothing is left then.
        """
        try:
            self._finish()
            if self._indices or not self._path.exists():
                self._temporary.replace(self._path)
            else:
                self._temporary.unlink()
        except OSError as error:
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            raise _failure(self._path, error) from None

    def _finish(self) -> None:
        with self._file:
            with self._archive:
                self._add("index", np.array(self._indices, np.int64))
                self._add("time_s", np.array(self._times_s, np.float64))
                self._add("names", np.array(self._names, np.str_))
            os.fsync(self._file.fileno())

    def _add(self, name: str, array: NDArray[np.generic]) -> None:
        with self._archive.open(f"{name}.npy", "w") as member:
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)

    def _take_back(self, end: int) -> None:
        """Cut off a member that began at ``end`` and was written in part, and frames before it to make room."""
        start, room = end, _END_BYTES + _END_BYTES_PER_FRAME * len(self._starts)
        while self._starts and end - start < room:
            start = self._starts.pop()
            self._indices.pop()
            self._times_s.pop()
        with suppress(OSError):
            self._file.truncate(start)
        self._file.seek(start)
        del self._archive.filelist[len(self._starts) :]
        self._archive.start_dir = start


class _UnbufferedFile(io.FileIO):
    """A file that holds nothing back: what found no room is told at once, and need not be written before a retreat."""

    def write(self, data: Any) -> int:
        """Write all of it, which one call of the system need not do."""
        left = memoryview(data).cast("B")
        size = left.nbytes
        while left:
            left = left[super().write(left) :]
        return size


def _failure(path: Path, error: OSError) -> StreamError:
    reason = error.strerror or str(error)
    return StreamError.at(path, f"cannot be written: {reason}", "check the folder and the space on its disk")
