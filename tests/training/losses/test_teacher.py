from __future__ import annotations

from pathlib import Path

import pytest
import torch

from contextnet.data.augmentation import NO_AUGMENTATION
from contextnet.data.batches import draw_batch, generator_for
from contextnet.errors import RecipeError, WeightsError
from contextnet.labels import CAMVID
from contextnet.models.contextnet import ContextNet
from contextnet.models.storage import Weights, write_weights
from contextnet.spec import variant
from contextnet.training.losses.teacher import load_teacher
from contextnet.training.recipe.loss import DistillationOptions
from contextnet.training.run import start_run
from contextnet.training.trainer import take_step
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
    assert float(teacher.loss(images, own)) == pytest.approx(0, abs=1e-5)
    other = own + torch.randn(own.shape, generator=torch.Generator().manual_seed(1))
    assert float(teacher.loss(images, other)) > 0.05


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
