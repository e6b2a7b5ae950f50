"""From weights to a model file that has been held against its source: written only if it computes the same."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage

from contextnet.errors import ContextNetError, ExportError
from contextnet.export.deployable import deployable, fix_size
from contextnet.export.parity import Image, Parity, compare, equal_share, own_tolerance, tolerance
from contextnet.images import MAX_PIXELS
from contextnet.models.network import Network
from contextnet.models.score_field import UpsampledScores, best_classes
from contextnet.models.storage import Weights
from contextnet.runtime.engines.engine import Engine
from contextnet.runtime.engines.opening import installed_engines, open_engine
from contextnet.runtime.model_metadata import ModelMetadata
from contextnet.runtime.onnx_file import OnnxFile, write_onnx_file
from contextnet.runtime.openvino_ir import WEIGHTS_SUFFIX, write_openvino_ir

FORMATS = {"onnx": (".onnx", write_onnx_file), "openvino": (".xml", write_openvino_ir)}
"""Suffix and writer by format. OpenVINO's own format keeps the weights in a second file, NAME.bin."""


@dataclass(frozen=True)
class Target:
    """Where a model file goes and how: ``format`` onnx or openvino; one image size, or None for every size."""

    path: Path
    format: str
    size_hw: tuple[int, int] | None = None


@dataclass(frozen=True)
class Deployment:
    """The files of a finished export, their size together, and how each engine agreed with the source.

    An engine has two parities where it computes in other than float32 by its own choice.
    """

    files: tuple[Path, ...]
    file_bytes: int
    parities: tuple[Parity, ...]


def model_of(
    weights: Weights, graph: onnx.ModelProto, precision: str, quantization: Mapping[str, Any] | None = None
) -> OnnxFile:
    """Make a model of a network's graph: what ``network_graph`` wrote of ``weights``, or its quantized form.

    ``quantization`` tells how the latter was made, and stands in the metadata beside how the weights were trained.
    """
    training = {**weights.training, "quantization": dict(quantization)} if quantization else weights.training
    metadata = ModelMetadata(weights.spec, weights.labels, precision, training, weights.licence)
    return OnnxFile(deployable(graph, weights.spec.size_multiple, stride=weights.spec.output_stride), metadata)


def require_target(target: Target) -> None:
    """Raise ``ContextNetError`` when no file of the size can be used, or none be written there and read again.

    Nor is one written over weights of another origin.
    """
    path, suffix = target.path, FORMATS[target.format][0]
    if target.size_hw is not None and target.size_hw[0] * target.size_hw[1] > MAX_PIXELS:
        size = "×".join(map(str, target.size_hw))
        raise ContextNetError(f"size {size}: an image has at most {MAX_PIXELS} pixels; give a smaller one")
    if path.suffix != suffix:
        raise ContextNetError(f"{path}: a file of this format ends in {suffix}; give --output NAME{suffix}")
    if path.is_dir():
        raise ContextNetError(f"{path}: is a folder; give a file")
    if not path.parent.is_dir():
        raise ContextNetError(f"{path}: its folder does not exist; make it first")
    weights = path.with_suffix(WEIGHTS_SUFFIX)
    if target.format == "openvino" and weights.exists() and not path.exists():
        found = f"exists without {path.name}, so it is no model's, and would be overwritten"
        raise ContextNetError.at(weights, found, "give another --output, or move it away")


def deploy(model: OnnxFile, source: Network, target: Target, images: Sequence[Image]) -> Deployment:
    """Write a model file, compare it with the network that it was made of, in every installed engine, and keep it.

    ``images`` are uint8 (H, W, 3) RGB, and resized where the target has one size. Each engine computes them in float32,
    where not in INT8, and in what it chooses on this CPU. Raises ``ExportError`` when the labels in float32 differ by
    more than ``parity.tolerance`` allows, and by more than ``own_tolerance`` does, and ``ContextNetError`` when the
    target cannot be written; then all is as before.
    """
    require_target(target)
    if not images:
        raise ExportError("an export is compared with its source, and there is no image for that; give at least one")
    if target.size_hw is not None:
        spec = model.metadata.spec
        fixed = fix_size(model.graph, target.size_hw, spec.size_multiple, stride=spec.output_stride)
        model = replace(model, graph=fixed)
        images = [_resized(image, target.size_hw) for image in images]
    reference = _Reference(source, images)
    with _draft_folder(target.path) as folder:
        draft = folder / target.path.name
        FORMATS[target.format][1](draft, model)
        stored, engines = model.metadata.precision, installed_engines(draft)
        parities = tuple(p for name in engines for p in _parities(name, draft, reference, stored))
        files = _put_in_place(draft, target.path)
    return Deployment(files, sum(file.stat().st_size for file in files), parities)


