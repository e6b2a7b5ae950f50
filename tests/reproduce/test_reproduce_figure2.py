from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from contextnet.data.sample import Sample
from contextnet.data.sources import open_data
from contextnet.errors import ContextNetError, DataError, ImageError
from contextnet.evaluation import evaluate
from contextnet.images import write_png
from contextnet.labels import LabelSet
from contextnet.models.muted import muted
from contextnet.models.predictor import NetworkPredictor
from contextnet.models.storage import Weights
from contextnet.reproduce.figure2 import CAPTIONS, Figure2, Way, choose_samples, draw_figure2, read_images
from contextnet.reproduce.figure2_sheet import GAP, SheetRow, captioned_rows, shrunk_image, shrunk_labels
from contextnet.spec import variant
from lively_networks import CLASSES, lively_weights, patches, some_labels
from training_data import LABELS, Blocks, write_pairs

Picture = NDArray[np.uint8]
HEIGHT, WIDTH = 64, 96
PAPER = (250, 250, 250)


@dataclass(frozen=True)
class GivenSamples:
    """A split whose samples are given."""

    samples: tuple[Sample, ...]
    labels: LabelSet
    name: str = "given/val"
    licence: str = ""

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]


def small_weights(name: str = "cn14") -> Weights:
    return lively_weights(variant(name, CLASSES, width=0.25))


def steadfast_weights() -> Weights:
    """A network of five classes that calls everything class 1, whatever its branches say."""
    weights = small_weights()
    tensors = dict(weights.tensors)
    tensors["classifier.weight"] = torch.zeros_like(tensors["classifier.weight"])
    tensors["classifier.bias"] = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0])
    return Weights(weights.spec, weights.labels, tensors)


def sample(seed: int, has_truth: bool = True, size_hw: tuple[int, int] = (HEIGHT, WIDTH)) -> Sample:
    label = np.random.default_rng(seed).choice(np.array([0, 1, 4, 255], np.uint8), size_hw)
    return Sample(patches(size_hw, seed), label if has_truth else None, Path(f"{seed}.png"))


def predictors_of(weights: Weights) -> dict[Way, NetworkPredictor]:
    """One predictor for each way, in the order of the rows."""
    network = weights.build()
    with muted(network, "detail"):
        context_only = NetworkPredictor(network)
    with muted(network, "context"):
        detail_only = NetworkPredictor(network)
    return {"context_only": context_only, "detail_only": detail_only, "both": NetworkPredictor(network)}


def labels_of(weights: Weights, image: Picture) -> dict[Way, Picture]:
    return {way: predictor.labels(image) for way, predictor in predictors_of(weights).items()}


def cell(picture: Picture, row: int, column: int, columns: int, cell_hw: tuple[int, int] = (HEIGHT, WIDTH)) -> Picture:
    """Cut out a cell, counted from the top and from the right, where the captions do not stand."""
    height, width = cell_hw
    top, right = GAP + row * (height + GAP), picture.shape[1] - GAP - (columns - 1 - column) * (width + GAP)
    return picture[top : top + height, right - width : right]


def captions_of(figure: Figure2, rows: int, columns: int) -> list[bool]:
    """Tell for each row whether there is ink at the left of its cells."""
    width = figure.picture.shape[1] - GAP - columns * (WIDTH + GAP)
    tops = [GAP + row * (HEIGHT + GAP) for row in range(rows)]
    return [bool((figure.picture[top : top + HEIGHT, :width] < 100).any()) for top in tops]


def test_every_cell_shows_what_its_row_and_column_say() -> None:
    weights, samples = small_weights(), (sample(1), sample(2), sample(3))
    figure = draw_figure2(weights, samples)
    for column, shown in enumerate(samples):
        assert shown.label is not None
        found = labels_of(weights, shown.image)
        expected = [
            shown.image,
            weights.labels.colorize(shown.label),
            weights.labels.colorize(found["context_only"]),
            weights.labels.colorize(found["detail_only"]),
            weights.labels.colorize(found["both"]),
        ]
        for row, picture in enumerate(expected):
            np.testing.assert_array_equal(cell(figure.picture, row, column, 3), picture)
        # Or else a row could stand in another one's place unseen.
        assert len({picture.tobytes() for picture in expected}) == 5
    assert captions_of(figure, 5, 3) == [True] * 5


def test_three_branches_are_two_ways() -> None:
    weights, shown = small_weights("cn124"), sample(4, has_truth=False)
    figure = draw_figure2(weights, [shown])
    expected = labels_of(weights, shown.image)
    for row, way in enumerate(CAPTIONS, start=1):
        np.testing.assert_array_equal(cell(figure.picture, row, 0, 1), weights.labels.colorize(expected[way]))


