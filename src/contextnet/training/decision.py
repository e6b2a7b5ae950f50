"""Offsets of the classes' scores with which mIoU on training images is highest.

Cross-entropy makes scores that tell the most probable class. That decides most pixels right; mIoU counts a rare class
as much as a frequent one, and gains where a pixel that is a pole with a probability of a third is labelled as one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from contextnet.data.decoding import DecodedSplit
from contextnet.errors import TrainingError
from contextnet.labels import IGNORE_INDEX
from contextnet.models.network import Network
from contextnet.training.messages import gather
from contextnet.training.ranks import ALONE, Ranks

IMAGES = 96
PIXELS_PER_IMAGE = 10_000
REACH, RESOLUTION = 2.0, 0.1
MAX_ROUNDS = 10
LEAST_GAIN = 1e-4


def tune_decision(network: Network, split: DecodedSplit, device: torch.device, ranks: Ranks = ALONE) -> None:
    """Add the offsets chosen on images spread evenly over ``split`` to the bias of the network's classifier.

    Every process of a distributed run takes those of the first. Raises ``TrainingError`` where there is no such bias.
    """
    bias = classifier_bias(network)
    offsets = class_offsets(*_sample(network.eval().to(device), split, device))
    bias.data += gather(offsets.cpu(), ranks)[0].to(bias)


def classifier_bias(network: Network) -> nn.Parameter:
    """Give the bias of the network's classifier; raises ``TrainingError`` where it has none."""
    bias = getattr(getattr(network, "classifier", None), "bias", None)
    if not isinstance(bias, nn.Parameter):
        raise TrainingError(
            f"'tune_decision' shifts the bias of the classifier, and that of '{network.spec.name}' has none; "
            "leave it out"
        )
    return bias


def class_offsets(scores: Tensor, labels: Tensor) -> Tensor:
    """Choose what is added to each class's scores, float (classes,), so that mIoU is highest, one class after another.

    ``scores`` is float (pixels, classes), ``labels`` int64 (pixels,), without void. Each class in turn takes the best
    of the offsets around its own, until none changes.
    """
    offsets = torch.zeros(scores.shape[1], device=scores.device)
    for _ in range(MAX_ROUNDS):
        before = offsets.clone()
        for index in range(len(offsets)):
            offsets[index] += _best_shift(scores + offsets, labels, index)
        if torch.equal(offsets, before):
            break
    return offsets


def _best_shift(scores: Tensor, labels: Tensor, index: int) -> float:
    """Find the shift of one class's scores that makes mIoU highest: none, unless it gains something.

    Every shift's confusion matrix comes from one count of pixels by their label, the class that is highest but for this
    one, and the least shift by which this one is higher.
    """
    classes = scores.shape[1]
    others = scores.clone()
    others[:, index] = -math.inf
    highest, rival = others.max(dim=1)
    steps = round(REACH / RESOLUTION)
    shifts = torch.arange(-steps, steps + 1, device=scores.device) * RESOLUTION
    won_from = torch.bucketize(highest - scores[:, index], shifts)
    counts = torch.bincount((won_from * classes + labels) * classes + rival, minlength=(len(shifts) + 1) * classes**2)
    counts = counts.reshape(len(shifts) + 1, classes, classes)
    won = counts.cumsum(0)[:-1]
    confusion = counts.sum(0) - won
    confusion[:, :, index] += won.sum(2)
    mious = _miou(confusion.double())
    best = int(mious.argmax())
    return float(shifts[best]) if mious[best] > mious[steps] + LEAST_GAIN else 0.0


def _miou(confusion: Tensor) -> Tensor:
    """Average the IoU over the classes that are labelled: (…, label, prediction) to (…)."""
    hits = confusion.diagonal(dim1=-2, dim2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - hits
    seen = confusion.sum(-1) > 0
    return (hits / union.clamp(min=1) * seen).sum(-1) / seen.sum(-1)


@torch.no_grad()
def _sample(network: Network, split: DecodedSplit, device: torch.device) -> tuple[Tensor, Tensor]:
    """Score pixels of a grid on some images: float32 (pixels, classes) and their labels, int64 (pixels,)."""
    count = min(IMAGES, len(split))
    scores, labels = [], []
    for place in range(count):
        image, mask = (pixels[place * len(split) // count].to(device) for pixels in (split.images, split.masks))
        step = max(1, math.isqrt(mask.numel() // PIXELS_PER_IMAGE))
        of_pixels = network.full_size_scores(image[None])[0, :, ::step, ::step].float()
        seen = mask[::step, ::step] != IGNORE_INDEX
        scores.append(of_pixels[:, seen].T)
        labels.append(mask[::step, ::step][seen].long())
    return torch.cat(scores), torch.cat(labels)
