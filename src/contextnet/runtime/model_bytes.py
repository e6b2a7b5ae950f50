"""Reading the files of a model whole, whatever their format."""

from __future__ import annotations

import os
from pathlib import Path

from contextnet.errors import ModelFileError

MAX_BYTES = 1 << 30


def read_model_bytes(path: Path, remedy: str) -> bytes:
    """Read a file of at most ``MAX_BYTES``.

    Raises ``ModelFileError`` naming it when it is larger, and with ``remedy`` when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                found = f"is a file of {size} bytes; a model file has at most {MAX_BYTES}"
                raise ModelFileError.at(path, found, "check that it is a network")
            return file.read()
    except OSError as error:
        raise ModelFileError.at(path, f"cannot be read: {error.strerror}", remedy) from None
