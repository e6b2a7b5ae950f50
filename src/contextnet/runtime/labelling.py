"""The label of every pixel, and its probability, from a network's scores, one for every cell of 8×8 pixels.

A pixel's scores are those of the cells enlarged by 8: bilinear, half-pixel centres, edges held. Its label is the class
with the highest. Between the centres of four neighbouring cells lies a block of 8×8 pixels, where the score of every
class is a mean of its scores at these four corners, with the same weights for all classes. So

* a class that leads at all four corners leads in the whole block, and nothing is enlarged: true of most blocks;
* elsewhere no class falls below its least corner or rises above its greatest. Only a class whose greatest corner
  reaches the highest of all least corners can lead somewhere: two or three contend in most of these blocks.

The outermost cells are repeated beyond the edge. There are (h + 1)×(w + 1) blocks, and the image begins half a block
inside the first. Networks whose cells are of 4×4 pixels have blocks as small; where every pixel has scores of its own,
nothing is between.

Shapes: C classes; h, w cells; H, W pixels; S the stride, pixels along a cell; K blocks worked on together; 4 corners
and P = S² pixels of a block, both row by row; N of the K blocks, the first ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from contextnet.labels import IGNORE_INDEX
from contextnet.runtime.score_grid import require_fit

Scores = NDArray[np.float32] | NDArray[np.float16]
Indices = NDArray[np.intp]

_ROWS: dict[int, Any] = {4: np.uint32, 8: np.uint64}
"""The number that a row of a block's labels is written as, by the stride."""

_BLOCKS_TOGETHER = 1024
"""Many share what a NumPy call costs; with more, OpenBLAS starts threads for products that take microseconds."""

_ENLARGED_SCORES = 1 << 18
"""Scores of pixels held at a time where all classes are enlarged: 1 MiB of float32."""

_Value = TypeVar("_Value", np.uint8, np.float32)


