"""Image and mask files: read into arrays under a size limit, written atomically.

Every file becomes uint8 RGB by one conversion, whatever it holds:

* grey and 1-bit (0 or 255): the value stands in all three channels;
* 16-bit grey and 16-bit RGB: the high byte (value // 256); PPM and PGM are scaled by their own maximum;
* palette: the palette's colours;
* alpha (RGBA, LA, a palette's transparency): dropped, the colours stay as stored;
* CMYK: (255 - C) × (255 - K) / 255 and so on, colour profiles ignored;
* EXIF orientation: applied, for images and masks alike; of several frames the first is read.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from contextnet.errors import DataError, ImageError
from contextnet.files import write_atomically

MAX_PIXELS = 8192 * 8192
MAX_FILE_BYTES = 1 << 30
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm")

# Decoders that Pillow may try: no format that runs another program or brings its own script language.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")
# Modes that go through RGBA, so that alpha and a palette's transparency fall away without touching the colours.
_ALPHA_MODES = ("RGBA", "LA", "PA", "P")

MaskKind = Literal["gray", "palette", "rgb"]


@dataclass(frozen=True)
class MaskFile:
    """The pixels of a mask file as stored, and how they were stored.

    ``values`` is uint8 (H, W): grey values for ``gray``, palette indices for ``palette``. For ``rgb`` it is uint8
    (H, W, 3), since colours are not ids and are never turned into them silently.
    """

    values: NDArray[np.uint8]
    kind: MaskKind


def read_image(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read an image file, or its bytes, as RGB (uint8, H × W × 3) by the conversions this module documents.

    The size is taken from the header, before decoding. Raises ``ImageError`` naming the file when it is larger than
    ``max_pixels`` or ``MAX_FILE_BYTES``, damaged, empty, no image, or holds pixels without a conversion (floating
    point).
    """
    name = _name(source)
    image = _decode(source, max_pixels)
    try:
        if image.mode.startswith("I"):
            return _deep_gray_to_rgb(np.asarray(image), name)
        if image.mode == "F":
            raise ImageError.at(name, "holds floating-point pixels", "save it with 8 or 16 bits a channel")
        if image.mode in _ALPHA_MODES:
            return np.array(image.convert("RGBA"), np.uint8)[..., :3].copy()
        return np.array(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)
    except ValueError as error:
        if isinstance(error, ImageError):
            raise
        found = f"{image.mode} pixels cannot be turned into RGB"
        raise ImageError.at(name, found, "save it as an RGB PNG") from error


def read_mask(path: Path, *, max_pixels: int = MAX_PIXELS) -> MaskFile:
    """Read a mask file as stored: ids are neither rescaled nor recoloured.

    1-bit masks give 0 and 1; 16-bit masks are read where every id is at most 255; alpha is dropped. Grey of 2 or 4
    bits is spread over 0..255, as PNG defines it. Raises ``ImageError`` naming the file where ``read_image`` cannot
    read it either, and ``DataError`` when it can be read but holds no ids: an id above 255, or floating point.
    """
    image = _decode(path, max_pixels)
    match image.mode:
        case "L" | "1":
            return MaskFile(np.array(image, np.uint8), "gray")
        case "LA":
            return MaskFile(np.array(image.getchannel(0), np.uint8), "gray")
        case "P":
            return MaskFile(np.array(image, np.uint8), "palette")
        case "PA":
            return MaskFile(np.array(image.getchannel(0), np.uint8), "palette")
        case mode if mode.startswith("I"):
            ids = np.asarray(image)
            low, high = int(ids.min()), int(ids.max())
            if low < 0 or high > 255:
                raise DataError.at(path, f"holds ids {low} to {high}", "a mask holds 0 to 255, so renumber its classes")
            return MaskFile(ids.astype(np.uint8), "gray")
        case "F":
            raise DataError.at(path, "holds floating-point pixels", "save the ids as an 8-bit PNG")
        case _:
            return MaskFile(np.array(image.convert("RGB"), np.uint8), "rgb")


def read_instances(path: Path, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.int32]:
    """Read an instance mask (8 or 16 bits, one channel) as int32 (H, W). Raises ``ImageError`` naming the file."""
    image = _decode(path, max_pixels)
    if image.mode != "L" and not image.mode.startswith("I"):
        raise ImageError.at(path, f"holds {image.mode} pixels", "an instance mask is a 16-bit grey PNG")
    return np.asarray(image).astype(np.int32)


def write_png(path: Path, array: NDArray[np.uint8] | NDArray[np.uint16], compress_level: int = 3) -> None:
    """Write grey (uint8 or uint16, H × W) or RGB (uint8, H × W × 3) as PNG, atomically.

    ``compress_level`` runs from 0 (fast, large) to 9. Raises ``ContextNetError`` naming the file when it cannot be
    written.
    """
    image = Image.fromarray(np.ascontiguousarray(array))

    def write(file: BinaryIO) -> None:
        image.save(file, "PNG", compress_level=compress_level)

    write_atomically(path, write)


def image_files(path: Path, *, recursive: bool = False) -> tuple[Path, ...]:
    """List the image files of a folder, sorted by path; those in its subfolders if ``recursive``.

    A file is a list of one. Raises ``ImageError`` when the path does not exist or the folder holds no image.
    """
    if path.is_file():
        return (path,)
    if not path.is_dir():
        raise ImageError.at(path, "does not exist", "give an image file or a folder of them")
    found = sorted(
        entry
        for entry in (path.rglob("*") if recursive else path.iterdir())
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".") and entry.is_file()
    )
    if not found:
        raise ImageError.at(path, "holds no image", f"expected files ending in {', '.join(IMAGE_SUFFIXES)}")
    return tuple(found)


def _name(source: Path | bytes) -> str:
    return "image bytes" if isinstance(source, bytes) else str(source)


def _decode(source: Path | bytes, max_pixels: int) -> Image.Image:
    """Decode the first frame and turn it upright, the size checked first."""
    name = _name(source)
    content = source if isinstance(source, bytes) else _read_bytes(source)
    if not content:
        raise ImageError.at(name, "is empty (0 bytes)", "copy or download it again")
    limit, smaller = f"the limit is {max_pixels} pixels", "scale the image down"
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=_FORMATS)
        width, height = image.size
        if height * width > max_pixels:
            found = f"is {height}×{width} (height × width), {height * width} pixels; {limit}"
            raise ImageError.at(name, found, smaller)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError.at(name, f"is larger than Pillow decodes safely; {limit}", smaller) from error
    except UnidentifiedImageError as error:
        expected = f"expected {', '.join(IMAGE_SUFFIXES)} content"
        raise ImageError.at(name, "is not a readable image", expected) from error
    except MemoryError:
        raise
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        reason = " ".join(str(error).split()).rstrip(" .;")
        raise ImageError.at(name, f"is damaged: {reason}", "copy or download it again") from error


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FILE_BYTES:
                found = f"is a file of {size} bytes; the limit is {MAX_FILE_BYTES}"
                raise ImageError.at(path, found, "check that it is an image, or scale it down")
            return file.read()
    except OSError as error:
        found = f"cannot be read: {error.strerror}"
        raise ImageError.at(path, found, "check the path and its permissions") from error


def _deep_gray_to_rgb(values: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Turn 16-bit grey (H, W) into RGB by its high byte, as Pillow does for 16-bit RGB."""
    wide = values.astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        found = f"holds values {wide.min()} to {wide.max()}"
        raise ImageError.at(name, found, "8 or 16 bits a channel can be read")
    return np.repeat((wide >> 8).astype(np.uint8)[..., None], 3, axis=-1)