def test_without_truth_its_row_and_the_scores_are_left_out() -> None:
    weights, samples = small_weights(), (sample(1, has_truth=False), sample(2, has_truth=False))
    figure = draw_figure2(weights, samples)
    np.testing.assert_array_equal(
        cell(figure.picture, 3, 1, 2), weights.labels.colorize(labels_of(weights, samples[1].image)["both"])
    )
    assert captions_of(figure, 4, 2) == [True] * 4
    assert figure.together is None
    assert figure.to_json() == {
        "network": "cn14-x0.25",
        "trained_on": "",
        "images": [{"image": "1.png", "scores": None}, {"image": "2.png", "scores": None}],
        "together": None,
    }


def test_an_image_without_truth_beside_one_with_it_leaves_its_cell_empty() -> None:
    weights, samples = small_weights(), (sample(1, has_truth=False), sample(2))
    figure = draw_figure2(weights, samples)
    assert samples[1].label is not None
    assert (cell(figure.picture, 1, 0, 2) == PAPER).all()
    np.testing.assert_array_equal(cell(figure.picture, 1, 1, 2), weights.labels.colorize(samples[1].label))
    assert figure.columns[0].scores is None
    assert figure.together == figure.columns[1].scores


@pytest.mark.parametrize("has_truth", [False, True])
def test_the_legend_names_the_classes_that_occur(has_truth: bool) -> None:
    shown, labels = sample(1, has_truth), some_labels(CLASSES)
    picture = draw_figure2(steadfast_weights(), [shown]).picture
    below = picture[GAP + (5 if has_truth else 4) * (HEIGHT + GAP) :]
    colors = {tuple(color) for color in below.reshape(-1, 3).tolist()}
    # The network sees class 1 alone, the truth holds 0, 1 and 4; class 0 is black, as the letters' edges may be.
    assert {i for i in range(1, CLASSES) if labels.classes[i].color in colors} == ({1, 4} if has_truth else {1})


def test_scores_by_hand() -> None:
    # Everything is called class 1. First image: of 6 labelled pixels 3 are of class 1, so its IoU is 3/6; class 0 and 2
    # have 0, which makes a mean of 1/6. Second image: 2 of 2. Together: 5 of 8, and a mean of 5/24.
    first, second = np.array([[0, 1, 1, 255], [2, 2, 1, 255]], np.uint8), np.array([[1, 1, 255, 255]] * 1, np.uint8)
    void = np.full((2, 4), 255, np.uint8)
    truths = {"a.png": first, "b.png": second, "c.png": void}
    samples = [Sample(patches((*truth.shape,), 1), truth, Path(name)) for name, truth in truths.items()]

    def three_ways(miou: float, pixel_accuracy: float) -> dict[str, object]:
        score = {"miou": pytest.approx(miou), "pixel_accuracy": pytest.approx(pixel_accuracy)}
        return {"context_only": score, "detail_only": score, "both": score}

    values = json.loads(json.dumps(draw_figure2(steadfast_weights(), samples).to_json()))
    assert values == {
        "network": "cn14-x0.25",
        "trained_on": "",
        "images": [
            {"image": "a.png", "scores": three_ways(1 / 6, 3 / 6)},
            {"image": "b.png", "scores": three_ways(1, 1)},
            {"image": "c.png", "scores": None},
        ],
        "together": three_ways(5 / 24, 5 / 8),
    }


def test_scores_of_each_way_are_those_that_an_evaluation_finds() -> None:
    weights, samples = small_weights(), (sample(5), sample(6))
    figure = draw_figure2(weights, samples)
    assert figure.together is not None
    for way, predictor in predictors_of(weights).items():
        evaluation = evaluate(predictor, GivenSamples(samples, weights.labels))
        assert figure.together[way].miou == evaluation.scores.miou
        assert figure.together[way].pixel_accuracy == evaluation.scores.pixel_accuracy
        found = [column.scores[way].miou for column in figure.columns if column.scores]
        assert found == [image.miou for image in evaluation.per_image]


