"""Score sources for the tests of prediction: a small network that says something, and one whose answers are given."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from contextnet.models.contextnet import ContextNet
from contextnet.models.folding import fold_batch_norm
from contextnet.models.score_field import ScoreField, ScoreSource
from contextnet.spec import variant

CLASSES = 5


def lively_network(seed: int = 0) -> ContextNet:
    """An eighth of cn14's widths, with batch norm that fits its activations and scores of order 1."""
    torch.manual_seed(seed)
    network = ContextNet(variant("cn14", CLASSES, width=0.125))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(noise((128, 128), seed, batch=2))
        network.classifier.weight.normal_(std=0.5)
    return network.eval()


def full_size_scores(network: ContextNet) -> Callable[[Tensor], Tensor]:
    """The network's own scores of every pixel, as a predictor with folded batch norm has to give them."""
    folded = fold_batch_norm(network).to(memory_format=torch.channels_last)

    def scores(image: Tensor) -> Tensor:
        with torch.inference_mode():
            return folded.full_size_scores(image.to(memory_format=torch.channels_last))

    return scores


def noise(size_hw: tuple[int, int], seed: int = 0, batch: int = 1) -> Tensor:
    """Images of random patches, 24 pixels wide, with noise on them: a network sees more than one class in them."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size_hw
    patches = torch.randint(0, 192, (batch, 3, height // 24 + 1, width // 24 + 1), generator=generator)
    grain = torch.randint(0, 64, (batch, 3, height, width), generator=generator)
    enlarged = patches.repeat_interleave(24, dim=-2).repeat_interleave(24, dim=-1)[..., :height, :width]
    return (enlarged + grain).to(torch.uint8)


class GivenScores:
    """A field whose scores are given whole; notes the rows that it was asked for."""

    def __init__(self, scores: Tensor, are_probabilities: bool = False) -> None:
        self._scores = scores
        self.are_probabilities = are_probabilities
        self.size_hw = (scores.shape[-2], scores.shape[-1])
        self.values_per_row = scores.shape[1] * scores.shape[3]
        self.asked: list[tuple[int, int]] = []

    def rows(self, first: int, last: int) -> Tensor:
        self.asked.append((first, last))
        return self._scores[:, :, first:last].clone()


class FunctionSource:
    """A source whose scores, before the soft-max, are a function of the image; notes the images that it was shown."""

    device = torch.device("cpu")

    def __init__(self, scores: Callable[[Tensor], Tensor]) -> None:
        self._scores = scores
        self.shown: list[Tensor] = []

    def field(self, image_13HW: Tensor) -> ScoreField:
        self.shown.append(image_13HW)
        return GivenScores(self._scores(image_13HW.float()))


def whole(source: ScoreSource, image: Tensor) -> Tensor:
    """All the scores of an image at once."""
    with torch.inference_mode():
        field = source.field(image)
        return field.rows(0, field.size_hw[0])


def log_odds_source(*shares: float) -> FunctionSource:
    """Two classes; the k-th image shown has ``shares[k]`` as the probability of class 0 at every pixel."""
    remaining = iter(shares)

    def scores(image: Tensor) -> Tensor:
        share = next(remaining)
        pair = torch.tensor([share, 1 - share]).log()
        return pair[None, :, None, None].expand(1, 2, *image.shape[-2:])

    return FunctionSource(scores)
