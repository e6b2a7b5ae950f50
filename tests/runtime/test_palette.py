from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from contextnet.errors import DataError
from contextnet.labels import CAMVID, LabelSet
from contextnet.runtime.palette import with_palette


def test_named_classes_change_colour_and_nothing_else_does() -> None:
    colors: dict[str, Sequence[int]] = {"road": (1, 2, 3), "car": [0, 255, 0]}
    labels = with_palette(CAMVID, colors)
    expected = CAMVID.palette.copy()
    expected[3], expected[8] = (1, 2, 3), (0, 255, 0)
    np.testing.assert_array_equal(labels.palette, expected)
    np.testing.assert_array_equal(labels.colorize(np.array([[3, 8, 255]], np.uint8)), [expected[[3, 8, 255]]])
    assert with_palette(labels, {"road": CAMVID.classes[3].color, "car": CAMVID.classes[8].color}) == CAMVID
    assert LabelSet.from_json(labels.to_json()) == labels


def test_numpy_colours_become_plain_numbers() -> None:
    color = with_palette(CAMVID, {"sky": tuple(np.array([9, 8, 7], np.uint8))}).classes[0].color
    assert color == (9, 8, 7)
    assert {type(part) for part in color} == {int}


@pytest.mark.parametrize(
    ("name", "color", "message"),
    [
        ("raod", (1, 2, 3), "label set 'camvid' has no class 'raod'; the nearest is 'road'"),
        ("road", (1, 2), r"class 'road' is given the colour \(1, 2\); give red, green and blue, 0 to 255 each"),
        ("road", (1, 2, 3, 4), "class 'road' is given the colour"),
        ("road", (0, 0, 256), "class 'road' is given the colour"),
        ("road", (-1, 0, 0), "class 'road' is given the colour"),
        ("road", (0.5, 0, 0), "class 'road' is given the colour"),
        ("road", (True, 0, 0), "class 'road' is given the colour"),
        ("road", "red", "class 'road' is given the colour 'red'"),
    ],
)
def test_refuses_by_class(name: str, color: Sequence[int], message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}"):
        with_palette(CAMVID, {"sky": (1, 1, 1), name: color})
