"""Offsets of the classes' scores with which mIoU on training images is highest.

Cross-entropy makes scores that tell the most probable class. That decides most pixels right; mIoU counts a rare class
as much as a frequent one, and gains where a pixel that is a pole with a probability of a third is labelled as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from contextnet.data.decoding import DecodedSplit
from contextnet.errors import TrainingError
from contextnet.labels import IGNORE_INDEX
from contextnet.models.network import Network
from contextnet.training.messages import value_of_first
from contextnet.training.ranks import ALONE, Ranks

IMAGES = 96
PIXELS_PER_IMAGE = 10_000
REACH, RESOLUTION = 2.0, 0.1
MAX_ROUNDS = 10
LEAST_GAIN = 1e-4


def tune_decision(
    network: Network,
    split: DecodedSplit,
    device: torch.device,
    ranks: Ranks = ALONE,
    is_stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Add the offsets chosen on images spread evenly over ``split`` to the bias of the network's classifier.

    The first process of a distributed run chooses for all. Once ``is_stopping`` it leaves the bias as it is. Raises
    ``TrainingError`` where the classifier has no bias.
    """
    bias = classifier_bias(network)
    offsets = torch.zeros(len(bias))
    if ranks.is_first:
        sample = _sample(network.eval().to(device), split, device, is_stopping)
        offsets = offsets if sample is None else class_offsets(*sample).cpu()
    bias.data += value_of_first(offsets, ranks).to(bias)


def classifier_bias(network: Network) -> nn.Parameter:
    """Give the bias of the network's classifier; raises ``TrainingError`` where it has none, or several."""
    body = getattr(network, "body", network)
    bias = getattr(getattr(body, "classifier", None), "bias", None)
    if not isinstance(bias, nn.Parameter):
        raise TrainingError(
            f"'tune_decision' shifts the bias of the classifier, and '{network.spec.name}' has no such bias; "
            "leave it out"
        )
    return bias


def class_offsets(scores: Tensor, labels: Tensor) -> Tensor:
    """Choose what is added to each class's scores, float (classes,), so that mIoU is highest, one class after another.

    ``scores`` is float (pixels, classes), ``labels`` int64 (pixels,), without void. Each class that is labelled takes
    in its turn the best offset between ± ``REACH``, until none changes; the others keep 0.
    """
    labelled = torch.bincount(labels, minlength=scores.shape[1]) > 0
    offsets = torch.zeros(scores.shape[1], device=scores.device)
    for _ in range(MAX_ROUNDS):
        before = offsets.clone()
        for index in labelled.nonzero().flatten().tolist():
            offsets[index] = _best_offset(scores, labels, offsets, index)
        if torch.equal(offsets, before):
            break
    return offsets


def _best_offset(scores: Tensor, labels: Tensor, offsets: Tensor, index: int) -> float:
    """Find the offset of one class that makes mIoU highest: its own, unless another gains something.

    Every offset's confusion matrix comes from one count of pixels by their label, the class that is highest but for
    this one, and the least offset from which on this one is higher.
    """
    classes = scores.shape[1]
    others = scores + offsets
    others[:, index] = -math.inf
    highest, rival = others.max(dim=1)
    steps = round(REACH / RESOLUTION)
    candidates = torch.arange(-steps, steps + 1, device=scores.device) * RESOLUTION
    won_from = torch.bucketize(highest - scores[:, index], candidates)
    shape = (len(candidates) + 1, classes, classes)
    counts = torch.bincount((won_from * classes + labels) * classes + rival, minlength=math.prod(shape)).reshape(shape)
    won = counts.cumsum(0)[:-1]
    confusion = counts.sum(0) - won
    confusion[:, :, index] += won.sum(2)
    mious = _miou(confusion.double())
    distances = (candidates - offsets[index]).abs()
    if mious.max() <= mious[distances.argmin()] + LEAST_GAIN:
        return float(offsets[index])
    as_good = mious >= mious.max() - LEAST_GAIN
    return float(candidates[distances.where(as_good, math.inf).argmin()])


def _miou(confusion: Tensor) -> Tensor:
    """Average the IoU over the classes that are labelled: (…, label, prediction) to (…)."""
    hits = confusion.diagonal(dim1=-2, dim2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - hits
    seen = confusion.sum(-1) > 0
    return (hits / union.clamp(min=1) * seen).sum(-1) / seen.sum(-1)


@torch.no_grad()
def _sample(
    network: Network, split: DecodedSplit, device: torch.device, is_stopping: Callable[[], bool]
) -> tuple[Tensor, Tensor] | None:
    """Score pixels of a grid on some images: float32 (pixels, classes) and their labels, int64 (pixels,).

    None once ``is_stopping``.
    """
    count = min(IMAGES, len(split))
    scores, labels = [], []
    for place in range(count):
        if is_stopping():
            return None
        image, mask = (pixels[place * len(split) // count].to(device) for pixels in (split.images, split.masks))
        step = math.ceil(math.sqrt(mask.numel() / PIXELS_PER_IMAGE))
        of_pixels = network.full_size_scores(image[None])[0, :, ::step, ::step].float()
        seen = mask[::step, ::step] != IGNORE_INDEX
        scores.append(of_pixels[:, seen].T)
        labels.append(mask[::step, ::step][seen].long())
    return torch.cat(scores), torch.cat(labels)
