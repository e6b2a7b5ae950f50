"""Damage to a file is told from a file of another kind: a run falls back from the one and refuses the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from contextnet.errors import DamagedError, WeightsError
from contextnet.models.storage import read_tensors, write_tensors


def _begin_with(path: Path, start: bytes) -> None:
    path.write_bytes(start + path.read_bytes()[len(start) :])


@pytest.mark.parametrize(
    ("make", "is_damaged"),
    [
        (lambda path: path.unlink(), False),
        (lambda path: write_tensors(path, {"a": torch.ones(1)}, {}, "other-1"), False),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"checksum"', b'"checksun"')), True),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"test-1"', b'"test-3"')), True),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"format"', b'"fornat"')), True),
        (lambda path: path.write_bytes(bytes(path.stat().st_size)), True),
        (lambda path: path.write_bytes(b"\x95" * path.stat().st_size), True),
        (lambda path: path.write_bytes(b"\x80\x06" + b"\x95" * 40), True),
        (lambda path: path.write_bytes(b"\x80\x05" + b"\x95" * 40), False),
        (lambda path: path.write_bytes(b"PK\x03\x04" + b"\x95" * 40), False),
        (lambda path: path.write_bytes(b"\x1f\x8b\x08" + b"\x95" * 40), False),
        (lambda path: path.write_bytes(b"\x80\x04N."), True),
        # The marks of pickle and archive in a length that is wrong, with the header still behind it.
        (lambda path: _begin_with(path, b"\x80\x04\xff\xff"), True),
        (lambda path: _begin_with(path, b"PK\x03\x04"), True),
    ],
    ids=[
        "missing",
        "other format",
        "no checksum",
        "format changed",
        "no format",
        "zeros",
        "noise",
        "noise like a pickle of the future",
        "pickle",
        "zip",
        "gzip",
        "nothing but a short pickle",
        "length like a pickle",
        "length like a zip",
    ],
)
def test_damage_is_told_from_files_of_another_kind(
    tmp_path: Path, make: Callable[[Path], Any], is_damaged: bool
) -> None:
    path = tmp_path / "state.safetensors"
    write_tensors(path, {"weight": torch.ones(2)}, {"progress": "{}"}, "test-1")
    make(path)
    with pytest.raises(WeightsError) as caught:
        read_tensors(path, "test-1")
    assert isinstance(caught.value, DamagedError) == is_damaged
    assert str(caught.value).startswith(f"{path}: ")
    if isinstance(caught.value, DamagedError):
        assert str(caught.value) == f"{path}: {caught.value.detail}; {caught.value.remedy}"


def test_a_disk_that_cannot_read_the_file_has_damaged_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(5, "Input/output error")

    path = tmp_path / "state.safetensors"
    write_tensors(path, {"weight": torch.ones(2)}, {}, "test-1")
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(DamagedError, match=r"state\.safetensors: cannot be read: Input/output error; the disk is fail"):
        read_tensors(path, "test-1")