def test_the_sheet_is_written_as_png(tmp_path: Path) -> None:
    figure = draw_figure2(small_weights(), [sample(1)])
    figure.write(tmp_path / "figure2.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "figure2.png")), figure.picture)
    assert [path.name for path in tmp_path.iterdir()] == ["figure2.png"]
    with pytest.raises(ContextNetError, match=r"none.figure2\.png: cannot be written"):
        figure.write(tmp_path / "none" / "figure2.png")


@pytest.mark.parametrize(
    ("size_hw", "shown_hw"),
    [
        ((64, 96), (64, 96)),
        ((512, 512), (512, 512)),
        ((1024, 2048), (256, 512)),
        ((2048, 1024), (512, 256)),
        ((720, 960), (384, 512)),
        ((1, 3000), (1, 512)),
    ],
)
def test_large_pictures_are_shrunk(size_hw: tuple[int, int], shown_hw: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).choice(np.array([3, 7], np.uint8), size_hw)
    shown = shrunk_labels(labels)
    assert shown.shape == shown_hw
    assert set(np.unique(shown).tolist()) == {3, 7}, "a class that was not there"
    assert shrunk_image(np.zeros((*size_hw, 3), np.uint8)).shape == (*shown_hw, 3)


def test_a_large_image_is_scored_whole_and_shown_shrunk() -> None:
    weights, shown = small_weights(), sample(7, size_hw=(200, 1024))
    figure = draw_figure2(weights, [shown])
    assert shown.label is not None
    found = labels_of(weights, shown.image)["both"]
    np.testing.assert_array_equal(
        cell(figure.picture, 4, 0, 1, (100, 512)), weights.labels.colorize(shrunk_labels(found))
    )
    counted = shown.label != 255
    assert figure.together is not None
    assert figure.together["both"].pixel_accuracy == pytest.approx(np.mean((found == shown.label)[counted]))


def test_pictures_of_other_sizes_stand_in_the_middle_of_their_cells() -> None:
    small, large = np.full((30, 20, 3), 10, np.uint8), np.full((40, 60, 3), 20, np.uint8)
    sheet = captioned_rows([SheetRow("one", (small, large)), SheetRow("two", (None, small))])
    assert sheet.shape[0] == 3 * GAP + 2 * 40
    narrow = cell(sheet, 0, 0, 2, (40, 60))
    np.testing.assert_array_equal(narrow[5:35, 20:40], small)
    assert int((narrow != PAPER).any(axis=-1).sum()) == 30 * 20
    np.testing.assert_array_equal(cell(sheet, 0, 1, 2, (40, 60)), large)
    assert (cell(sheet, 1, 0, 2, (40, 60)) == PAPER).all()
    np.testing.assert_array_equal(cell(sheet, 1, 1, 2, (40, 60))[5:35, 20:40], small)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 2, 3]), (9, [1, 4, 7]), (101, [16, 50, 84])]
)
def test_three_images_are_spread_over_the_split(count: int, expected: list[int]) -> None:
    chosen = choose_samples(Blocks(count, (16, 16)), LABELS)
    assert [int(shown.image_path.stem) for shown in chosen] == expected


def test_images_are_chosen_by_index_and_by_name(tmp_path: Path) -> None:
    write_pairs(tmp_path, train=4)
    data = open_data(f"folder:{tmp_path}", "train")
    chosen = choose_samples(data, data.labels, ["3", 1, "0.png", 1])
    assert [shown.image_path.name for shown in chosen] == ["3.png", "1.png", "0.png", "1.png"]
    assert all(shown.label is not None for shown in chosen)


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        (4, r"^blocks/train: there is no image 4; its 4 images are 0 to 3$"),
        (-1, r"^blocks/train: there is no image -1; its 4 images are 0 to 3$"),
        ("7", r"^blocks/train: no image is called '7'; the first one is '0'$"),
        ("", r"^blocks/train: no image is called ''; the first one is '0'$"),
    ],
)
def test_an_unknown_image_is_refused(tmp_path: Path, pick: int | str, message: str) -> None:
    write_pairs(tmp_path, train=4)
    data = open_data(f"folder:{tmp_path}", "train")
    with pytest.raises(DataError, match=message):
        choose_samples(data, data.labels, [0, pick])


def test_data_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"^blocks/train: its images have no file names; choose '0' by its index"):
        choose_samples(Blocks(), LABELS, ["0"])
    with pytest.raises(DataError, match=r"^blocks/train: the split is empty; "):
        choose_samples(Blocks(0), LABELS)
    with pytest.raises(
        DataError, match=r"^the network labels the 5 classes of 'letters', but 'blocks/train' has the 3 "
    ):
        choose_samples(Blocks(), some_labels(CLASSES))
    foreign = Sample(patches((8, 8)), np.full((8, 8), 9, np.uint8), Path("a.png"), Path("a_mask.png"))
    with pytest.raises(DataError, match=r"^a_mask\.png: the ground truth holds train id 9 "):
        draw_figure2(small_weights(), [foreign])


def test_image_files_are_read_without_truth(tmp_path: Path) -> None:
    picture = patches((24, 32))
    write_png(tmp_path / "street.png", picture)
    (shown,) = read_images([tmp_path / "street.png"])
    np.testing.assert_array_equal(shown.image, picture)
    assert shown.label is None
    assert shown.image_path == tmp_path / "street.png"
    with pytest.raises(ImageError, match=r"none\.png: cannot be read"):
        read_images([tmp_path / "none.png"])


def test_a_figure_needs_an_image_and_both_branches() -> None:
    with pytest.raises(ContextNetError, match=r"^Figure 2 has no image to show; give at least one$"):
        draw_figure2(small_weights(), [])
    for alone in ("cn14-context", "cn14-detail"):
        with pytest.raises(ContextNetError, match=rf"^network '{alone}-x0\.25' has a [a-z]+ branch alone; "):
            draw_figure2(small_weights(alone), [sample(1)])
