"""What is proposed for what masks hold, what is said beside it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextnet.data.doctor.census import MAX_COUNTED_COLORS, MaskCensus, count_masks
from contextnet.data.doctor.class_list import ClassList, ListedClass
from contextnet.data.doctor.diagnosis import Diagnosis, diagnose
from contextnet.data.doctor.id_proposals import likeness
from contextnet.data.doctor.known_labels import KNOWN_IDS
from contextnet.data.doctor.source import diagnose_source
from contextnet.data.label_file import LabelFile
from contextnet.data.mask_colors import MaskColors
from contextnet.errors import DataError
from contextnet.images import write_png
from contextnet.labels import CAMVID, CITYSCAPES, LabelClass, LabelSet
from mask_folders import write_folder

IDS = {known.name: known for known in KNOWN_IDS}


def _census(folder: Path, *masks: object) -> MaskCensus:
    folder.mkdir(exist_ok=True)
    paths = []
    for number, mask in enumerate(masks):
        paths.append(folder / f"{number}.png")
        write_png(paths[-1], np.array(mask, np.uint8))
    return count_masks(paths)


def _names(diagnosis: Diagnosis) -> list[str]:
    return [p.name for p in diagnosis.proposals]


def test_census_counts_ids_palettes_and_colours(tmp_path: Path) -> None:
    _census(tmp_path, [[1, 1, 7]], [[(7, 7, 7), (1, 2, 3), (1, 2, 3)]])
    image = Image.new("P", (3, 1))
    image.putpalette([0, 0, 0, 1, 2, 3])
    image.putdata([0, 1, 1])
    image.save(tmp_path / "p.png")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    calls: list[tuple[int, int]] = []
    paths = [tmp_path / "0.png", tmp_path / "1.png", tmp_path / "p.png", bad]
    census = count_masks(paths, lambda done, total: calls.append((done, total)))
    assert census.kinds == {"gray": 1, "palette": 1, "rgb": 1}
    assert {i: int(n) for i, n in enumerate(census.id_counts) if n} == {0: 1, 1: 4, 7: 1}
    assert census.palette == {0: (0, 0, 0), 1: (1, 2, 3)}
    assert census.color_counts == {0x010101: 2, 0x070707: 2, 0x010203: 4, 0: 1}
    assert (census.masks, census.pixels, census.needs_colors) == (3, 9, True)
    assert [text.startswith(f"{bad}: is empty") for text in census.unreadable] == [True]
    assert calls == [(n, 4) for n in range(1, 5)]


def test_palettes_that_disagree_leave_only_the_colours(tmp_path: Path) -> None:
    # The same drawing, its palette sorted otherwise in each file, as optimising writers do.
    paths = []
    for number, (palette, data) in enumerate((([9, 9, 9, 1, 2, 3], [0, 1, 1]), ([1, 2, 3, 9, 9, 9], [1, 0, 0]))):
        image = Image.new("P", (3, 1))
        image.putpalette(palette)
        image.putdata(data)
        paths.append(tmp_path / f"{number}.png")
        image.save(paths[-1])
    census = count_masks(paths)
    assert census.palette is None
    assert census.color_counts == {0x090909: 2, 0x010203: 4}
    diagnosis = diagnose(census, "yard")
    assert _names(diagnosis) == ["colors"]
    assert "palettes differ" in diagnosis.remarks[0]
    colors = diagnosis.proposals[0].file.colors
    assert colors == MaskColors((((1, 2, 3),), ((9, 9, 9),)))


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([[0, 255, 255]], ["binary", "ids"]),
        ([[0, 1, 1]], ["binary", "ids"]),
        ([[0, 0, 0]], ["ids"]),
        ([[0, 1, 255]], ["ids"]),
        # Five small ids are like nothing that is known, though CamVid's and Cityscapes' sets hold them all.
        ([[0, 1, 2, 3, 4]], ["ids"]),
        # Twelve equally large classes are not like CamVid's.
        ([list(range(12))], ["ids"]),
        ([[(0, 0, 0), (255, 255, 255)]], ["binary", "ids"]),
        ([[(3, 3, 3), (9, 9, 9)]], ["ids"]),
        ([[(3, 3, 3), (9, 9, 8)]], ["colors"]),
        # Two official colours are no evidence, three are.
        ([[(128, 64, 128), (70, 70, 70)]], ["colors"]),
        ([[(128, 64, 128), (70, 70, 70), (0, 0, 142)]], ["cityscapes-colors", "colors"]),
        ([[(128, 64, 128), (70, 70, 70), (0, 0, 142), (1, 2, 3)]], ["colors"]),
    ],
)
def test_what_is_proposed(tmp_path: Path, mask: object, expected: list[str]) -> None:
    assert _names(diagnose(_census(tmp_path, mask), "yard")) == expected


def test_one_class_an_id_leaves_255_void_beside_others(tmp_path: Path) -> None:
    (proposal,) = diagnose(_census(tmp_path, [[4, 9, 9, 255]]), "yard").proposals
    labels = proposal.file.labels
    assert [(c.name, c.file_ids) for c in labels.classes] == [("class 4", (4,)), ("class 9", (9,))]
    assert (labels.name, labels.void_ids) == ("yard", (255,))
    assert (proposal.class_pixels, proposal.void_pixels, proposal.pixels) == ((1, 2), 1, 4)
    assert "255 is void" in proposal.detail


def test_one_class_a_colour_stands_most_frequent_first(tmp_path: Path) -> None:
    (proposal,) = diagnose(_census(tmp_path, [[(1, 2, 3), (9, 8, 7), (9, 8, 7), (9, 8, 7)]]), "yard").proposals
    assert [(c.name, c.color) for c in proposal.file.labels.classes] == [
        ("colour 9 8 7", (9, 8, 7)),
        ("colour 1 2 3", (1, 2, 3)),
    ]
    assert (proposal.class_pixels, proposal.void_pixels) == ((3, 1), 0)


@pytest.mark.parametrize("stray_pixels", [1, 3])
def test_a_few_stray_colours_become_void_and_many_do_not(tmp_path: Path, stray_pixels: int) -> None:
    row = [(128, 64, 128)] * 100 + [(70, 70, 70)] * 50 + [(0, 0, 142)] * 30 + [(1, 2, 3)] * stray_pixels
    diagnosis = diagnose(_census(tmp_path, [row]), "yard")
    if stray_pixels == 3:  # 3 of 183 pixels are more than 1 %
        assert _names(diagnosis) == ["colors"]
        return
    first = diagnosis.proposals[0]
    assert first.name == "cityscapes-colors"
    assert "the colours [1, 2, 3] (0.55 % of the pixels) become void" in first.detail
    assert first.file.colors is not None
    assert (1, 2, 3) in first.file.colors.void
    assert first.void_pixels == 1


def test_the_present_label_set_comes_first_where_it_fits_but_for_strays(tmp_path: Path) -> None:
    census = _census(tmp_path, [[3] * 150 + [1] * 50 + [77]])
    diagnosis = diagnose(census, "yard", present=LabelFile(CAMVID))
    assert _names(diagnosis) == ["present", "ids"]
    assert diagnosis.proposals[0].file.labels == LabelSet("camvid", CAMVID.classes, (11, 255, 77))
    assert "the ids 77 (0.5 % of the pixels) become void" in diagnosis.proposals[0].detail
    # Train ids are nearly all known as void to the file ids of Cityscapes: that is no reason to keep these.
    street = _census(tmp_path, [[0] * 37 + [1] * 6 + [2] * 23 + [8] * 16 + [10] * 4 + [13] * 7 + [5, 7, 11, 255]])
    assert _names(diagnose(street, "yard", present=LabelFile(CITYSCAPES)))[0] == "cityscapes-trainids"


def test_present_colours_come_first_where_they_fit(tmp_path: Path) -> None:
    labels = LabelSet("two", (LabelClass("a", (9, 9, 8), "a", (0,)), LabelClass("b", (1, 2, 3), "b", (1,))))
    present = LabelFile(labels, MaskColors((((9, 9, 8),), ((1, 2, 3),))))
    diagnosis = diagnose(_census(tmp_path, [[(9, 9, 8)] * 200 + [(4, 4, 4)]]), "yard", present=present)
    assert _names(diagnosis) == ["present", "colors"]
    assert diagnosis.proposals[0].file.colors == MaskColors((((9, 9, 8),), ((1, 2, 3),)), ((4, 4, 4),))


LISTED = (ListedClass("Void", (0, 0, 0)), ListedClass("car", (64, 0, 128)), ListedClass("sky", (7, 7, 7)))
NUMBERED = (ListedClass("car", None, 40), ListedClass("sky", None, 2))


@pytest.mark.parametrize(
    ("mask", "classes", "names", "void"),
    [
        # By the list's colours.
        ([[(0, 0, 0), (64, 0, 128), (7, 7, 7)]], LISTED, {(64, 0, 128): "car", (7, 7, 7): "sky"}, {(0, 0, 0)}),
        # By the list's order: id 0 is Void.
        ([[0, 1, 2, 2]], LISTED, {1: "car", 2: "sky"}, {0, 255}),
        # By the list's ids.
        ([[40, 2, 255]], NUMBERED, {40: "car", 2: "sky"}, {255}),
        # Grey masks whose values are the grey colours of the list.
        ([[0, 7, 7]], LISTED, {7: "sky"}, {0, 255}),
        # Black and white by the order of two lines.
        ([[0, 255, 255]], (ListedClass("no"), ListedClass("yes")), {0: "no", 255: "yes"}, set()),
    ],
)
def test_names_come_from_a_list_beside_the_data(
    tmp_path: Path, mask: object, classes: tuple[ListedClass, ...], names: dict[object, str], void: set[object]
) -> None:
    diagnosis = diagnose(_census(tmp_path, mask), "yard", ClassList(Path("class_dict.csv"), classes))
    first = diagnosis.proposals[0]
    assert first.name == "named"
    assert "class_dict.csv" in first.detail
    labels, colors = first.file.labels, first.file.colors
    if colors is None:
        assert {i: c.name for c in labels.classes for i in c.file_ids} == names
        assert set(labels.void_ids) == void
    else:
        assert {c: labels.names[k] for k, of_class in enumerate(colors.by_class) for c in of_class} == names
        assert set(colors.void) == void


def test_a_list_that_does_not_fit_is_not_used(tmp_path: Path) -> None:
    names = ClassList(Path("class_dict.csv"), LISTED)
    assert _names(diagnose(_census(tmp_path, [[(1, 2, 3), (3, 2, 1)]]), "yard", names)) == ["colors"]
    assert _names(diagnose(_census(tmp_path, [[50, 60]]), "yard", names)) == ["ids"]
    # By its order 255 would be void and one class alone left, which is not what black and white mean.
    assert _names(diagnose(_census(tmp_path, [[0, 255]]), "yard", names)) == ["binary", "ids"]


def test_jpeg_colours_are_too_many_and_said_so(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    noisy = random.integers(0, 256, (80, 80, 3), dtype=np.uint8)
    census = _census(tmp_path, noisy)
    assert census.too_many_colors == tmp_path / "0.png"
    assert len(census.color_counts) == MAX_COUNTED_COLORS
    diagnosis = diagnose(census, "yard")
    assert diagnosis.proposals == ()
    assert f"{MAX_COUNTED_COLORS} colours or more (the last in {tmp_path / '0.png'})" in diagnosis.remarks[0]
    assert "saved as JPEG" in diagnosis.remarks[0]
    assert "save them anew as PNG" in diagnosis.remarks[0]
    assert diagnosis.remarks[1].startswith("the 8 most frequent colours cover")


@pytest.mark.parametrize("count", [254, 255])
def test_254_colours_are_the_limit(tmp_path: Path, count: int) -> None:
    diagnosis = diagnose(_census(tmp_path, [[(i, 255 - i, 3) for i in range(count)]]), "yard")
    if count == 254:
        assert _names(diagnosis) == ["colors"]
        assert diagnosis.remarks == ()
    else:
        assert diagnosis.proposals == ()
        assert diagnosis.remarks[0].startswith("the masks hold 255 colours, and 254 classes are the limit")


@pytest.mark.parametrize("channels", [1, 3])
def test_greys_between_black_and_white_are_smooth_edges(tmp_path: Path, channels: int) -> None:
    row = np.array([[0] * 60 + [255] * 40 + list(range(20, 32))], np.uint8)
    mask = row if channels == 1 else np.stack([row] * 3, axis=-1)
    diagnosis = diagnose(_census(tmp_path, mask), "yard")
    assert diagnosis.proposals == ()
    assert "black, white and 12 greys between" in diagnosis.remarks[0]
    assert "set each pixel to 0 or 255" in diagnosis.remarks[0]


def test_blends_between_colours_are_remarked_upon(tmp_path: Path) -> None:
    row = [(200, 0, 0)] * 15000 + [(0, 200, 0)] * 15000 + [(200 - i, i, 0) for i in range(1, 21)]
    diagnosis = diagnose(_census(tmp_path, [row]), "yard")
    assert _names(diagnosis) == ["colors"]
    assert diagnosis.remarks[0].startswith("20 of 22 colours are rare (0.067 % together); masks saved as JPEG")


def test_masks_stored_in_different_ways_are_remarked_upon(tmp_path: Path) -> None:
    diagnosis = diagnose(_census(tmp_path, [[1, 2]], [[(1, 1, 1), (9, 8, 7)]]), "yard")
    assert "stored in different ways: gray (1), rgb (1)" in diagnosis.remarks[0]


def test_a_picture_is_no_mask(tmp_path: Path) -> None:
    diagnosis = diagnose(_census(tmp_path, [list(range(256))]), "yard")
    assert diagnosis.proposals == ()
    assert diagnosis.remarks[0].startswith("the masks hold 256 colours")


def test_no_readable_mask_means_no_proposal(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"")
    diagnosis = diagnose(count_masks([path]), "yard", present=LabelFile(CAMVID))
    assert diagnosis.proposals == ()
    assert diagnosis.remarks[0] == "no mask could be read, so nothing is proposed"
    assert diagnosis.remarks[1].startswith(f"left out: {path}: is empty")


def test_likeness_is_the_bhattacharyya_coefficient() -> None:
    camvid = IDS["camvid-11"]
    exact = {i: int(100 * share) for i, share in enumerate(camvid.shares)}
    assert likeness(camvid, exact) == pytest.approx(1, abs=1e-4)
    # Six classes of one size: the roots of their usual shares, over the root of six.
    usual = np.array(camvid.shares) / sum(camvid.shares)
    assert likeness(camvid, dict.fromkeys(range(6), 10)) == pytest.approx(np.sqrt(usual[:6] / 6).sum())
    assert likeness(camvid, dict.fromkeys(range(5), 10)) == 0
    # Void does not count, unless it is nearly all there is.
    assert likeness(camvid, {**exact, 11: 5000}) == pytest.approx(1, abs=1e-4)
    assert likeness(camvid, {**exact, 11: 50_000}) == 0


@pytest.mark.parametrize("split", ["train", "val"])
def test_camvid_is_recognised_as_downloaded(camvid_root: Path, split: str) -> None:
    diagnosis = diagnose_source(f"camvid:{camvid_root}", [split])
    assert _names(diagnosis) == ["present", "camvid-11", "camvid-12", "ids"]
    present, eleven, twelve, _ = diagnosis.proposals
    assert eleven.file == LabelFile(CAMVID) == present.file
    assert (*eleven.class_pixels, eleven.void_pixels) == twelve.class_pixels
    assert twelve.void_pixels == 0
    assert diagnosis.remarks == ()


def test_splits_are_counted_together(tmp_path: Path) -> None:
    write_folder(tmp_path / "yard", [3, 1], [4, 9])
    write_png(tmp_path / "yard" / "val" / "masks" / "val0.png", np.array([[60]], np.uint8))
    only_train = diagnose_source(f"folder:{tmp_path / 'yard'}", ["train"]).proposals[0].file.labels
    both = diagnose_source(f"folder:{tmp_path / 'yard'}", ["train", "val"]).proposals[0].file.labels
    assert (only_train.names, both.names) == (("class 4", "class 9"), ("class 4", "class 9", "class 60"))
    assert both.name == "yard"


def test_data_without_mask_files_has_nothing_to_propose() -> None:
    with pytest.raises(DataError, match="has no mask files"):
        diagnose_source("synthetic:64x128,drives=1,frames=1", ["val"])
