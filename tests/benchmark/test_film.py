from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from contextnet.benchmark.film import DRAWN_FRAMES, film_street
from contextnet.data.synthetic.dataset import drives_for
from contextnet.errors import ContextNetError


def test_the_drive_goes_there_and_back(tmp_path: Path) -> None:
    path = film_street((63, 128), tmp_path / "film.mp4", frames=2 * DRAWN_FRAMES + 3)
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    images = [picture.to_ndarray(format="rgb24").astype(int) for picture in pictures]
    assert len(images) == 2 * DRAWN_FRAMES + 3
    assert images[0].shape == (64, 128, 3), "an odd side is made even"
    assert [picture.time for picture in pictures] == pytest.approx([i / 25 for i in range(len(pictures))])
    period = 2 * DRAWN_FRAMES - 2
    for index, other in ((0, period), (1, period - 1), (3, period + 3), (4, period - 4)):
        assert np.abs(images[index] - images[other]).mean() < 7
    assert np.abs(images[0] - images[DRAWN_FRAMES - 1]).mean() > 10
    first = drives_for("demo", 1, (63, 128), DRAWN_FRAMES, 25.0)[0].frame(0).image
    assert np.abs(images[0][:62] - first[:62]).mean() < 8


def test_a_size_that_no_street_is_drawn_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContextNetError, match="size 4x4"):
        film_street((4, 4), tmp_path / "film.mp4")
