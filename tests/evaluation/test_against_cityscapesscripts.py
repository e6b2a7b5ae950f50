"""Every score against the reference implementation, which reads files."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_scenes import MemoryData, Replay, Scene, random_scene, sample_of
from PIL import Image

from contextnet.evaluation import Scores, evaluate
from contextnet.labels import CITYSCAPES

SCENES = 48
SEED = 20180511


def reference_scores(reference: Any, scenes: list[Scene], folder: Path) -> dict[str, Any]:
    predictions, truths = [], []
    for number, scene in enumerate(scenes):
        stem = f"town_000000_{number:06d}"
        truths.append(str(folder / f"{stem}_gtFine_labelIds.png"))
        predictions.append(str(folder / f"{stem}_pred.png"))
        Image.fromarray(scene.file_ids).save(truths[-1])
        Image.fromarray(scene.instances.astype(np.uint16)).save(folder / f"{stem}_gtFine_instanceIds.png")
        Image.fromarray(CITYSCAPES.decode(scene.predicted)).save(predictions[-1])
    args = copy.copy(reference.args)
    args.quiet, args.JSONOutput, args.evalInstLevelScore = True, False, True
    result: dict[str, Any] = reference.evaluateImgLists(predictions, truths, args)
    return result


def our_scores(scenes: list[Scene]) -> Scores:
    data = MemoryData([sample_of(scene, Path(f"{i}.png")) for i, scene in enumerate(scenes)])
    return evaluate(Replay([scene.predicted for scene in scenes]), data).scores


def assert_equal(ours: Scores, theirs: dict[str, Any]) -> None:
    pairs = [
        (ours.class_names, ours.class_iou, theirs["classScores"]),
        (ours.class_names, ours.class_iiou, theirs["classInstScores"]),
        (ours.category_names, ours.category_iou, theirs["categoryScores"]),
        (ours.category_names, ours.category_iiou, theirs["categoryInstScores"]),
    ]
    for names, our_values, their_values in pairs:
        assert dict(zip(names, our_values, strict=True)) == pytest.approx(
            {name: their_values[name] for name in names}, rel=0, abs=1e-9, nan_ok=True
        )
        assert all(math.isnan(value) for name, value in their_values.items() if name not in names)
    assert [ours.miou, ours.miiou, ours.category_miou, ours.category_miiou] == pytest.approx(
        [
            theirs["averageScoreClasses"],
            theirs["averageScoreInstClasses"],
            theirs["averageScoreCategories"],
            theirs["averageScoreInstCategories"],
        ],
        rel=0,
        abs=1e-9,
        nan_ok=True,
    )
    file_ids = [label.file_ids[0] for label in CITYSCAPES.classes]
    their_counts = np.array(theirs["confMatrix"])[np.ix_(file_ids, [*file_ids, 0])]
    assert np.array_equal(ours.confusion, their_counts)


def test_equals_reference_on_a_split_and_on_each_image(reference: Any, tmp_path: Path) -> None:
    generator = np.random.default_rng(SEED)
    scenes = [random_scene(generator) for _ in range(SCENES)]
    ours = our_scores(scenes)
    assert_equal(ours, reference_scores(reference, scenes, tmp_path))
    # The comparison means something only if every class was scored, imperfectly, and void was predicted and present.
    assert all(0 < iou < 1 for iou in ours.class_iou)
    assert sum(not math.isnan(iiou) for iiou in ours.class_iiou) == 8
    assert ours.confusion[:, -1].sum() > 0
    assert ours.confusion.sum() < sum(scene.file_ids.size for scene in scenes)


def test_equals_reference_on_single_images_with_absent_classes(reference: Any, tmp_path: Path) -> None:
    generator = np.random.default_rng(SEED + 1)
    undefined_iou = undefined_iiou = zero_iiou = 0
    for _ in range(SCENES):
        scene = random_scene(generator)
        ours = our_scores([scene])
        assert_equal(ours, reference_scores(reference, [scene], tmp_path))
        undefined_iou += sum(math.isnan(iou) for iou in ours.class_iou)
        undefined_iiou += sum(math.isnan(iiou) for iiou in ours.class_iiou[11:])
        zero_iiou += sum(iiou == 0 for iiou in ours.class_iiou)
    assert undefined_iou > 0
    assert undefined_iiou > 0
    assert zero_iiou > 0


def test_average_sizes_are_the_constants_of_the_reference(reference: Any) -> None:
    from contextnet.evaluation.instances import CITYSCAPES_AVERAGE_SIZES_PX

    evaluated = {label.name for label in CITYSCAPES.classes}
    theirs = {name: size for name, size in reference.args.avgClassSize.items() if name in evaluated}
    assert theirs == dict(CITYSCAPES_AVERAGE_SIZES_PX)
