"""The label of every pixel, and its probability, from a network's scores at 1/8.

A pixel's scores are those of the cells enlarged by 8: bilinear, half-pixel centres, edges held. Its label is the class
with the highest. Between the centres of four neighbouring cells lies a block of 8×8 pixels, where the score of every
class is a mean of its scores at these four corners, with the same weights for all classes. So

* a class that leads at all four corners leads in the whole block, and nothing is enlarged: true of most blocks;
* elsewhere no class falls below its least corner or rises above its greatest. Only a class whose greatest corner
  reaches the highest of all least corners can lead somewhere: two or three contend in most of these blocks.

The outermost cells are repeated beyond the edge. There are (h + 1)×(w + 1) blocks, and the image begins half a block
inside the first.

Shapes: C classes; h, w cells; H, W pixels; K blocks worked on together; 4 corners and P = 64 pixels of a block, both
row by row; N of the K blocks, the first ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from contextnet.labels import IGNORE_INDEX
from contextnet.spec import OUTPUT_STRIDE as SIDE

Scores = NDArray[np.float32] | NDArray[np.float16]
Indices = NDArray[np.intp]

_SHARE = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
_ALONG = np.stack([1 - _SHARE, _SHARE])
_WEIGHTS_4P = np.einsum("ay,bx->abyx", _ALONG, _ALONG).reshape(4, SIDE * SIDE)
"""How much of each corner is in each pixel; exact in float32."""

_BLOCKS_TOGETHER = 1024
"""Many share what a NumPy call costs; with more, OpenBLAS starts threads for products that take microseconds."""

_ENLARGED_SCORES = 1 << 18
"""Scores of pixels held at a time where all classes are enlarged: 1 MiB of float32."""

_Value = TypeVar("_Value", np.uint8, np.float32)


def label_scores(scores_Chw: Scores, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Give each pixel the class with the highest score, uint8 (H, W); the lowest of classes that are equal.

    ``scores_Chw`` holds finite scores of 1 to 254 classes; ``size_hw``, at most 8h×8w, is the image's size without
    the padding at its bottom and right. Pixels that a NaN reaches are labelled 0. Raises ``ValueError`` when classes,
    cells and size do not fit.
    """
    scores_Chw = _checked(scores_Chw, size_hw)
    leaders = np.pad(_leaders(scores_Chw), 1, mode="edge")
    corner = leaders[:-1, :-1]
    contested = (corner != leaders[:-1, 1:]) | (corner != leaders[1:, :-1]) | (corner != leaders[1:, 1:])
    # One row of a block is eight labels, which NumPy writes far faster as one number.
    blocks = np.empty((contested.shape[0], SIDE, contested.shape[1]), np.uint64)
    blocks[:] = (corner * np.uint64(0x0101010101010101))[:, None]
    for rows, columns in _chunks(np.flatnonzero(contested), contested.shape[1], _BLOCKS_TOGETHER):
        contest = _contest(_corners(scores_Chw, rows, columns))
        blocks[rows[contest.order], :, columns[contest.order]] = _winners(contest).view(np.uint64)
    return np.ascontiguousarray(_image(blocks.view(np.uint8), size_hw))


def confidence_of(scores_Chw: Scores, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Give the probability of each pixel's label, the soft-max of its scores, float32 (H, W) of 0 to 1.

    Arguments and errors are those of ``label_scores``; pixels that a NaN reaches are NaN. Nearly every class counts
    in nearly every block, so all are enlarged, a few blocks at a time. The result is not contiguous.
    """
    scores_Chw = _checked(scores_Chw, size_hw)
    classes, height, width = scores_Chw.shape
    blocks = np.empty((height + 1, SIDE, width + 1, SIDE), np.float32)
    together = min(_BLOCKS_TOGETHER, max(1, _ENLARGED_SCORES // (classes * SIDE * SIDE)))
    for rows, columns in _chunks(np.arange((height + 1) * (width + 1)), width + 1, together):
        pixels_CPK = _WEIGHTS_4P.T @ _corners(scores_Chw, rows, columns)
        pixels_CPK -= pixels_CPK.max(axis=0)
        confidence_PK = 1 / np.exp(pixels_CPK, out=pixels_CPK).sum(axis=0)
        blocks[rows, :, columns] = confidence_PK.T.reshape(-1, SIDE, SIDE)
    return _image(blocks, size_hw)


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


def _winners(contest: _Contest) -> NDArray[np.uint8]:
    """Label the pixels of a contest's blocks, uint8 (K, P).

    Scores are taken relative to the first contender's, which then need not be enlarged.
    """
    labels_KP = np.zeros((len(contest.order), SIDE * SIDE), np.uint8)
    best_KP = np.zeros(labels_KP.shape, np.float32)
    classes, first_corners = contest.contender(0)
    # A NaN leaves a block at the end without a contender and with the label 0.
    labels_KP[: len(classes)] = classes[:, None]
    for rank in range(1, contest.counts[0]):
        classes, corners = contest.contender(rank)
        block_count = len(classes)
        lead_NP = (corners - first_corners[:block_count]) @ _WEIGHTS_4P
        best_NP, labels_NP = best_KP[:block_count], labels_KP[:block_count]
        # Contenders come in ascending order, so the higher of two labels is the later one.
        np.maximum(labels_NP, (lead_NP > best_NP) * classes[:, None].astype(np.uint8), out=labels_NP)
        np.maximum(best_NP, lead_NP, out=best_NP)
    return labels_KP


def _checked(scores_Chw: Scores, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Hold classes, cells and size to fit together, and give the scores as contiguous float32."""
    classes, height, width = scores_Chw.shape
    if not 1 <= classes < IGNORE_INDEX:
        raise ValueError(f"scores of {classes} classes; 1 to {IGNORE_INDEX - 1} have labels")
    if not (1 <= size_hw[0] <= SIDE * height and 1 <= size_hw[1] <= SIDE * width):
        raise ValueError(f"an image of {size_hw} from {height}×{width} cells; a cell is {SIDE}×{SIDE} pixels")
    return np.ascontiguousarray(scores_Chw, np.float32)


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


def _image(blocks: NDArray[_Value], size_hw: tuple[int, int]) -> NDArray[_Value]:
    """Cut the image out of blocks, which are one after another row by row of pixels."""
    begin = SIDE // 2
    return blocks.reshape(len(blocks) * SIDE, -1)[begin : begin + size_hw[0], begin : begin + size_hw[1]]
