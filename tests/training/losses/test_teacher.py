from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from contextnet.data.augmentation import NO_AUGMENTATION
from contextnet.data.batches import draw_batch, generator_for
from contextnet.errors import RecipeError, WeightsError
from contextnet.labels import CAMVID
from contextnet.models.contextnet import ContextNet
from contextnet.models.resize import downscale, upscale
from contextnet.models.storage import Weights, write_weights
from contextnet.spec import variant
from contextnet.training.losses.teacher import Teacher, load_teacher
from contextnet.training.recipe.loss import DistillationOptions
from contextnet.training.run import start_run
from contextnet.training.trainer import take_step
from lively_baselines import lively_baseline, lively_baseline_weights
from training_data import LABELS, blocks_split, tiny_recipe


@pytest.fixture
def teacher_file(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    spec = variant("cn18", LABELS.num_classes, width=0.25)
    path = tmp_path / "teacher.safetensors"
    write_weights(path, Weights(spec, LABELS, ContextNet(spec).state_dict(), {}, "for tests"))
    return path


def test_a_network_agrees_with_itself_and_not_with_noise(teacher_file: Path) -> None:
    from contextnet.models.storage import read_weights

    options = DistillationOptions(weights=str(teacher_file), temperature=2.0, weight=0.5)
    teacher = load_teacher(options, LABELS, torch.device("cpu"))
    assert teacher is not None
    images = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0)) * 255
    own = read_weights(teacher_file).build().requires_grad_(False)(images).scores
    assert float(teacher.loss(images, own, 8)) == pytest.approx(0, abs=1e-5)
    other = own + torch.randn(own.shape, generator=torch.Generator().manual_seed(1))
    assert float(teacher.loss(images, other, 8)) > 0.05


def test_the_teacher_changes_the_step_and_stays_as_it_is(teacher_file: Path) -> None:
    batch = draw_batch(blocks_split(), [0, 1], (32, 64), NO_AUGMENTATION, generator_for(0, 0, stream=1))
    losses = []
    for loss in ({}, {"distillation": {"weights": str(teacher_file), "weight": 2.0}}):
        run = start_run(tiny_recipe(loss=loss), blocks_split(), torch.device("cpu"))
        torch.manual_seed(0)
        losses.append(take_step(run, batch, 0))
        assert not any(p.requires_grad for p in (run.teacher._network.parameters() if run.teacher else ()))
    assert losses[0] is not None
    assert losses[1] is not None
    assert losses[1] > losses[0]


@pytest.mark.parametrize(("name", "error"), [("teacher", RecipeError), ("nowhere", WeightsError)])
def test_a_teacher_that_cannot_teach_is_refused(teacher_file: Path, name: str, error: type[Exception]) -> None:
    options = DistillationOptions(weights=str(teacher_file.with_stem(name)))
    with pytest.raises(error, match=name if error is WeightsError else "the data has those of 'camvid'"):
        load_teacher(options, CAMVID, torch.device("cpu"))


# Teachers whose scores span other pixels than the student's.


