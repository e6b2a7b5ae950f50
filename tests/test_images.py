"""Image files: listing, masks as stored, and writing that never leaves half a file."""

from __future__ import annotations

import io
import json
import os
import resource
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from contextnet.errors import ContextNetError, DataError, ImageError
from contextnet.files import write_atomically, write_json
from contextnet.images import image_files, read_image, read_instances, read_mask, write_png

IDS = np.array([[0, 1, 2], [3, 33, 255]], np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (13, 1, 3), (2, 31, 3)])
def test_png_round_trip(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path = tmp_path / "a.png"
    write_png(path, array)
    rgb = array if array.ndim == 3 else np.stack([array] * 3, axis=-1)
    np.testing.assert_array_equal(read_image(path), rgb)
    np.testing.assert_array_equal(read_image(path.read_bytes()), rgb)
    np.testing.assert_array_equal(read_mask(path).values, array)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_images_are_writable_and_contiguous(tmp_path: Path) -> None:
    for mode in ("RGB", "RGBA", "L", "P", "1", "CMYK"):
        path = tmp_path / f"{mode}.tif"
        Image.new(mode, (4, 3)).save(path)
        image = read_image(path)
        assert image.flags.writeable
        assert image.flags.c_contiguous
        assert (image.shape, image.dtype) == ((3, 4, 3), np.dtype(np.uint8))


def test_sixteen_bit_grey_is_written_as_it_is(tmp_path: Path) -> None:
    array = np.array([[0, 1, 255], [256, 26_012, 65_535]], np.uint16)
    write_png(tmp_path / "a.png", array)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image), array)


def test_noncontiguous_arrays_are_written_as_they_look(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)[:, ::-1]
    write_png(tmp_path / "a.png", array)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), array)


def _gray() -> Image.Image:
    return Image.fromarray(IDS)


def _palette() -> Image.Image:
    image = Image.fromarray(IDS).convert("P")
    image.putdata(IDS.ravel().tolist())
    image.putpalette(np.random.default_rng(1).integers(0, 256, 768, np.uint8).tobytes())
    return image


def _deep() -> Image.Image:
    return Image.fromarray(IDS.astype(np.uint16))


def _with_alpha() -> Image.Image:
    return Image.merge("LA", (Image.fromarray(IDS), Image.fromarray(IDS[::-1].copy())))


@pytest.mark.parametrize(
    ("image", "kind"), [(_gray(), "gray"), (_palette(), "palette"), (_deep(), "gray"), (_with_alpha(), "gray")]
)
def test_masks_are_read_as_stored(tmp_path: Path, image: Image.Image, kind: str) -> None:
    path = tmp_path / "mask.png"
    image.save(path)
    mask = read_mask(path)
    assert mask.kind == kind
    assert mask.values.dtype == np.uint8
    np.testing.assert_array_equal(mask.values, IDS)


def test_one_bit_mask_holds_zero_and_one(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").values.tolist() == [[0, 1]]


def test_rgb_mask_stays_rgb(tmp_path: Path) -> None:
    colors = np.array([[[128, 64, 128], [0, 0, 142]]], np.uint8)
    write_png(tmp_path / "mask.png", colors)
    mask = read_mask(tmp_path / "mask.png")
    assert mask.kind == "rgb"
    np.testing.assert_array_equal(mask.values, colors)


def test_sixteen_bit_mask_with_large_ids_is_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(np.array([[7, 256]], np.uint16)).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask\.png: holds ids 7 to 256; a mask holds 0 to 255") as caught:
        read_mask(tmp_path / "mask.png")
    assert not isinstance(caught.value, ImageError), "the file can be read; it is wrong"


def test_instances_keep_sixteen_bits(tmp_path: Path) -> None:
    ids = np.array([[7, 24000], [26012, 33001]], np.uint16)
    Image.fromarray(ids).save(tmp_path / "i.png")
    instances = read_instances(tmp_path / "i.png")
    assert instances.dtype == np.int32
    np.testing.assert_array_equal(instances, ids)


def test_rgb_instances_are_refused_by_name(tmp_path: Path) -> None:
    write_png(tmp_path / "i.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ImageError, match=r"i\.png: holds RGB pixels; an instance mask is a 16-bit grey PNG"):
        read_instances(tmp_path / "i.png")


def test_image_files_lists_images_of_one_folder_sorted(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpeg", "c.webp", "notes.txt", "._a.png", "d.tiff"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in image_files(tmp_path)] == ["a.jpeg", "b.PNG", "c.webp", "d.tiff"]
    assert image_files(tmp_path / "notes.txt") == (tmp_path / "notes.txt",)


def test_image_files_without_images(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"holds no image; expected files ending in \.png"):
        image_files(tmp_path)
    with pytest.raises(ImageError, match="nowhere: does not exist"):
        image_files(tmp_path / "nowhere")


def test_write_json_round_trips_and_ends_with_a_newline(tmp_path: Path) -> None:
    values = {"name": "grün", "share": 0.1, "sizes": [[1, 2]], "none": None}
    write_json(tmp_path / "a.json", values)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == values
    assert text.endswith("}\n")


def test_write_json_refuses_nan_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


class InterruptedWriteError(Exception):
    pass


@pytest.mark.parametrize("raised", [InterruptedWriteError, KeyboardInterrupt])
def test_failed_write_keeps_the_old_file_and_no_temporary(tmp_path: Path, raised: type[BaseException]) -> None:
    path = tmp_path / "last.bin"
    path.write_bytes(b"old")

    def write(file: BinaryIO) -> None:
        file.write(b"half of the new")
        raise raised

    with pytest.raises(raised):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "last.bin"

    def write(file: BinaryIO) -> None:
        file.write(b"first")
        file.flush()
        assert not path.exists()
        file.write(b" second")

    write_atomically(path, write)
    assert path.read_bytes() == b"first second"


def test_file_mode_follows_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(mask)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


def test_file_that_cannot_grow_is_a_clear_error_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_png(path, IDS)
    old = path.read_bytes()
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ContextNetError, match=r"a\.png: cannot be written: File too large"):
            write_png(path, noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContextNetError, match=r"runs/a\.json: cannot be written: No such file .*make the folder first"):
        write_json(tmp_path / "runs" / "a.json", {})


def test_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.png: cannot be read: No such file or directory"):
        read_image(tmp_path / "a.png")


def test_bytes_without_a_name_say_so() -> None:
    with pytest.raises(ImageError, match="image bytes: is not a readable image"):
        read_image(io.BytesIO(b"no image at all").getvalue())
