from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from evaluation_scenes import MemoryData, Replay, Scene, random_scene, sample_of
from PIL import Image

from contextnet.errors import ContextNetError, DataError
from contextnet.evaluation import evaluate, submission_name, write_submission
from contextnet.labels import CAMVID

STEMS = ["aachen_000000_000019", "aachen_000001_000019", "bad-honnef_000000_000019"]


def scenes_and_data(names: list[str], seed: int = 1) -> tuple[list[Scene], MemoryData]:
    generator = np.random.default_rng(seed)
    scenes = [random_scene(generator) for _ in names]
    return scenes, MemoryData([sample_of(scene, Path(name)) for scene, name in zip(scenes, names, strict=True)])


def replay(scenes: list[Scene]) -> Replay:
    return Replay([scene.predicted for scene in scenes])


def test_the_server_finds_every_file_and_scores_it_as_we_do(reference: Any, tmp_path: Path) -> None:
    root, output = tmp_path / "cityscapes", tmp_path / "results"
    names = [str(root / "leftImg8bit/val" / stem.split("_")[0] / f"{stem}_leftImg8bit.png") for stem in STEMS]
    scenes, data = scenes_and_data(names)
    truths = []
    for stem, scene in zip(STEMS, scenes, strict=True):
        folder = root / "gtFine" / "val" / stem.split("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        truths.append(str(folder / f"{stem}_gtFine_labelIds.png"))
        Image.fromarray(scene.file_ids).save(truths[-1])
        Image.fromarray(scene.instances.astype(np.uint16)).save(folder / f"{stem}_gtFine_instanceIds.png")

    calls: list[tuple[int, int]] = []
    assert write_submission(replay(scenes), data, output, lambda done, total: calls.append((done, total))) == 3
    assert calls == [(1, 3), (2, 3), (3, 3)]

    args = copy.copy(reference.args)
    args.predictionPath, args.predictionWalk, args.quiet, args.JSONOutput = str(output), None, True, False
    found = [reference.getPrediction(args, truth) for truth in truths]
    assert [Path(path).name for path in found] == [f"{stem}_pred_labelIds.png" for stem in STEMS]
    theirs = reference.evaluateImgLists(found, truths, args)
    ours = evaluate(replay(scenes), data).scores
    assert [ours.miou, ours.miiou, ours.category_miou, ours.category_miiou] == pytest.approx(
        [theirs[f"averageScore{kind}"] for kind in ("Classes", "InstClasses", "Categories", "InstCategories")],
        rel=0,
        abs=1e-9,
    )


def test_files_hold_label_ids_in_one_channel_of_8_bits(tmp_path: Path) -> None:
    predicted = np.array([[0, 13, 18], [255, 10, 11]], np.uint8)
    scene = Scene(np.full((2, 3), 7, np.uint8), np.zeros((2, 3), np.int32), predicted)
    data = MemoryData([sample_of(scene, Path(f"{STEMS[0]}_leftImg8bit.png"))])
    write_submission(Replay([predicted]), data, tmp_path / "deep" / "results")
    with Image.open(tmp_path / "deep" / "results" / f"{STEMS[0]}_pred_labelIds.png") as image:
        assert (image.format, image.mode) == ("PNG", "L")
        assert np.array(image).tolist() == [[7, 26, 33], [0, 23, 24]]


def test_images_without_ground_truth_are_written(tmp_path: Path) -> None:
    scenes, data = scenes_and_data([f"{STEMS[0]}_leftImg8bit.png"])
    sample = data[0]
    unlabelled = MemoryData([type(sample)(sample.image, None, sample.image_path)])
    assert write_submission(replay(scenes), unlabelled, tmp_path) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/berlin_000000_000019_leftImg8bit.png", "berlin_000000_000019_pred_labelIds.png"),
        ("berlin_000544_123456.jpg", "berlin_000544_123456_pred_labelIds.png"),
        ("bad-honnef_000000_000019_leftImg8bit_foggy_beta_0.02.png", "bad-honnef_000000_000019_pred_labelIds.png"),
        ("0016E5_08640.png", None),
        ("berlin_000000_19_leftImg8bit.png", None),
        ("berlin_000000_0000199_leftImg8bit.png", None),
        ("new_york_000000_000019_leftImg8bit.png", None),
    ],
)
def test_names(name: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(DataError, match=f"{name}: not named as in Cityscapes"):
            submission_name(Path(name))
    else:
        assert submission_name(Path(name)) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param([], "memory/val: the split is empty", id="empty split"),
        pytest.param(
            [f"{STEMS[0]}_leftImg8bit.png", f"other/{STEMS[0]}_leftImg8bit.png"],
            f"other/{STEMS[0]}_leftImg8bit.png: the same frame as {STEMS[0]}_leftImg8bit.png",
            id="same frame twice",
        ),
        pytest.param([f"{STEMS[0]}_leftImg8bit.png", "0001.png"], "0001.png: not named as in Cityscapes", id="name"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_refuses_and_leaves_nothing(names: list[str], message: str, exists: bool, tmp_path: Path) -> None:
    output = tmp_path / "results"
    if exists:
        output.mkdir()
    scenes, data = scenes_and_data(names)
    with pytest.raises(DataError, match=message):
        write_submission(replay(scenes), data, output)
    assert output.exists() == exists
    assert not [path for path in tmp_path.rglob("*") if path != output]


def test_a_failing_predictor_leaves_nothing(tmp_path: Path) -> None:
    scenes, data = scenes_and_data([f"{stem}_leftImg8bit.png" for stem in STEMS])

    class Failing:
        def labels(self, image_HW3: np.ndarray) -> np.ndarray:
            if data.reads == 3:
                raise KeyboardInterrupt
            return scenes[data.reads - 1].predicted

    with pytest.raises(KeyboardInterrupt):
        write_submission(Failing(), data, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_refuses_another_label_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the label set is 'camvid'; the test server scores 'cityscapes' only"):
        write_submission(Replay([]), MemoryData([], CAMVID), tmp_path)


def test_refuses_a_folder_with_files_and_touches_none(tmp_path: Path) -> None:
    scenes, data = scenes_and_data([f"{STEMS[0]}_leftImg8bit.png"])
    old = tmp_path / f"{STEMS[0]}_pred_labelIds.png"
    old.write_bytes(b"old")
    with pytest.raises(DataError, match=f"the output folder holds {old.name}; name a new or an empty folder"):
        write_submission(replay(scenes), data, tmp_path)
    assert old.read_bytes() == b"old"


def test_refuses_a_file_for_a_folder(tmp_path: Path) -> None:
    scenes, data = scenes_and_data([f"{STEMS[0]}_leftImg8bit.png"])
    output = tmp_path / "results"
    output.write_bytes(b"")
    with pytest.raises(DataError, match="results: cannot be used as the output folder: Not a directory"):
        write_submission(replay(scenes), data, output)


def test_a_write_that_fails_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, data = scenes_and_data([f"{stem}_leftImg8bit.png" for stem in STEMS])
    save = Image.Image.save

    def full_after_one(image: Image.Image, target: BinaryIO, *words: str, **options: int) -> None:
        if STEMS[1] in target.name:
            target.write(b"\x89PNG")
            raise OSError(28, "No space left on device")
        save(image, target, *words, **options)

    monkeypatch.setattr(Image.Image, "save", full_after_one)
    error = f"{STEMS[1]}_pred_labelIds.png: cannot be written: No space left on device; free some space"
    with pytest.raises(ContextNetError, match=error):
        write_submission(replay(scenes), data, tmp_path)
    assert not list(tmp_path.iterdir())
