from __future__ import annotations

import gc
import json
import re
import resource
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_samples import CallableData, broken_at, sample

from contextnet.data.decoded_file import map_pixels, read_index
from contextnet.data.decoding import decode_split, open_decoded
from contextnet.data.reading import READ_AHEAD
from contextnet.data.sample import Sample
from contextnet.errors import ContextNetError, DataError
from contextnet.labels import CAMVID, LabelClass, LabelSet

MARK = b"\x89contextnet decoded samples\n"
SIZES_HW = [(4, 6), (3, 5), (1, 1), (7, 2)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of four samples whose pixels take 4 × (24 + 15 + 1 + 14) bytes."""
    path = tmp_path / "split"
    decode_split(CallableData(4, lambda i: sample(i, SIZES_HW[i])), file=path)
    return path


def test_file_is_as_its_module_says(file: Path) -> None:
    content = file.read_bytes()
    first = sample(0, (4, 6))
    assert first.label is not None
    assert content.startswith(MARK + first.image.tobytes() + first.label.tobytes())
    assert content.endswith(MARK)
    index_end = len(content) - len(MARK) - 8
    index_start = len(MARK) + 4 * (24 + 15 + 1 + 14)
    assert int.from_bytes(content[index_end : index_end + 8], "little") == index_end - index_start
    start = len(MARK)
    assert json.loads(content[index_start:index_end]) == {
        "format": "contextnet-decoded-1",
        "name": "made/train",
        "labels": CAMVID.to_json(),
        "licence": "for tests",
        "skipped": [],
        "places": [[start, 4, 6], [start + 96, 3, 5], [start + 156, 1, 1], [start + 160, 7, 2]],
    }


def test_opened_split_is_the_decoded_one(tmp_path: Path) -> None:
    labels = LabelSet("own", (LabelClass("straße", (1, 2, 3), "flat", (0, 3, 10)),))
    data = CallableData(5, broken_at(2), name="own/train", labels=labels, licence="Notice «ü».")
    decoded = decode_split(data, unreadable_budget=1, file=tmp_path / "split")
    opened = open_decoded(tmp_path / "split")
    for split in (decoded, opened):
        assert (split.name, split.labels, split.licence) == ("own/train", labels, "Notice «ü».")
        assert split.skipped == ("2.png: is damaged",)
        for index, image, mask in zip([0, 1, 3, 4], split.images, split.masks, strict=True):
            np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), sample(index).image)
            np.testing.assert_array_equal(mask.numpy(), sample(index).label)


def test_all_who_open_a_file_see_the_same_memory(file: Path) -> None:
    one, other = open_decoded(file), open_decoded(file)
    one.masks[1][2, 4] = 77
    assert other.masks[1][2, 4] == 77


OTHER_PROCESS = """
import sys
from pathlib import Path
from contextnet.data.decoding import open_decoded

split = open_decoded(Path(sys.argv[1]))
print(split.name, len(split), flush=True)
sys.stdin.readline()
print(*(int(pixels.long().sum()) for pixels in (*split.images, *split.masks)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be deleted there")
def test_file_can_be_deleted_once_every_process_has_opened_it(file: Path) -> None:
    here = open_decoded(file)
    command = [sys.executable, "-c", OTHER_PROCESS, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "made/train 4\n"
        file.unlink()
        output, _ = process.communicate("go on\n", timeout=60)
    samples = [sample(i, size_hw) for i, size_hw in enumerate(SIZES_HW)]
    sums = [int(s.image.sum()) for s in samples] + [int(s.label.sum()) for s in samples if s.label is not None]
    assert [int(text) for text in output.split()] == sums
    assert [int(pixels.long().sum()) for pixels in (*here.images, *here.masks)] == sums


def test_memory_does_not_grow_with_the_split(tmp_path: Path) -> None:
    alive: set[int] = set()
    most = 0

    def read(index: int) -> Sample:
        nonlocal most
        made = sample(index)
        alive.add(index)
        weakref.finalize(made.image, alive.discard, index)
        most = max(most, len(alive))
        return made

    gc.disable()
    try:
        split = decode_split(CallableData(200, read), file=tmp_path / "split")
    finally:
        gc.enable()
    assert len(split) == 200
    # What is read ahead, what is being written, and what the threads still hold.
    assert most <= READ_AHEAD + 4


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_full_disk_is_one_clear_error_and_leaves_no_file(tmp_path: Path) -> None:
    data = CallableData(10_000, lambda i: sample(i, (32, 32)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, hard))
    try:
        with pytest.raises(ContextNetError, match=r"/split: cannot be written: File too large; .*another disk$"):
            decode_split(data, file=tmp_path / "split")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    for thread in threading.enumerate():
        if thread.name.startswith("decode-"):
            thread.join(timeout=10)
            assert not thread.is_alive()
    assert len(data.indices) <= (1 << 17) // (4 * 32 * 32) + 1 + READ_AHEAD


def test_fault_of_the_progress_display_leaves_no_file(tmp_path: Path) -> None:
    def fail(done: int, total: int) -> None:
        if done == 3:
            raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        decode_split(CallableData(6), progress=fail, file=tmp_path / "split")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContextNetError, match=r"runs/split: cannot be written: No such file .*make the folder first"):
        decode_split(CallableData(3), file=tmp_path / "runs" / "split")


def without_index(content: bytes) -> bytes:
    return content[: len(MARK) + 216]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda content: b"", "holds no decoded samples; give a file that a split was decoded to"),
        (lambda content: MARK[:-1], "holds no decoded samples"),
        (lambda content: b"\x89PNG\r\n\x1a\n" + content, "holds no decoded samples"),
        (lambda content: b"\x80\x04cposix\nsystem\n(S'true'\ntR.", "holds no decoded samples"),
        (lambda content: MARK, "ends before its index; it was cut off or altered; decode the split again"),
        (lambda content: MARK + b"\0" * (len(MARK) + 7), "ends before its index"),
        (lambda content: content[: len(MARK) + 100], "ends before its index"),
        (without_index, "ends before its index"),
        (lambda content: content[: len(content) // 2], "ends before its index"),
        (lambda content: content[:-1], "ends before its index"),
        (lambda content: content + b"\0", "ends before its index"),
        (lambda content: content[: -len(MARK)] + bytes(len(MARK)), "ends before its index"),
        (lambda content: content[:-8] + MARK, "ends before its index"),
        (lambda content: MARK + content[len(MARK) + 96 :], "has an index that makes no sense"),
        (lambda content: MARK + (1 << 60).to_bytes(8, "little") + MARK, "ends before its index"),
        (lambda content: MARK + bytes(8) + MARK, "has an index that makes no sense"),
        (lambda content: MARK + b"\xff{" + (2).to_bytes(8, "little") + MARK, "has an index that makes no sense"),
        (lambda content: MARK + b"[1]" + (3).to_bytes(8, "little") + MARK, "has an index that makes no sense"),
        (lambda content: MARK + b"{}" + (2).to_bytes(8, "little") + MARK, "has an index that makes no sense"),
        (lambda content: MARK + b"[" * 99_999 + (99_999).to_bytes(8, "little") + MARK, "has an index that makes"),
    ],
)
def test_truncated_and_foreign_files_are_refused_by_name(
    file: Path, spoil: Callable[[bytes], bytes], error: str
) -> None:
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(DataError, match=rf"^{re.escape(str(file))}: {error}"):
        open_decoded(file)


def test_every_shorter_file_is_refused(file: Path) -> None:
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"split: (holds no decoded samples|ends before its index)"):
            open_decoded(file)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("format", "contextnet-decoded-2", "has the format 'contextnet-decoded-2' where 'contextnet-decoded-1' is exp"),
        ("labels", {"name": "x", "classes": []}, "classes: "),
        ("labels", None, "document: "),
        ("places", [[28, 400, 600]], "has an index that makes no sense"),
        ("places", [[228, 2, 3]], "has an index that makes no sense"),
        ("places", [[0, 1, 1]], "has an index that makes no sense"),
        ("places", [[-1, 1, 1]], "has an index that makes no sense"),
        ("places", [[40, 0, 4]], "has an index that makes no sense"),
        ("places", [[40, -2, -4]], "has an index that makes no sense"),
        ("places", [[40, 1]], "has an index that makes no sense"),
        ("places", [], "has an index that makes no sense"),
        ("places", None, "has an index that makes no sense"),
    ],
)
def test_altered_index_is_refused_by_name(file: Path, key: str, value: Any, error: str) -> None:
    content = file.read_bytes()
    start = len(MARK) + 216
    index = json.dumps(json.loads(content[start : -8 - len(MARK)]) | {key: value}).encode()
    file.write_bytes(content[:start] + index + len(index).to_bytes(8, "little") + MARK)
    with pytest.raises(DataError, match=rf"^{re.escape(str(file))}: {error}"):
        open_decoded(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/split: cannot be read: No such file or directory; decode the split again$"):
        open_decoded(tmp_path / "split")
    with pytest.raises(DataError, match=r": cannot be read: Is a directory; decode the split again$"):
        open_decoded(tmp_path)


def test_file_that_cannot_be_mapped_is_named(file: Path) -> None:
    index = read_index(file)
    file.unlink()
    with pytest.raises(
        DataError, match=r"/split: cannot be mapped: .*No such file .*; choose a folder on a local disk"
    ):
        map_pixels(file, index)


def test_pixels_are_mapped_and_not_copied(file: Path) -> None:
    split = open_decoded(file)
    assert len({tensor.untyped_storage().data_ptr() for tensor in (*split.images, *split.masks)}) == 1
    assert all(isinstance(tensor, torch.Tensor) and not tensor.requires_grad for tensor in split.images)
