"""Colours to train ids: every colour by a plain dictionary, what is unknown, and counting."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextnet.data import check_split, open_data
from contextnet.data.mask_colors import (
    UNKNOWN_COLOR,
    MaskColors,
    count_colors,
    pack_color,
    pack_colors,
    unpack_color,
)
from contextnet.errors import DataError, ImageError
from contextnet.images import write_png

GROUND, PERSON, RED, BLACK, STRAY = (128, 64, 128), (220, 20, 60), (255, 0, 0), (0, 0, 0), (1, 2, 3)
COLORS = MaskColors(((GROUND,), (PERSON, RED)), (BLACK,))
YAML = (
    "name: yard\nencoding: color\nclasses:\n  - {name: ground, color: [128, 64, 128]}\n"
    "  - {name: person, color: [220, 20, 60], colors: [[255, 0, 0]]}\nvoid_colors: [[0, 0, 0]]\n"
)
MASK = np.array([[GROUND, PERSON, RED], [BLACK, GROUND, GROUND]], np.uint8)
TRAIN_IDS = [[0, 1, 1], [255, 0, 0]]


def test_colours_are_looked_up() -> None:
    assert COLORS.look_up(MASK).tolist() == TRAIN_IDS
    # Channels in another order, and neighbours of known colours, are other colours.
    others = np.array([[(128, 128, 64), (129, 64, 128), (128, 64, 127), (0, 0, 255)]], np.uint8)
    assert COLORS.look_up(others).tolist() == [[UNKNOWN_COLOR] * 4]


def test_every_class_and_void_as_a_dictionary_says() -> None:
    random = np.random.default_rng(3)
    packed = random.choice(1 << 24, 3 * 254 + 5, replace=False).tolist()
    triples = [unpack_color(p) for p in packed]
    colors = MaskColors(tuple(tuple(triples[3 * i : 3 * i + 3]) for i in range(254)), tuple(triples[762:765]))
    meaning = {c: i // 3 if i < 762 else 255 for i, c in enumerate(triples[:765])} | dict.fromkeys(triples[765:], 254)
    drawn = random.integers(0, 765, (40, 30))
    mask = np.array(triples, np.uint8)[drawn]
    expected = [[meaning[tuple(color)] for color in row] for row in mask.tolist()]
    assert colors.look_up(mask).tolist() == expected
    # Train id 253 is the last that is possible, and it is not taken for an unknown colour.
    assert 253 in np.unique(colors.look_up(mask))


@pytest.mark.parametrize(
    ("by_class", "void", "error"),
    [
        ((), (), "0 classes given"),
        (((GROUND,),) * 255, (), "255 classes given"),
        (((GROUND,), ()), (), "class 1 has no mask colour"),
        (((GROUND,), (GROUND,)), (), r"\[128, 64, 128\] stands twice"),
        (((GROUND,),), (GROUND,), r"\[128, 64, 128\] stands twice"),
        ((((256, 0, 0),),), (), r"\[256, 0, 0\]: red, green and blue are 0 to 255"),
    ],
)
def test_tables_that_cannot_be_are_refused(by_class: tuple, void: tuple, error: str) -> None:
    with pytest.raises(DataError, match=error):
        MaskColors(by_class, void)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (1, 200)])
@pytest.mark.parametrize("spread", [1, 3, 1 << 24])
def test_colours_are_counted_as_one_by_one(shape: tuple[int, int], spread: int) -> None:
    packed = np.random.default_rng(spread).integers(0, spread, shape).astype(np.uint32)
    expected: dict[int, int] = {}
    for value in packed.ravel().tolist():
        expected[value] = expected.get(value, 0) + 1
    assert count_colors(packed) == expected


def test_nothing_has_no_colours() -> None:
    assert count_colors(np.zeros(0, np.uint32)) == {}


def test_packing_keeps_the_channels_apart() -> None:
    assert pack_color((1, 2, 3)) == 0x010203
    assert unpack_color(0xFF00FE) == (255, 0, 254)
    assert pack_colors(np.array([[(1, 2, 3), (255, 0, 254)]], np.uint8)).tolist() == [[0x010203, 0xFF00FE]]


def test_a_full_mask_is_decoded_in_under_60_ms() -> None:
    blocks = np.random.default_rng(0).integers(0, 3, (64, 128))
    mask = np.array([GROUND, PERSON, BLACK], np.uint8)[blocks].repeat(16, axis=0).repeat(16, axis=1)
    assert mask.shape == (1024, 2048, 3)
    COLORS.look_up(mask)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        COLORS.look_up(mask)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.060


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "labels.yaml").write_text(YAML)
    for folder, pixels in (("images", np.zeros((2, 3, 3), np.uint8)), ("masks", MASK)):
        (tmp_path / folder).mkdir()
        write_png(tmp_path / folder / "a.png", pixels)
    return tmp_path


def _as_palette(path: Path) -> None:
    # Indices in an order of their own: the colours alone count.
    image = Image.new("P", (3, 2))
    image.putpalette([*BLACK, *RED, *GROUND, *PERSON])
    image.putdata([2, 3, 1, 0, 2, 2])
    image.save(path)


def _with_alpha(path: Path) -> None:
    alpha = np.array([[0, 9, 255], [0, 0, 255]], np.uint8)
    Image.fromarray(np.concatenate([MASK, alpha[..., None]], axis=-1)).save(path)


def test_samples_of_colour_coded_masks(root: Path) -> None:
    sample = open_data(f"folder:{root}", "all")[0]
    assert sample.label is not None
    assert sample.label.tolist() == TRAIN_IDS
    assert sample.mask_ids is None


@pytest.mark.parametrize("store", [_as_palette, _with_alpha])
def test_colours_are_read_however_they_are_stored(root: Path, store: object) -> None:
    assert callable(store)
    store(root / "masks" / "a.png")
    data = open_data(f"folder:{root}", "all")
    assert data[0].label.tolist() == TRAIN_IDS
    report = check_split(data)
    assert not report.problems
    assert report.mask_kinds == {"colors": 1}


def test_check_counts_classes_void_and_unknown_colours(root: Path) -> None:
    data = open_data(f"folder:{root}", "all")
    report = check_split(data)
    assert not report.problems
    assert ([c.pixels for c in report.classes], report.void_pixels, report.unknown_pixels) == ([3, 2], 1, 0)
    mask = MASK.copy()
    mask[1] = (STRAY, STRAY, (9, 9, 9))
    path = root / "masks" / "a.png"
    write_png(path, mask)
    report = check_split(data)
    (problem,) = report.problems
    found = "holds colours outside the label set: [1, 2, 3] (2 pixels), [9, 9, 9] (1 pixels)"
    assert (problem.kind, problem.file, problem.detail) == ("unknown colors", path, found)
    assert ([c.pixels for c in report.classes], report.void_pixels, report.unknown_pixels) == ([1, 2], 0, 3)
    with pytest.raises(DataError, match=r"a\.png: holds colours .*\[1, 2, 3\] \(2 pixels\).*; add them to") as caught:
        data[0]
    assert str(caught.value).startswith(f"{path}: ")


def test_many_unknown_colours_are_named_in_part(root: Path) -> None:
    mask = np.array([[(1, i, 0)] * (12 - i) + [GROUND] * i for i in range(12)], np.uint8)
    text = COLORS.unknown_text(mask, COLORS.look_up(mask))
    assert "[1, 0, 0] (12 pixels), [1, 1, 0] (11 pixels)" in text
    assert text.endswith("[1, 7, 0] (5 pixels) and 4 more")


def test_two_classes_are_not_taken_for_black_and_white(root: Path) -> None:
    write_png(root / "masks" / "a.png", np.array([[GROUND, BLACK, GROUND]] * 2, np.uint8))
    assert not check_split(open_data(f"folder:{root}", "all")).problems


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_damaged_colour_masks_are_named(root: Path, content: bytes) -> None:
    path = root / "masks" / "a.png"
    path.write_bytes(content)
    data = open_data(f"folder:{root}", "all")
    with pytest.raises(ImageError, match=r"masks/a\.png: is "):
        data[0]
    assert [(p.kind, p.file) for p in check_split(data).problems] == [("unreadable mask", path)]


def test_colour_masks_of_other_size_name_the_pair(root: Path) -> None:
    write_png(root / "masks" / "a.png", MASK[:1])
    data = open_data(f"folder:{root}", "all")
    with pytest.raises(DataError, match=r"images/a\.png: is 2×3 .* but its mask .*masks/a\.png is 1×3"):
        data[0]
    assert [p.kind for p in check_split(data).problems] == ["size mismatch"]
