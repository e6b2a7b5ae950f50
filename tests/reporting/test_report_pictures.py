from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from reporting_runs import RECIPE, THREE, make_run, write_tiny_weights

from contextnet.data.synthetic import drives_for, write_drives
from contextnet.errors import DataError
from contextnet.labels import CITYSCAPES
from contextnet.reporting.gallery import Answer, Exhibit, Galleries, Gallery, choose, find_galleries
from contextnet.reporting.pictures import mistakes_picture, pictures_section, shrunk, shrunk_labels
from contextnet.reporting.run_record import RunRecord, read_runs


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("streets")
    write_drives(root, "val", drives_for("val", 1, (64, 128), 5))
    return f"cityscapes:{root}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, streets: str) -> tuple[RunRecord, ...]:
    """Two runs on the streets with weights of their own, one without weights, one whose data is not there."""
    folder = tmp_path_factory.mktemp("runs")
    here, nowhere = RECIPE.replace("folder:nowhere", streets), RECIPE
    roots = []
    for seed, (name, recipe) in enumerate((("a", here), ("b", here), ("new", here), ("far", nowhere))):
        roots.append(make_run(folder / name, recipe=recipe))
        if name != "new":
            write_tiny_weights(roots[-1] / "best.safetensors", seed=seed)
    return read_runs(roots)


def miou_by_sets(truth: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """MIoU of one image over the classes that truth or prediction holds, counted pixel set by pixel set."""
    valid = truth != 255
    ious = []
    for train_id in range(19):
        wanted, given = (truth == train_id) & valid, (labels == train_id) & valid
        if (wanted | given).any():
            ious.append((wanted & given).sum() / (wanted | given).sum())
    return float(np.mean(ious))


def test_worst_and_best_images_of_the_runs_together(runs: tuple[RunRecord, ...]) -> None:
    heard: list[tuple[int, int]] = []
    found = find_galleries(runs, 2, progress=lambda done, total: heard.append((done, total)))
    (gallery,) = found.galleries
    assert (gallery.runs, gallery.images_scored) == ((0, 1), 5)
    assert heard == [(i, 5) for i in range(1, 6)] * 2
    exhibits = [*gallery.worst, *reversed(gallery.best)]
    assert len({exhibit.name for exhibit in exhibits}) == 4
    for exhibit in exhibits:
        assert [answer.run for answer in exhibit.answers] == [0, 1]
        for answer in exhibit.answers:
            assert answer.miou == pytest.approx(miou_by_sets(exhibit.truth, answer.labels))
    means = [sum(answer.miou for answer in exhibit.answers) / 2 for exhibit in exhibits]
    assert means == sorted(means)


def test_a_run_without_weights_or_data_is_left_out_with_the_reason(runs: tuple[RunRecord, ...]) -> None:
    found = find_galleries(runs[2:], 1)
    assert found.galleries == ()
    assert found.reasons[0].startswith("new: 'best.safetensors' is missing")
    assert found.reasons[1].startswith("far: ")
    assert "nowhere" in found.reasons[1]


def test_given_data_stands_in_for_the_recipes(runs: tuple[RunRecord, ...], streets: str) -> None:
    found = find_galleries(runs[3:], 1, source=streets)
    assert [gallery.runs for gallery in found.galleries] == [(0,)]
    with pytest.raises(DataError, match="missing-root"):
        find_galleries(runs[3:], 1, source="cityscapes:missing-root")


def test_weights_of_other_classes_are_left_out(tmp_path: Path, streets: str) -> None:
    root = make_run(tmp_path / "three", recipe=RECIPE.replace("folder:nowhere", streets))
    write_tiny_weights(root / "best.safetensors", labels=THREE)
    found = find_galleries(read_runs([root]), 1)
    assert "its weights label the 3 classes of 'three'" in found.reasons[0]
    assert "has the 19 of 'cityscapes'" in found.reasons[0]


@pytest.mark.parametrize(
    ("mious", "count", "worst", "best"),
    [
        ([0.4, 0.1, 0.3, 0.2, 0.5], 2, [1, 3], [4, 0]),
        ([0.4, 0.1, 0.3], 2, [1, 2], [0]),
        ([0.4, 0.1], 3, [1], [0]),
        ([0.4], 3, [0], []),
    ],
)
def test_no_image_is_both_best_and_worst(mious: list[float], count: int, worst: list[int], best: list[int]) -> None:
    paths = [Path(str(index)) for index in range(len(mious))]
    chosen = choose(dict(zip(paths, mious, strict=True)), count)
    assert chosen == ([paths[i] for i in worst], [paths[i] for i in best])


def test_mistakes_are_red_and_void_is_dim() -> None:
    image = np.full((1, 3, 3), 100, np.uint8)
    truth, labels = np.array([[0, 0, 255]], np.uint8), np.array([[0, 1, 1]], np.uint8)
    # A quarter of the grey 100 and three quarters of (230, 40, 40), rounded to even.
    assert mistakes_picture(image, truth, labels).tolist() == [[[100, 100, 100], [198, 55, 55], [40, 40, 40]]]


def test_pictures_are_shrunk_to_the_page() -> None:
    image = np.random.default_rng(2).integers(0, 256, (500, 960, 3), dtype=np.uint8)
    small = shrunk(image)
    assert small.shape == (250, 480, 3)
    mean = image[:2, :2].astype(float).mean(axis=(0, 1))
    assert np.abs(small[0, 0] - mean).max() <= 1
    labels = np.random.default_rng(3).choice(np.array([0, 7, 255], np.uint8), (500, 960))
    assert set(np.unique(shrunk_labels(labels))) == {0, 7, 255}
    assert shrunk_labels(labels).shape == (250, 480)
    assert shrunk(image[:, :300]).shape == (500, 300, 3)


@pytest.mark.parametrize(("runs_of_gallery", "columns"), [((0,), 4), ((0, 2), 4), ((0, 1, 2), 5)])
def test_a_row_shows_image_truth_and_predictions(runs_of_gallery: tuple[int, ...], columns: int) -> None:
    image = np.full((8, 16, 3), (200, 30, 60), np.uint8)
    truth = np.zeros((8, 16), np.uint8)
    answers = tuple(Answer(run, truth, 0.25) for run in runs_of_gallery)
    worst = (Exhibit("a<b>.png", image, truth, answers),)
    gallery = Gallery("camvid/val", CITYSCAPES, runs_of_gallery, 1, worst, ())
    source = pictures_section(Galleries((gallery,), ("x: <no data>",)), ["one", "two", "three"]).source
    pictures = [base64.b64decode(code) for code in re.findall(r'src="data:image/jpeg;base64,([^"]*)"', source)]
    assert len(pictures) == columns
    decoded = [np.asarray(Image.open(io.BytesIO(picture))) for picture in pictures]
    assert np.abs(decoded[0].astype(int) - image).max() <= 4
    road = 0.4 * image + 0.6 * np.array(CITYSCAPES.classes[0].color)
    assert np.abs(decoded[1] - road).max() <= 5
    assert "one, mIoU 25.0 %" in source
    assert "a&lt;b&gt;.png" in source
    assert "No pictures of x: &lt;no data&gt;" in source
    assert ("mistakes in red" in source) == (len(runs_of_gallery) == 1)
    assert "Best images" not in source
