from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contextnet.errors import StreamError
from contextnet.labels import CITYSCAPES
from contextnet.runtime.segmentation import Segmentation
from contextnet.streaming.frame import Frame
from contextnet.streaming.sinks.label_files import LabelNpzSink, LabelPngSink

ROAD_CAR_VOID = np.array([[0, 0, 13], [0, 13, 255]], np.uint8)


def result_of(labels: NDArray[np.uint8], index: int = 0, time_s: float = 0.0) -> Segmentation:
    image = np.zeros((*labels.shape, 3), np.uint8)
    return Segmentation(labels, CITYSCAPES, 1.0, frame=Frame.of_image(image, index, time_s))


def noise(seed: int, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 19, size_hw).astype(np.uint8)


def test_png_holds_the_mask_ids_under_the_frame_number(tmp_path: Path) -> None:
    sink = LabelPngSink(tmp_path / "labels")
    for index in (0, 7, 1_234_567):
        sink.write(result_of(ROAD_CAR_VOID, index), None)
    sink.close()
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["000000.png", "000007.png", "1234567.png"]
    with Image.open(tmp_path / "labels" / "000007.png") as image:
        assert image.mode == "L"
        # Cityscapes' own ids: road 7, car 26, unlabelled 0.
        assert np.asarray(image).tolist() == [[7, 7, 26], [7, 26, 0]]


def test_pngs_of_that_name_are_overwritten_and_others_stay(tmp_path: Path) -> None:
    for name in ("000000.png", "notes.txt"):
        (tmp_path / name).write_text("old")
    LabelPngSink(tmp_path).write(result_of(ROAD_CAR_VOID), None)
    with Image.open(tmp_path / "000000.png") as image:
        assert image.size == (3, 2)
    assert (tmp_path / "notes.txt").read_text() == "old"


def test_archive_holds_every_frame_its_number_and_its_time(tmp_path: Path) -> None:
    frames = {0: noise(0, (4, 6)), 1: noise(1, (4, 6)), 4: noise(2, (3, 5)), 1_000_000: noise(3, (1, 1))}
    sink = LabelNpzSink(tmp_path / "film.npz")
    for place, (index, labels) in enumerate(frames.items()):
        sink.write(result_of(labels, index, 0.25 * place), None)
    sink.close()
    with np.load(tmp_path / "film.npz", allow_pickle=False) as film:
        assert film["index"].dtype == np.int64
        assert film["index"].tolist() == [0, 1, 4, 1_000_000]
        assert film["time_s"].dtype == np.float64
        assert film["time_s"].tolist() == [0, 0.25, 0.5, 0.75]
        assert tuple(film["names"]) == CITYSCAPES.names
        assert len(film.files) == 4 + 3
        for index in film["index"]:
            labels = film[f"labels_{index:06d}"]
            assert labels.dtype == np.uint8
            np.testing.assert_array_equal(labels, frames[index])
    assert [path.name for path in tmp_path.iterdir()] == ["film.npz"]


def test_archive_without_a_frame_can_be_read(tmp_path: Path) -> None:
    LabelNpzSink(tmp_path / "film.npz").close()
    with np.load(tmp_path / "film.npz", allow_pickle=False) as film:
        assert {name: film[name].shape for name in film.files} == {"index": (0,), "time_s": (0,), "names": (0,)}


def test_old_archive_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "film.npz"
    path.write_text("old")
    sink = LabelNpzSink(path)
    sink.write(result_of(ROAD_CAR_VOID), None)
    assert path.read_text() == "old"
    sink.close()
    with np.load(path, allow_pickle=False) as film:
        assert film["index"].tolist() == [0]


def test_frames_do_not_stay_in_memory(tmp_path: Path) -> None:
    import tracemalloc

    sink = LabelNpzSink(tmp_path / "film.npz")
    tracemalloc.start()
    try:
        for index in range(40):
            sink.write(result_of(np.zeros((512, 1024), np.uint8), index), None)
        # One frame with its compression, not the 40 × 0.5 MB of the film.
        assert tracemalloc.get_traced_memory()[0] < 1e6
    finally:
        tracemalloc.stop()
        sink.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("limit", [40_000, 40_100, 48_000, 61_440])
def test_full_disk_keeps_the_frames_before_it(tmp_path: Path, limit: int) -> None:
    import resource

    sink = LabelNpzSink(tmp_path / "film.npz")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = 0

    def write_on() -> None:
        nonlocal written
        for index in range(10):
            sink.write(result_of(noise(index, (128, 160)), index), None)
            written += 1

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(StreamError, match=r"film\.npz: cannot be written: File too large; check the folder"):
            write_on()
        sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 3 <= written <= 5
    # A frame of noise takes some 11 kB, the archive's end 8 and a little: one frame makes room for it.
    written -= 1
    with np.load(tmp_path / "film.npz", allow_pickle=False) as film:
        assert film["index"].tolist() == list(range(written))
        assert len(film.files) == written + 3
        for index in range(written):
            np.testing.assert_array_equal(film[f"labels_{index:06d}"], noise(index, (128, 160)))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_nothing_is_left_where_not_even_the_end_finds_room(tmp_path: Path) -> None:
    import resource

    sink, pngs = LabelNpzSink(tmp_path / "film.npz"), LabelPngSink(tmp_path / "pngs")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StreamError, match=r"000000\.png: cannot be written: File too large"):
            pngs.write(result_of(noise(0, (128, 160))), None)
        with pytest.raises(StreamError, match=r"film\.npz: cannot be written: File too large"):
            sink.write(result_of(noise(0, (128, 160))), None)
        with pytest.raises(StreamError, match=r"film\.npz: cannot be written"):
            sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["pngs"]
    assert list((tmp_path / "pngs").iterdir()) == []


@pytest.mark.parametrize(
    ("open_sink", "place", "message"),
    [
        (LabelPngSink, "file", r"file: is a file; give a folder$"),
        (LabelPngSink, "missing/labels", r"missing/labels: cannot be written: No such file or directory; check the"),
        (LabelNpzSink, "folder", r"folder: is a folder; give another file$"),
        (LabelNpzSink, "missing/film.npz", r"film\.npz: cannot be written: No such file or directory; check the"),
    ],
)
def test_places_that_cannot_be_written(
    open_sink: type[LabelPngSink | LabelNpzSink], place: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StreamError, match=message):
        open_sink(tmp_path / place)
