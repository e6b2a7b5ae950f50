"""Pack what a machine without network needs to train: CamVid, small, and the wheels of the packages it lacks.

    python -m scripts.gpu.pack --camvid ROOT

Leaves ``gpu-pack/camvid``, which opens as ``camvid:gpu-pack/camvid``: images as WebP of quality 90, masks as
PNG with the same ids; and ``gpu-pack/wheels``, pinned by ``constraints.txt``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from contextnet.data.camvid import open_camvid
from contextnet.errors import ContextNetError, DataError
from contextnet.images import read_image, read_mask
from scripts.gpu.machine import ROOT, say

SPLITS = ("train", "val")
WEBP_QUALITY = 90
LIMIT_MIB = 60
"""For the working tree and the pack together."""
NOT_PACKED = {"av", "numpy", "onnx", "openvino"}
"""NumPy comes with PyTorch; the others read videos and run model files, which no training does."""
PYTHON_VERSION = "3.12"
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux1")


@dataclass(frozen=True)
class Part:
    """A part of what travels: its name, how many files it is and their bytes."""

    name: str
    files: int
    bytes: int


def pack_camvid(root: Path, target: Path) -> None:
    """Write train and val of CamVid to ``target``, small, in the layout in which they are read.

    Raises ``DataError`` naming what is missing or unlike in the data.
    """
    for split in SPLITS:
        pairs = open_camvid(root, split)
        if missing := pairs.missing_masks():
            raise DataError(f"{missing[0].label_path}: does not exist; every image of '{split}' needs its mask")
        images, masks = target / split, target / f"{split}annot"
        images.mkdir(parents=True)
        masks.mkdir()
        for pair in pairs.pairs:
            assert pair.label_path is not None
            image = Image.fromarray(read_image(pair.image_path))
            name = f"{pair.image_path.stem}.webp"
            image.save(images / name, "WEBP", quality=WEBP_QUALITY, method=6)
            ids = read_mask(pair.label_path)
            if ids.kind == "rgb":
                raise DataError(f"{pair.label_path}: holds colours; CamVid's masks in the SegNet split hold ids")
            Image.fromarray(ids.values).save(masks / f"{pair.image_path.stem}.png", "PNG", optimize=True)
        if len(open_camvid(target, split)) != len(pairs):
            raise DataError(f"{target}: '{split}' does not read back as {len(pairs)} pairs")


def runtime_requirements(pyproject: str) -> list[str]:
    """Name the run-time dependencies that a ``pyproject.toml`` lists and that a training needs beside PyTorch."""
    listed = tomllib.loads(pyproject)["project"]["dependencies"]
    names = [re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in listed]
    return [match[0] for match in names if match and match[0] not in NOT_PACKED]


def download_wheels(target: Path, python_version: str) -> None:
    """Fetch the run-time dependencies and theirs for Linux on x86-64; ``ContextNetError`` when one cannot be had."""
    requirements = runtime_requirements((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    platforms = [part for platform in PLATFORMS for part in ("--platform", f"{platform}_x86_64")]
    options = ["--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--implementation", "cp", *platforms]
    options += ["--python-version", python_version, "--constraint", str(ROOT / "constraints.txt")]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(target), *requirements]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ContextNetError(f"{target}: the wheels cannot be fetched: {reason}; look at the network and the pins")


def measure_folder(name: str, folder: Path) -> Part:
    """Count the files below a folder and their bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return Part(name, len(sizes), sum(sizes))


def measure_tree(root: Path) -> Part:
    """Count the files that a copy of the working tree has: tracked ones and new ones that git does not ignore."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    sizes = [path.stat().st_size for name in listed if name and (path := root / name).is_file()]
    return Part("working tree", len(sizes), sum(sizes))


def render_sizes(parts: list[Part], limit_mib: float) -> tuple[str, bool]:
    """Write the table of what travels, and tell whether it is within the limit."""
    total = Part("together", sum(part.files for part in parts), sum(part.bytes for part in parts))
    rows = [f"{part.name:<14}{part.files:>6} files {part.bytes / 2**20:>7.1f} MiB" for part in [*parts, total]]
    return "\n".join([*rows, f"limit {limit_mib:>27.1f} MiB"]), total.bytes <= limit_mib * 2**20


def main() -> int:
    """Read the command line and pack; give the exit code, 1 when it is more than the limit."""
    parser = argparse.ArgumentParser(description="Pack what a machine without network needs to train.")
    parser.add_argument("--camvid", type=Path, required=True, help="root of CamVid in the SegNet split")
    parser.add_argument("--out", type=Path, default=ROOT / "gpu-pack")
    parser.add_argument("--python-version", default=PYTHON_VERSION, help="the Python of the other machine")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".new-", dir=given.out) as new:
            pack_camvid(given.camvid, Path(new) / "camvid")
            download_wheels(Path(new) / "wheels", given.python_version)
            for name in ("camvid", "wheels"):
                shutil.rmtree(given.out / name, ignore_errors=True)
                (Path(new) / name).rename(given.out / name)
    except ContextNetError as error:
        say(str(error))
        return 2
    parts = [measure_folder(name, given.out / name) for name in ("camvid", "wheels")]
    table, fits = render_sizes([*parts, measure_tree(ROOT)], LIMIT_MIB)
    say(table)
    if not fits:
        say("this is more than one trip takes; carry gpu-pack/camvid and gpu-pack/wheels one after the other")
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
