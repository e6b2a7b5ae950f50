from __future__ import annotations

import numpy as np
import pytest

from contextnet.labels import CAMVID
from contextnet.runtime.drawing import captioned, contact_sheet, overlay, with_legend
from contextnet.runtime.segmentation import Segmentation


def test_overlay_mixes_class_colours_and_leaves_void_alone() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    labels = np.full((4, 4), 3, np.uint8)
    np.testing.assert_array_equal(overlay(image, labels, CAMVID, 0.5)[0, 0], (114, 82, 114))  # road is 128, 64, 128
    labels[:] = 255
    np.testing.assert_array_equal(overlay(image, labels, CAMVID), image)


def test_overlay_draws_boundaries_white() -> None:
    labels = np.zeros((2, 4), np.uint8)
    labels[:, 2:] = 3
    drawn = overlay(np.zeros((2, 4, 3), np.uint8), labels, CAMVID)
    white = (drawn == 255).all(axis=-1)
    np.testing.assert_array_equal(white, [[False, True, False, False]] * 2)


def test_overlay_refuses_other_sizes() -> None:
    with pytest.raises(ValueError, match="must be equal"):
        overlay(np.zeros((2, 4, 3), np.uint8), np.zeros((4, 2), np.uint8), CAMVID)


@pytest.mark.parametrize("width", [1, 37, 480, 2048])
def test_legend_shows_the_colour_of_every_class_present_and_of_no_other(width: int) -> None:
    labels = np.zeros((8, width), np.uint8)
    labels[4:] = 8
    picture = with_legend(np.full((8, width, 3), 250, np.uint8), labels, CAMVID)
    assert picture.shape[1] == width
    legend = {tuple(color) for color in picture[8:].reshape(-1, 3).tolist()}
    if width >= 37:
        assert CAMVID.classes[0].color in legend
        assert CAMVID.classes[8].color in legend
    assert CAMVID.classes[3].color not in legend


def test_contact_sheet_keeps_shapes_and_order() -> None:
    red = np.zeros((10, 20, 3), np.uint8)
    red[..., 0] = 200
    blue = np.zeros((40, 20, 3), np.uint8)
    blue[..., 2] = 200
    sheet = contact_sheet([red, blue, red], columns=2, cell_hw=(20, 20), gap=2)
    assert sheet.shape == (46, 46, 3)
    np.testing.assert_array_equal(sheet[12, 12], (200, 0, 0))
    np.testing.assert_array_equal(sheet[3, 12], (250, 250, 250))  # 10×20 fits the cell's width, not its height
    np.testing.assert_array_equal(sheet[12, 34], (0, 0, 200))
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], 2, (20, 20))


def test_caption_stands_above_the_picture() -> None:
    picture = np.full((30, 200, 3), 7, np.uint8)
    drawn = captioned(picture, "ground truth")
    np.testing.assert_array_equal(drawn[-30:], picture)
    assert (drawn[:-30] < 100).any(), "no ink"


def test_segmentation_translates() -> None:
    labels = np.array([[0, 0, 3], [3, 3, 255]], np.uint8)
    result = Segmentation(labels, CAMVID, 12.5)
    np.testing.assert_array_equal(result.file_ids(), [[0, 0, 3], [3, 3, 11]])
    np.testing.assert_array_equal(result.colors()[1, 2], (0, 0, 0))
