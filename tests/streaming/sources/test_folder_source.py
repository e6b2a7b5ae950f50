from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from contextnet.errors import ImageError, StreamError
from contextnet.images import write_png
from contextnet.streaming.sources.folder import FolderSource
from counted_videos import counted_picture, number_in


def fill(folder: Path, numbers: range, size_hw: tuple[int, int] = (64, 96)) -> Path:
    # Written in another order than that of the names.
    for number in reversed(numbers):
        write_png(folder / f"{number:03}.png", counted_picture(number, size_hw))
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    return folder


def test_images_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    source = FolderSource(fill(tmp_path, range(7)), Fraction(30_000, 1001))
    frames = list(source)
    assert (source.info.name, source.info.is_live) == (str(tmp_path), False)
    assert (source.info.rate, source.info.frame_count) == (Fraction(30_000, 1001), 7)
    assert [frame.index for frame in frames] == list(range(7))
    assert [frame.video.pts for frame in frames] == [3003 * number for number in range(7)]
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.image, counted_picture(number))


def test_sizes_may_differ(tmp_path: Path) -> None:
    fill(tmp_path, range(2))
    fill(tmp_path, range(2, 4), (33, 51))
    assert [frame.size_hw for frame in FolderSource(tmp_path)] == [(64, 96)] * 2 + [(33, 51)] * 2


def test_damaged_images_are_left_out_and_leave_a_gap_in_number_and_time(tmp_path: Path) -> None:
    fill(tmp_path, range(6))
    (tmp_path / "000.png").write_bytes(b"")
    (tmp_path / "003.png").write_bytes((tmp_path / "003.png").read_bytes()[:200])
    source = FolderSource(tmp_path, Fraction(10))
    frames = list(source)
    assert [number_in(frame.image) for frame in frames] == [1, 2, 4, 5]
    assert [frame.index for frame in frames] == [1, 2, 4, 5]
    assert [frame.time_s for frame in frames] == pytest.approx([0.1, 0.2, 0.4, 0.5])
    assert source.counts.damaged == 2


def test_a_folder_without_a_readable_image_says_why(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"text")
    source = FolderSource(tmp_path)
    with pytest.raises(
        StreamError, match=f"^{tmp_path}: holds no image that can be read; is not a readable image; expected .png"
    ):
        list(source)
    assert source.counts.damaged == 2


@pytest.mark.parametrize(("name", "found"), [("", "holds no image; expected files ending in"), ("x", "does not exist")])
def test_a_folder_without_images_is_refused(tmp_path: Path, name: str, found: str) -> None:
    with pytest.raises(ImageError, match=found):
        FolderSource(tmp_path / name)


def test_closing_ends_the_frames(tmp_path: Path) -> None:
    source = FolderSource(fill(tmp_path, range(5)))
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
