"""Images paired with their masks: the one reader that every data set on disk is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contextnet.data.mask_colors import UNKNOWN_COLOR, MaskColors
from contextnet.data.numbering import wrong_numbering
from contextnet.data.sample import Sample
from contextnet.errors import DataError
from contextnet.images import MaskFile, read_image, read_instances, read_mask
from contextnet.labels import LabelSet


@dataclass(frozen=True)
class Pair:
    """Where one image and its ground truth stand.

    ``label_path`` is where the mask is expected, whether or not it exists, and None in a split without ground truth.
    """

    image_path: Path
    label_path: Path | None = None
    instances_path: Path | None = None


@dataclass(frozen=True)
class PairedFiles:
    """One split of a data set on disk; ``data[i]`` reads pair i. It follows ``SegmentationData``.

    ``numbering`` is the label set whose file ids the mask files hold: ``labels`` itself, or its twin from
    ``train_id_numbering`` where masks hold train ids already. With ``colors`` masks are read by their colours instead,
    however they are stored. ``orphans`` are the masks that no image claims.
    """

    name: str
    labels: LabelSet
    licence: str
    pairs: tuple[Pair, ...]
    numbering: LabelSet
    orphans: tuple[Path, ...] = ()
    colors: MaskColors | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Read sample ``index``. Raises ``DataError`` naming the file or the pair that cannot be used."""
        pair = self.pairs[index]
        image = read_image(pair.image_path)
        if pair.label_path is None:
            return Sample(image, None, pair.image_path)
        if not pair.label_path.exists():
            raise missing_mask(pair)
        label, mask_ids = self._read_label(pair.label_path)
        instances = None if pair.instances_path is None else read_instances(pair.instances_path)
        for truth, path in ((label, pair.label_path), (instances, pair.instances_path)):
            if truth is not None and truth.shape != image.shape[:2]:
                raise size_mismatch(pair.image_path, image.shape, path, truth.shape)
        return Sample(image, label, pair.image_path, pair.label_path, instances, mask_ids)

    def _read_label(self, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Read a mask as train ids (uint8, H × W), and the ids as its file holds them unless it holds colours."""
        if self.colors is not None:
            return encode_colors(read_image(path), path, self.colors), None
        mask = read_mask(path)
        return encode_mask(mask, path, self.numbering, self.labels), mask.values

    def without_instances(self) -> PairedFiles:
        """Give the same split with its instance masks left unread, as training wants it."""
        return replace(self, pairs=tuple(replace(pair, instances_path=None) for pair in self.pairs))

    def missing_masks(self) -> tuple[Pair, ...]:
        """List the pairs whose expected mask is not there."""
        return tuple(p for p in self.pairs if p.label_path is not None and not p.label_path.exists())


def encode_mask(mask: MaskFile, path: Path, numbering: LabelSet, labels: LabelSet) -> NDArray[np.uint8]:
    """Turn a mask as stored into train ids (uint8, H × W) with 255 for void.

    Raises ``DataError`` naming the file when it is an RGB mask or holds ids that ``numbering`` does not know.
    """
    if mask.kind == "rgb":
        raise rgb_mask(mask, path)
    try:
        return numbering.encode(mask.values)
    except DataError as error:
        counts = np.bincount(mask.values.ravel(), minlength=256)
        suspicion = wrong_numbering(counts, numbering, labels)
        hint = f"; {suspicion.detail}: {suspicion.remedy}" if suspicion else ""
        raise DataError(f"{path}: {error}{hint}") from None


def encode_colors(mask: NDArray[np.uint8], path: Path, colors: MaskColors) -> NDArray[np.uint8]:
    """Turn an RGB mask (uint8, H × W × 3) into train ids (uint8, H × W) with 255 for void.

    Raises ``DataError`` naming the file, the colours and their pixels where some stand nowhere.
    """
    train_ids = colors.look_up(mask)
    if np.any(train_ids == UNKNOWN_COLOR):
        raise unknown_colors(mask, train_ids, path, colors)
    return train_ids


def unknown_colors(mask: NDArray[np.uint8], train_ids: NDArray[np.uint8], path: Path, colors: MaskColors) -> DataError:
    """Make the error that names the colours of a mask that stand nowhere, where ``look_up`` gave ``train_ids``."""
    return DataError.at(path, colors.unknown_text(mask, train_ids), "add them to a class's colors or to void_colors")


def rgb_mask(mask: MaskFile, path: Path) -> DataError:
    """Make the error that names an RGB mask and its kind: grey stored three times, or colours."""
    values = mask.values
    found = "is an RGB mask, colours where ids are expected"
    if np.array_equal(values[..., 0], values[..., 1]) and np.array_equal(values[..., 0], values[..., 2]):
        found = "is an RGB mask with three equal channels where ids are expected"
    return DataError.at(
        path,
        found,
        "save each mask as a one-channel PNG that holds class ids, or read it by its colours: "
        "'contextnet data check' proposes the label set",
    )


def missing_mask(pair: Pair) -> DataError:
    """Make the error that names an image whose mask is missing, and where the mask is expected."""
    found = f"has no mask: {pair.label_path} does not exist"
    return DataError.at(pair.image_path, found, "add the mask or remove the image")


def size_mismatch(
    image_path: Path, image_shape: tuple[int, ...], mask_path: Path | None, mask_shape: tuple[int, ...]
) -> DataError:
    """Make the error that names an image and a mask of different size; the shapes begin with height and width."""
    (ih, iw), (mh, mw) = image_shape[:2], mask_shape[:2]
    found = f"is {ih}×{iw} (height × width) but its mask {mask_path} is {mh}×{mw}"
    return DataError.at(image_path, found, "bring both to one size")