def scores_of(name: str, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        scores: torch.Tensor = lively_baseline(name, 3)(images).scores
    return scores


@pytest.mark.parametrize(
    ("teacher", "student_stride", "brought"),
    [
        # Enlarged bilinearly, or the mean of the middle four of the pixels of a cell.
        ("dabnet", 8, lambda scores: scores),
        ("dabnet", 4, lambda scores: F.interpolate(scores, scale_factor=2, mode="bilinear")),
        ("dabnet", 1, lambda scores: F.interpolate(scores, scale_factor=8, mode="bilinear")),
        ("enet", 1, lambda scores: scores),
        ("enet", 8, lambda scores: F.avg_pool2d(scores[:, :, 3:-3, 3:-3], 2, 8)),
        ("enet", 4, lambda scores: F.avg_pool2d(scores[:, :, 1:-1, 1:-1], 2, 4)),
        ("icnet", 8, lambda scores: F.avg_pool2d(scores, 2)),
        ("icnet", 4, lambda scores: scores),
        ("icnet", 1, lambda scores: F.interpolate(scores, scale_factor=4, mode="bilinear")),
    ],
)
def test_a_teacher_is_brought_to_the_students_cells(
    teacher: str, student_stride: int, brought: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(2, 3, 64, 96, generator=generator) * 255
    student = torch.randn(2, 3, 64 // student_stride, 96 // student_stride, generator=generator)
    expected = brought(scores_of(teacher, images))
    assert expected.shape == student.shape
    shares, logs = (expected / 2).softmax(dim=1), (expected / 2).log_softmax(dim=1)
    divergence = (shares * (logs - (student / 2).log_softmax(dim=1))).sum(dim=1).mean()
    taught = Teacher(lively_baseline(teacher, 3), 2.0, 0.5, torch.device("cpu"))
    found = taught.loss(images, student, student_stride)
    assert float(found) == pytest.approx(0.5 * 4 * float(divergence), rel=1e-3)
    assert float(found) > 0.05


@pytest.mark.parametrize(
    ("teacher", "student_stride", "student_hw"), [("dabnet", 8, (8, 8)), ("icnet", 1, (40, 56)), ("enet", 8, (8, 8))]
)
def test_networks_that_pad_otherwise_share_what_both_score(
    teacher: str, student_stride: int, student_hw: tuple[int, int]
) -> None:
    images = torch.rand(1, 3, 37, 53, generator=torch.Generator().manual_seed(6)) * 255
    taught = Teacher(lively_baseline(teacher, 3), 1.0, 1.0, torch.device("cpu"))
    scores = scores_of(teacher, images)
    stride = lively_baseline(teacher, 3).spec.output_stride
    if stride < student_stride:
        scores = downscale(scores, student_stride // stride)
    elif stride > student_stride:
        scores = upscale(scores, stride // student_stride)
    rows, columns = (min(a, b) for a, b in zip(scores.shape[-2:], student_hw, strict=True))
    student = torch.full((1, 3, *student_hw), 1e6, requires_grad=True)
    with torch.no_grad():
        student[..., :rows, :columns] = scores[..., :rows, :columns]
    loss = taught.loss(images, student, student_stride)
    assert float(loss.detach()) == pytest.approx(0, abs=1e-4), "what one of them alone scores counts for nothing"
    loss.backward()
    assert student.grad is not None
    assert student.grad.shape == student.shape


@pytest.mark.parametrize(("student", "teacher"), [("dabnet", "enet"), ("enet", "dabnet")])
def test_a_step_with_a_teacher_of_another_stride(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, student: str, teacher: str
) -> None:
    path = tmp_path / "teacher.safetensors"
    write_weights(path, replace(lively_baseline_weights(teacher, 3), labels=LABELS))
    batch = draw_batch(blocks_split(), [0, 1], (32, 64), NO_AUGMENTATION, generator_for(0, 0, stream=1))
    teach, losses, strides = Teacher.loss, [], []

    def noting(own: Teacher, images: torch.Tensor, scores: torch.Tensor, stride: int) -> torch.Tensor:
        strides.append((images.shape[-1] // scores.shape[-1], stride))
        return teach(own, images, scores, stride)

    monkeypatch.setattr(Teacher, "loss", noting)
    for loss in ({}, {"distillation": {"weights": str(path), "weight": 2.0}}):
        run = start_run(tiny_recipe(loss=loss, network={"variant": student}), blocks_split(), torch.device("cpu"))
        torch.manual_seed(0)
        losses.append(take_step(run, batch, 0))
    assert losses[0] is not None
    assert losses[1] is not None
    assert losses[1] > losses[0] + 0.01
    stride = {"dabnet": 8, "enet": 1}[student]
    assert strides == [(stride, stride)]
