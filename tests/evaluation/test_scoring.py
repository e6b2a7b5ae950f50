from __future__ import annotations

from typing import Any

import pytest

from contextnet.errors import ContextNetError
from contextnet.evaluation import Scoring

PLAIN = {"scales": [1.0], "flip": False, "window": None, "overlap": None}


@pytest.mark.parametrize(
    ("scoring", "words", "values", "is_multi_view"),
    [
        (Scoring(), "scale 1", PLAIN, False),
        (Scoring(flip=True), "scale 1, flipped", {**PLAIN, "flip": True}, True),
        (Scoring((0.75, 1.25)), "scales 0.75, 1.25", {**PLAIN, "scales": [0.75, 1.25]}, True),
        (
            Scoring((2.0,), True, (512, 1024), 0.5),
            "scale 2, flipped, windows 512x1024 with overlap 0.5",
            {"scales": [2.0], "flip": True, "window": [512, 1024], "overlap": 0.5},
            True,
        ),
        (
            Scoring(window_hw=(32, 32)),
            "scale 1, windows 32x32 with overlap 0.33",
            {**PLAIN, "window": [32, 32], "overlap": 0.33},
            False,
        ),
    ],
)
def test_says_how_images_are_shown(scoring: Scoring, words: str, values: dict[str, Any], is_multi_view: bool) -> None:
    assert scoring.describe() == words
    assert scoring.to_json() == values
    assert scoring.is_multi_view is is_multi_view


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "^scales: 0 of them; give 1 to 16"),
        ({"scales": tuple(1 + i / 100 for i in range(17))}, "^scales: 17 of them; give 1 to 16"),
        ({"scales": (1.0, 0.05)}, "^scales: 0.05 is out of range; a scale is 0.1 to 4"),
        ({"scales": (4.1,)}, "^scales: 4.1 is out of range"),
        ({"scales": (float("nan"),)}, "^scales: nan is out of range"),
        ({"scales": (1.0, 0.5, 1.0)}, "^scales: 1 stands twice"),
        ({"window_hw": (31, 64)}, "^window 31x64: a window is at least 32x32"),
        ({"overlap": -0.1}, "^overlap: -0.1 is out of range; it is 0 to 0.9"),
        ({"overlap": 0.95}, "^overlap: 0.95 is out of range"),
    ],
)
def test_refuses_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ContextNetError, match=message):
        Scoring(**options)
