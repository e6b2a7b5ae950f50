"""Odd, damaged and hostile image files: one conversion each by pixel values, or a clear error by name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextnet.errors import DataError, ImageError
from contextnet.images import read_image, read_mask, write_png

RGB = np.array([[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [255, 0, 128]]], np.uint8)
GRAY = np.array([[0, 1], [128, 255]], np.uint8)


def _three(gray: np.ndarray) -> np.ndarray:
    return np.stack([gray] * 3, axis=-1)


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(size_hw: tuple[int, int], bit_depth: int, color_type: int, rows: list[bytes]) -> bytes:
    """A PNG written by hand, so that what Pillow cannot write can still be read; rows come without filter bytes."""
    header = struct.pack(">IIBBBBB", size_hw[1], size_hw[0], bit_depth, color_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [_png_chunk(b"IHDR", header), _png_chunk(b"IDAT", pixels), _png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _palette_with_transparency() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8)).convert("P")
    image.putdata([0, 1, 2, 1])
    image.putpalette([9, 8, 7, 200, 100, 50, 1, 2, 3])
    image.info["transparency"] = bytes([0, 128, 255])
    return image


def _rgba() -> Image.Image:
    alpha = np.array([[[0], [128]], [[255], [1]]], np.uint8)
    return Image.fromarray(np.concatenate([RGB, alpha], axis=-1))


def _cmyk() -> Image.Image:
    return Image.fromarray(
        np.array([[[0, 0, 0, 0], [255, 0, 0, 0]], [[0, 0, 0, 255], [51, 102, 0, 51]]], np.uint8), "CMYK"
    )


DEEP = np.array([[0, 255], [256, 65535]], np.uint16)
DEEP_HIGH_BYTE = np.array([[0, 0], [1, 255]], np.uint8)


@pytest.mark.parametrize(
    ("image", "suffix", "expected"),
    [
        (Image.fromarray(RGB), "png", RGB),
        (_rgba(), "png", RGB),
        (_rgba(), "tif", RGB),
        (Image.fromarray(GRAY), "png", _three(GRAY)),
        (Image.merge("LA", (Image.fromarray(GRAY), Image.fromarray(GRAY.T.copy()))), "png", _three(GRAY)),
        (Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), "png", [[[0, 0, 0], [255, 255, 255]]]),
        (_palette_with_transparency(), "png", [[[9, 8, 7], [200, 100, 50]], [[1, 2, 3], [200, 100, 50]]]),
        (Image.fromarray(DEEP), "png", _three(DEEP_HIGH_BYTE)),
        (Image.fromarray(DEEP), "tif", _three(DEEP_HIGH_BYTE)),
        # (255 - C) (255 - K) / 255: white; cyan; black; (204 · 204, 153 · 204, 255 · 204) / 255.
        (_cmyk(), "tif", [[[255, 255, 255], [0, 255, 255]], [[0, 0, 0], [163, 122, 204]]]),
    ],
)
def test_each_kind_of_pixel_has_one_conversion(
    tmp_path: Path, image: Image.Image, suffix: str, expected: np.ndarray
) -> None:
    path = tmp_path / f"image.{suffix}"
    image.save(path)
    result = read_image(path)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


def test_sixteen_bit_rgb_is_read_by_its_high_byte() -> None:
    row = struct.pack(">6H", 0, 256, 65535, 0x12FF, 0x7F80, 255)
    assert read_image(_png((1, 2), 16, 2, [row])).tolist() == [[[0, 1, 255], [0x12, 0x7F, 0]]]


def test_four_bit_grey_spreads_over_the_range() -> None:
    assert read_image(_png((1, 2), 4, 0, [bytes([0x1F])])).tolist() == [[[17, 17, 17], [255, 255, 255]]]


# EXIF orientation n says how the stored rows and columns stand; each table entry undoes it with NumPy.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    stored = np.random.default_rng(orientation).integers(0, 256, (3, 5, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "phone.png"
    Image.fromarray(stored).save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), UPRIGHT[orientation](stored))
    np.testing.assert_array_equal(read_mask(path).values, UPRIGHT[orientation](stored))


def test_damaged_exif_leaves_the_pixels_readable(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    Image.fromarray(RGB).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    with pytest.warns(UserWarning, match="Corrupt EXIF data"):
        image = read_image(path)
    assert image.shape == (2, 2, 3)


@pytest.mark.parametrize("name", ["frames.mpo", "frames.tif"])
def test_first_of_several_frames_is_read(tmp_path: Path, name: str) -> None:
    first, second = (Image.fromarray(_three(np.full((16, 16), value, np.uint8))) for value in (40, 200))
    first.save(tmp_path / name, save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_image(tmp_path / name), np.full((16, 16, 3), 40))


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 5000), (5000, 1), (31, 37), (127, 3)])
def test_any_size_is_read_as_it_is(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    array = np.random.default_rng(3).integers(0, 256, (*size_hw, 3), np.uint8)
    write_png(tmp_path / "a.png", array)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), array)


def test_largest_size_is_decoded_from_its_header_on_and_one_row_more_is_refused() -> None:
    # No pixel data follows the header: whichever image passes the size check fails in the decoder, with another error.
    at_limit, above = _png((8192, 8192), 8, 2, []), _png((8193, 8192), 8, 2, [])
    with pytest.raises(ImageError, match="image bytes: is damaged"):
        read_image(at_limit)
    with pytest.raises(ImageError, match=r"is 8193×8192 \(height × width\), 67117056 pixels; the limit is 67108864"):
        read_image(above)


@pytest.mark.parametrize("size_hw", [(10000, 10000), (50000, 50000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bomb_is_refused_from_the_header(tmp_path: Path, size_hw: tuple[int, int]) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_png(size_hw, 1, 0, [b"\0"]))
    for read in (read_image, read_mask):
        with pytest.raises(ImageError, match=r"bomb\.png: is .*the limit is 67108864 pixels"):
            read(path)


def test_limit_is_the_callers_to_choose(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((4, 5, 3), np.uint8))
    assert read_image(tmp_path / "a.png", max_pixels=20).shape == (4, 5, 3)
    with pytest.raises(ImageError, match=r"a\.png: is 4×5 .*the limit is 19 pixels; scale the image down$"):
        read_image(tmp_path / "a.png", max_pixels=19)


def test_file_above_one_gibibyte_is_refused_by_name_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    with path.open("wb") as file:
        file.truncate(2**30 + 1)
    for read in (read_image, read_mask):
        with pytest.raises(ImageError, match="is a file of 1073741825 bytes; the limit is 1073741824; check") as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")


def _encoded(suffix: str) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(4).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(stream, {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP"}[suffix])
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("half.png", _encoded("png")[: len(_encoded("png")) // 2], "is damaged"),
        ("half.jpg", _encoded("jpg")[: len(_encoded("jpg")) // 2], "is damaged"),
        ("half.webp", _encoded("webp")[: len(_encoded("webp")) // 2], "is (damaged|not a readable image)"),
        ("half.bmp", _encoded("bmp")[: len(_encoded("bmp")) // 2], "is damaged"),
        ("header.png", _encoded("png")[:20], "is (damaged|not a readable image)"),
        ("empty.png", b"", r"is empty \(0 bytes\)"),
        ("text.png", b"This is a letter, no image.\n", "is not a readable image"),
        ("page.png", b"<html><body>404</body></html>", "is not a readable image"),
        ("script.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a readable image"),
        ("folder.png", "folder", "cannot be read: Is a directory"),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, name: str, content: bytes | str, error: str) -> None:
    path = tmp_path / name
    if isinstance(content, str):
        path.mkdir()
    else:
        path.write_bytes(content)
    for read in (read_image, read_mask):
        with pytest.raises(ImageError, match=error) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_floating_point_is_no_image_and_no_mask(tmp_path: Path) -> None:
    path = tmp_path / "float.tif"
    Image.fromarray(np.ones((2, 2), np.float32)).save(path)
    with pytest.raises(ImageError, match=r"float\.tif: holds floating-point pixels; save it with 8 or 16 bits"):
        read_image(path)
    with pytest.raises(DataError, match=r"float\.tif: holds floating-point pixels; save the ids as an 8-bit PNG"):
        read_mask(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_any_damage_is_an_image_or_an_image_error(suffix: str) -> None:
    whole = _encoded(suffix)
    rng = np.random.default_rng(5)
    outcomes = set()
    for _ in range(150):
        content = bytearray(whole)
        for position in rng.integers(0, min(len(content), 200), 3):
            content[position] = rng.integers(0, 256)
        try:
            outcomes.add(read_image(bytes(content), max_pixels=10**6).ndim)
        except ImageError:
            outcomes.add("refused")
    assert outcomes <= {3, "refused"}
    assert "refused" in outcomes
