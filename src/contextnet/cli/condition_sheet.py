"""A picture of one image under every condition, with a network's labels below it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from contextnet.data.conditions.catalogue import Condition
from contextnet.data.conditions.scaling import Scaling
from contextnet.data.conditions.srgb import Picture
from contextnet.data.sample import SegmentationData
from contextnet.evaluation.predictor import Predictor
from contextnet.evaluation.robustness import under
from contextnet.labels import LabelSet
from contextnet.runtime.drawing import captioned, contact_sheet, overlay, with_legend

COLUMNS = 5
CELL_WIDTH = 480
"""Width of a cell in pixels; its height is that of the tiles in their own shape."""


def condition_sheet(predictor: Predictor, data: SegmentationData, conditions: Sequence[Condition]) -> Picture:
    """Draw the middle sample of a split as it is and under each condition, uint8 (H, W, 3) RGB.

    Each tile is the image as the network sees it, and the labels over it, at the sample's size.
    """
    index = len(data) // 2
    image = data[index].image
    labels = [predictor.labels(image)]
    tiles = [_tile("clean", image, image, labels[0], data.labels)]
    for condition in conditions:
        network, split = under(condition, predictor, data)
        worse = split[index].image
        labels.append(network.labels(worse))
        seen = condition.change.resize(worse) if isinstance(condition.change, Scaling) else worse
        caption = f"{condition.name}, {condition.severity}: {condition.change.describe()}"
        tiles.append(_tile(caption, seen, worse, labels[-1], data.labels))
    height, width, _ = tiles[0].shape
    sheet = contact_sheet(tiles, COLUMNS, (round(CELL_WIDTH * height / width), CELL_WIDTH))
    return with_legend(sheet, np.concatenate(labels), data.labels)


def _tile(caption: str, seen: Picture, image: Picture, labels_HW: Picture, label_set: LabelSet) -> Picture:
    """Put what the network sees above its labels; an image of another size lies on a ground of the sample's size."""
    ground = Image.new("RGB", (image.shape[1], image.shape[0]), (255, 255, 255))
    # A smaller image is put in the middle; of a larger one its middle is seen.
    middle = (image.shape[1] - seen.shape[1]) // 2, (image.shape[0] - seen.shape[0]) // 2
    ground.paste(Image.fromarray(seen), middle)
    below = overlay(image, labels_HW, label_set, opacity=0.7)
    return captioned(np.concatenate([np.asarray(ground), below]), caption)