def source_labels(network: Network, images: Sequence[Image]) -> list[NDArray[np.uint8]]:
    """Label images with the network as it was trained: float32, batch norm not folded."""
    with torch.inference_mode():
        return [_label(network, image) for image in images]


@dataclass(frozen=True)
class _Reference:
    """The network that a file was made of, on the images that both label."""

    network: Network
    images: Sequence[Image]

    @cached_property
    def labels(self) -> list[NDArray[np.uint8]]:
        """The network's own labels."""
        return source_labels(self.network, self.images)

    @cached_property
    def own_share(self) -> float:
        """The share of pixels that keep their label when the features lie otherwise in memory, which reorders sums."""
        alike = copy.deepcopy(self.network)
        reordered = alike.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
        return equal_share(source_labels(reordered, self.images), self.labels)


def _parities(engine: str, file: Path, reference: _Reference, stored: str) -> Iterator[Parity]:
    """Compare in float32, which every CPU has, and in the engine's own choice, which users get, where it is another.

    In float32 the file has to agree; what rounding costs in the other is told, and is for its user to decide.
    """
    compared = set()
    for asked in ("fp32", None):
        with closing(open_engine(file, engine=engine, device="cpu", precision=asked).engine) as opened:
            computed = opened.info.precision
            if computed not in compared:
                compared.add(computed)
                label, least = partial(_labels_of, opened), tolerance(stored, computed)
                parity = compare(label, reference.images, reference.labels, engine, computed, least)
                if not parity.is_within and computed == stored == "fp32":
                    parity = replace(parity, tolerance=own_tolerance(reference.own_share))
                if asked is not None:
                    parity.require()
                yield parity


def _labels_of(engine: Engine, image: Image) -> NDArray[np.uint8]:
    labels: NDArray[np.uint8] = engine.submit(image[None]).labels()[0]
    return labels


@contextmanager
def _draft_folder(target: Path) -> Iterator[Path]:
    """Make a folder beside a file, on the same disk, for as long as the file is being made."""
    try:
        folder = tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise _cannot_be_written(target, error) from error
    with folder as name:
        yield Path(name)


def _put_in_place(draft: Path, target: Path) -> tuple[Path, ...]:
    """Move a finished file and what belongs to it beside the target, all or none, and give where they are now.

    When one cannot be moved, those that stood in the place of the others come back.
    """
    # The file that is asked for comes last, so that it is never there without its weights.
    drafts = sorted(draft.parent.iterdir(), key=lambda file: file == draft)
    files = tuple(target.with_name(file.name) for file in drafts)
    try:
        with ExitStack() as undo:
            for new, file in zip(drafts, files, strict=True):
                before, existed = new.with_name(f"{new.name}.before"), file.exists()
                if existed:
                    # A copy, so that at no moment the file of before is missing.
                    shutil.copy2(file, before)
                new.replace(file)
                undo.callback(partial(before.replace, file) if existed else file.unlink)
            undo.pop_all()
    except OSError as error:
        raise _cannot_be_written(target, error) from error
    return files


def _cannot_be_written(target: Path, error: OSError) -> ExportError:
    return ExportError.at(target, f"cannot be written: {error.strerror}", "choose another folder")


def _label(network: Network, image: Image) -> NDArray[np.uint8]:
    # PyTorch takes arrays that may be written to alone, though nothing here does.
    planes = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1).unsqueeze(0)
    labels: NDArray[np.uint8] = best_classes(
        UpsampledScores(network(planes).scores, image.shape[:2], network.spec.output_stride)
    ).numpy()
    return labels


def _resized(image: Image, size_hw: tuple[int, int]) -> Image:
    height, width = size_hw
    if image.shape[:2] == size_hw:
        return image
    return np.asarray(PillowImage.fromarray(image).resize((width, height), PillowImage.Resampling.BILINEAR))
