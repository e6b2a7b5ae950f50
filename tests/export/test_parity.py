from __future__ import annotations

import numpy as np
import pytest

from contextnet.errors import ExportError
from contextnet.export.parity import TOLERANCES, Image, Parity, compare


def differing(count: int) -> Image:
    """10,000 labels, of which so many are not those expected."""
    labels = np.zeros((100, 100), np.uint8)
    labels.reshape(-1)[:count] = 1
    return labels


@pytest.mark.parametrize(
    ("precision", "wrong", "share"),
    [("fp32", 0, 1.0), ("fp32", 2, 0.9999), ("fp16", 100, 0.995), ("int8", 600, 0.97), ("int8", 200, 0.99)],
)
def test_pixels_of_all_images_count_alike(precision: str, wrong: int, share: float) -> None:
    expected = [differing(0), differing(0)]
    answers = iter([differing(wrong), differing(0)])
    found = compare(lambda _: next(answers), expected, expected, "openvino", precision)
    assert found == Parity("openvino", precision, 2, share, TOLERANCES[precision])


@pytest.mark.parametrize(("precision", "wrong"), [("fp32", 3), ("fp16", 101), ("int8", 601), ("int8", 10_000)])
def test_more_than_the_tolerance_is_an_error(precision: str, wrong: int) -> None:
    expected = [differing(0), differing(0)]
    answers = iter([differing(wrong), differing(0)])
    text = rf"in onnxruntime \({precision}\) .* of the pixels of 2 images .* nothing was written"
    with pytest.raises(ExportError, match=text):
        compare(lambda _: next(answers), expected, expected, "onnxruntime", precision)


def test_the_exported_network_sees_the_images() -> None:
    images = [np.full((2, 3, 3), value, np.uint8) for value in (7, 9)]
    expected = [image[..., 0] for image in images]
    assert compare(lambda image: image[..., 0], images, expected, "openvino", "fp32").equal_share == 1
