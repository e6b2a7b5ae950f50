"""Results as JSON, one line a frame."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from av import VideoFrame

from contextnet.errors import StreamError
from contextnet.runtime.segmentation import Segmentation


def frame_record(result: Segmentation) -> dict[str, Any]:
    """Describe the result of a frame in plain JSON values: ``Segmentation.to_json`` and the frame's number and times.

    ``time_s`` is the frame's own, ``age_ms`` how long ago it came.
    """
    frame = result.frame
    assert frame is not None
    age_ms = 1000 * (time.monotonic() - frame.arrived_s)
    return {"index": frame.index, "time_s": frame.time_s, "age_ms": age_ms, **result.to_json()}


class JsonLinesSink:
    """Writes a line of ``frame_record`` for each frame at once, so that ``tail -f`` and pipes follow the stream.

    An existing file is overwritten; None is standard output. Raises ``StreamError`` when the file cannot be opened.
    """

    needs_picture = False

    def __init__(self, path: Path | None) -> None:
        self.name = "standard output" if path is None else str(path)
        if path is None and sys.stdout is None:
            raise StreamError.at(self.name, "is closed", "leave it open, or give a file")
        self._is_file = path is not None
        self._is_begun = False
        try:
            self._file = sys.stdout if path is None else path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._failure(error) from None

    def write(self, result: Segmentation, picture: VideoFrame | None) -> None:
        """Write one line. Raises ``StreamError`` when it cannot be written, as when nobody reads the pipe any more."""
        line = json.dumps(frame_record(result), allow_nan=False)
        try:
            self._begin()
            self._file.write(line + "\n")
            self._file.flush()
        except BrokenPipeError:
            self._let_go()
            raise StreamError.at(
                self.name, "its reader has gone", "keep it reading as long as the stream runs"
            ) from None
        except OSError as error:
            self._let_go()
            raise self._failure(error) from None

    def close(self) -> None:
        """Close the file; its lines are written already. Standard output stays open."""
        if self._is_file:
            with suppress(OSError):
                self._file.close()

    def _begin(self) -> None:
        """Before the first line, empty a file of before: a stream that fails to start leaves it as it was."""
        if not self._is_begun and self._is_file and Path(self.name).is_file():
            self._file.truncate(0)
        self._is_begun = True

    def _let_go(self) -> None:
        """Give up the line that could not be written: it would be tried again, in vain, when the program ends."""
        with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._file.fileno())

    def _failure(self, error: OSError) -> StreamError:
        reason = error.strerror or str(error)
        return StreamError.at(self.name, f"cannot be written: {reason}", "check the folder and the space on its disk")
