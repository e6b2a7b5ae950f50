from __future__ import annotations

import numpy as np
import pytest

from contextnet.errors import ExportError
from contextnet.export.parity import Image, Parity, compare, own_tolerance, tolerance


def differing(count: int) -> Image:
    """10,000 labels, of which so many are not those expected."""
    labels = np.zeros((100, 100), np.uint8)
    labels.reshape(-1)[:count] = 1
    return labels


@pytest.mark.parametrize(
    ("least", "wrong", "share"),
    [(0.9999, 0, 1.0), (0.9999, 2, 0.9999), (0.995, 100, 0.995), (0.97, 600, 0.97), (0.97, 200, 0.99)],
)
def test_pixels_of_all_images_count_alike(least: float, wrong: int, share: float) -> None:
    expected = [differing(0), differing(0)]
    answers = iter([differing(wrong), differing(0)])
    found = compare(lambda _: next(answers), expected, expected, "openvino", "bf16", least)
    assert found == Parity("openvino", "bf16", 2, share, least)
    assert found.is_within
    found.require()


@pytest.mark.parametrize(("least", "wrong"), [(0.9999, 3), (0.995, 101), (0.97, 601), (0.97, 10_000)])
def test_more_than_the_tolerance_is_an_error(least: float, wrong: int) -> None:
    expected = [differing(0), differing(0)]
    answers = iter([differing(wrong), differing(0)])
    text = rf"in onnxruntime \(int8\+fp32\) .* of the pixels of 2 images .* at least {least:.2%}; nothing was written"
    found = compare(lambda _: next(answers), expected, expected, "onnxruntime", "int8+fp32", least)
    assert not found.is_within
    with pytest.raises(ExportError, match=text):
        found.require()


def test_the_exported_network_sees_the_images() -> None:
    images = [np.full((2, 3, 3), value, np.uint8) for value in (7, 9)]
    expected = [image[..., 0] for image in images]
    assert compare(lambda image: image[..., 0], images, expected, "openvino", "fp32", 1.0).equal_share == 1


@pytest.mark.parametrize(
    ("stored", "computed", "least"),
    [
        ("fp32", "fp32", 0.9999),
        ("fp32", "bf16", 0.995),
        ("fp16", "fp32", 0.995),
        ("fp16", "bf16", 0.995),
        ("int8", "int8+fp32", 0.97),
        ("int8", "int8+bf16", 0.97),
    ],
)
def test_the_coarser_of_file_and_arithmetic_decides_what_is_tolerated(stored: str, computed: str, least: float) -> None:
    assert tolerance(stored, computed) == least


@pytest.mark.parametrize(
    ("own_share", "least"), [(1.0, 0.9999), (0.99996, 0.9999), (0.9992, 0.9984), (0.9975, 0.995), (0.5, 0.995)]
)
def test_rounding_is_tolerated_as_far_as_the_network_suffers_it_itself(own_share: float, least: float) -> None:
    assert own_tolerance(own_share) == pytest.approx(least, abs=1e-12)