def label_scores(scores_Chw: Scores, size_hw: tuple[int, int], stride: int) -> NDArray[np.uint8]:
    """Give each pixel the class with the highest score, uint8 (H, W); the lowest of classes that are equal.

    ``scores_Chw`` holds finite scores of 1 to 254 classes; ``size_hw``, at most Sh×Sw, is the image's size without
    the padding at its bottom and right; ``stride``, S, is 1, 4 or 8. Pixels that a NaN reaches are labelled 0. Raises
    ``ValueError`` for other numbers of classes, and when cells, size and stride do not fit together.
    """
    scores_Chw = _checked(scores_Chw, size_hw, stride)
    if stride == 1:
        image_CHW = scores_Chw[:, : size_hw[0], : size_hw[1]]
        return np.concatenate([_leaders(np.ascontiguousarray(band)) for band in _bands(image_CHW)])
    leaders = np.pad(_leaders(scores_Chw), 1, mode="edge")
    corner = leaders[:-1, :-1]
    contested = (corner != leaders[:-1, 1:]) | (corner != leaders[1:, :-1]) | (corner != leaders[1:, 1:])
    # One row of a block is four or eight labels, which NumPy writes far faster as one number.
    row_type = _ROWS[stride]
    blocks = np.empty((contested.shape[0], stride, contested.shape[1]), row_type)
    blocks[:] = (corner * row_type(np.iinfo(row_type).max // 0xFF))[:, None]
    for rows, columns in _chunks(np.flatnonzero(contested), contested.shape[1], _BLOCKS_TOGETHER):
        contest = _contest(_corners(scores_Chw, rows, columns))
        blocks[rows[contest.order], :, columns[contest.order]] = _winners(contest, stride).view(row_type)
    return np.ascontiguousarray(_image(blocks.view(np.uint8), size_hw, stride))


def confidence_of(scores_Chw: Scores, size_hw: tuple[int, int], stride: int) -> NDArray[np.float32]:
    """Give the probability of each pixel's label, the soft-max of its scores, float32 (H, W) of 0 to 1.

    Arguments and errors are those of ``label_scores``; pixels that a NaN reaches are NaN. Nearly every class counts
    in nearly every block, so all are enlarged, a few blocks at a time. The result is not contiguous.
    """
    scores_Chw = _checked(scores_Chw, size_hw, stride)
    classes, height, width = scores_Chw.shape
    if stride == 1:
        return np.concatenate([_confidence(band.copy()) for band in _bands(scores_Chw[:, : size_hw[0], : size_hw[1]])])
    blocks = np.empty((height + 1, stride, width + 1, stride), np.float32)
    together = min(_BLOCKS_TOGETHER, max(1, _ENLARGED_SCORES // (classes * stride * stride)))
    for rows, columns in _chunks(np.arange((height + 1) * (width + 1)), width + 1, together):
        confidence_PK = _confidence(_corner_weights(stride).T @ _corners(scores_Chw, rows, columns))
        blocks[rows, :, columns] = confidence_PK.T.reshape(-1, stride, stride)
    return _image(blocks, size_hw, stride)


def _bands(image_CHW: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Cut the scores of pixels into bands of rows that the processor's cache holds."""
    classes, height, width = image_CHW.shape
    rows = max(1, _ENLARGED_SCORES // (classes * width))
    for top in range(0, height, rows):
        yield image_CHW[:, top : top + rows]


def _confidence(scores_C: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the soft-max of the best class along the first axis, without that axis; the scores are written over."""
    scores_C -= scores_C.max(axis=0)
    confidence: NDArray[np.float32] = 1 / np.exp(scores_C, out=scores_C).sum(axis=0)
    return confidence


@cache
def _corner_weights(stride: int) -> NDArray[np.float32]:
    """Give how much of each corner is in each pixel of a block, float32 (4, P); exact."""
    share = (np.arange(stride, dtype=np.float32) + 0.5) / stride
    along = np.stack([1 - share, share])
    weights_4P: NDArray[np.float32] = np.einsum("ay,bx->abyx", along, along).reshape(4, stride * stride)
    return weights_4P


@dataclass(frozen=True, eq=False)
class _Contest:
    """Which classes may lead somewhere in each of K blocks, the blocks with the most of them first.

    ``corners`` are the scores (C, 4, K) at the blocks' corners, and ``order`` the places of the blocks in them.
    ``contenders`` holds the classes of one block after another, each block's in ascending order: ``counts`` classes
    from ``starts`` on.
    """

    corners: NDArray[np.float32]
    order: Indices
    counts: Indices
    starts: Indices
    contenders: Indices

    def contender(self, rank: int) -> tuple[Indices, NDArray[np.float32]]:
        """Give the class of this rank from 0 in the first N blocks, those that have one, and its corners (N, 4)."""
        having = np.count_nonzero(self.counts > rank)
        classes_N = self.contenders[self.starts[:having] + rank]
        return classes_N, self.corners[classes_N, :, self.order[:having]]


def _contest(corners_C4K: NDArray[np.float32]) -> _Contest:
    """Find the classes whose greatest corner reaches the highest of all least corners, block by block."""
    contending_CK = corners_C4K.max(axis=1) >= corners_C4K.min(axis=1).max(axis=0)
    counts = contending_CK.sum(axis=0, dtype=np.uint8)
    order = np.argsort(counts, kind="stable")[::-1]
    counts_K = counts[order].astype(np.intp)
    contenders = np.nonzero(contending_CK.T[order])[1]
    return _Contest(corners_C4K, order, counts_K, np.cumsum(counts_K) - counts_K, contenders)


def _winners(contest: _Contest, stride: int) -> NDArray[np.uint8]:
    """Label the pixels of a contest's blocks, uint8 (K, P).

    Scores are taken relative to the first contender's, which then need not be enlarged.
    """
    weights_4P = _corner_weights(stride)
    labels_KP = np.zeros((len(contest.order), stride * stride), np.uint8)
    best_KP = np.zeros(labels_KP.shape, np.float32)
    classes, first_corners = contest.contender(0)
    # A NaN leaves a block at the end without a contender and with the label 0.
    labels_KP[: len(classes)] = classes[:, None]
    for rank in range(1, contest.counts[0]):
        classes, corners = contest.contender(rank)
        block_count = len(classes)
        lead_NP = (corners - first_corners[:block_count]) @ weights_4P
        best_NP, labels_NP = best_KP[:block_count], labels_KP[:block_count]
        # Contenders come in ascending order, so the higher of two labels is the later one.
        np.maximum(labels_NP, (lead_NP > best_NP) * classes[:, None].astype(np.uint8), out=labels_NP)
        np.maximum(best_NP, lead_NP, out=best_NP)
    return labels_KP


def _checked(scores_Chw: Scores, size_hw: tuple[int, int], stride: int) -> NDArray[np.float32]:
    """Hold classes, cells and size to fit together, and give the scores as float32, contiguous unless S is 1."""
    classes, height, width = scores_Chw.shape
    if not 1 <= classes < IGNORE_INDEX:
        raise ValueError(f"scores of {classes} classes; 1 to {IGNORE_INDEX - 1} have labels")
    require_fit((height, width), size_hw, stride)
    # Where every pixel has its own, they are put in order band by band.
    return np.asarray(scores_Chw, np.float32, order=None if stride == 1 else "C")


def _leaders(scores_Chw: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Give each cell's best class, uint8 (h, w), as ``argmax`` would in four times the time; 0 where there is a NaN."""
    best_hw = scores_Chw.max(axis=0)
    leaders_hw = np.zeros(best_hw.shape, np.uint8)
    for train_id in reversed(range(len(scores_Chw))):
        np.copyto(leaders_hw, np.uint8(train_id), where=scores_Chw[train_id] == best_hw)
    return leaders_hw


def _chunks(blocks: Indices, per_row: int, length: int) -> Iterator[tuple[Indices, Indices]]:
    """Give the rows and columns of blocks, which are counted row by row, ``length`` at a time."""
    for first in range(0, len(blocks), length):
        yield np.divmod(blocks[first : first + length], per_row)


def _corners(scores_Chw: NDArray[np.float32], rows: Indices, columns: Indices) -> NDArray[np.float32]:
    """Give the scores at the corners of blocks (C, 4, K); the first of block (i, j) is cell (i - 1, j - 1)."""
    classes, height, width = scores_Chw.shape
    above, below = np.maximum(rows - 1, 0) * width, np.minimum(rows, height - 1) * width
    left, right = np.maximum(columns - 1, 0), np.minimum(columns, width - 1)
    cells_4K = np.stack([above + left, above + right, below + left, below + right])
    # No cell is out of range; "clip" only spares looking.
    return scores_Chw.reshape(classes, -1).take(cells_4K, axis=1, mode="clip")


def _image(blocks: NDArray[_Value], size_hw: tuple[int, int], stride: int) -> NDArray[_Value]:
    """Cut the image out of blocks, which are one after another row by row of pixels."""
    begin = stride // 2
    return blocks.reshape(len(blocks) * stride, -1)[begin : begin + size_hw[0], begin : begin + size_hw[1]]
