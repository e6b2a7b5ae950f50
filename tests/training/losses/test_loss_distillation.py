from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contextnet.training.losses.distillation import distillation


def numpy_divergence(
    student: NDArray[np.float64], teacher: NDArray[np.float64], temperature: float
) -> NDArray[np.float64]:
    """KL(teacher ‖ student) of every cell, (N, H, W)."""

    def softened(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        raised = np.exp(scores / temperature)
        return raised / raised.sum(axis=1, keepdims=True)

    p, q = softened(teacher), softened(student)
    return np.sum(p * np.log(p / q), axis=1)


def random_scores(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    shape = (2, 5, 3, 4)
    return random.normal(scale=3, size=shape), random.normal(scale=3, size=shape)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_distillation_against_numpy(temperature: float) -> None:
    student, teacher = random_scores(1)
    cells = numpy_divergence(student, teacher, temperature)
    loss = distillation(torch.tensor(student), torch.tensor(teacher), temperature)
    assert loss.item() == pytest.approx(temperature**2 * cells.mean(), rel=1e-9)


def test_distillation_by_hand() -> None:
    # Teacher (1/4, 3/4), student (1/2, 1/2): 1/4 ln 1/2 + 3/4 ln 3/2. At T = 2 the scores are twice those of T = 1.
    teacher = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1)
    expected = math.log(0.5) / 4 + 3 * math.log(1.5) / 4
    assert distillation(torch.zeros((1, 2, 1, 1)), teacher, 1.0).item() == pytest.approx(expected, rel=1e-6)
    assert distillation(torch.zeros((1, 2, 1, 1)), 2 * teacher, 2.0).item() == pytest.approx(4 * expected, rel=1e-6)


def test_same_scores_up_to_a_constant_have_nothing_to_learn() -> None:
    scores = torch.tensor(random_scores(2)[0], requires_grad=True)
    loss = distillation(scores, scores.detach() + 7, 4.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert scores.grad is not None
    assert scores.grad.abs().max().item() < 1e-12


def test_gradient_reaches_the_student_alone() -> None:
    student, teacher = (torch.tensor(s, requires_grad=True) for s in random_scores(3))
    distillation(student, teacher, 4.0).backward()
    assert student.grad is not None
    assert student.grad.abs().min() > 0
    assert teacher.grad is None
    assert torch.autograd.gradcheck(lambda s: distillation(s, teacher, 4.0), student)


def test_scores_far_apart_and_in_bfloat16_stay_finite() -> None:
    student = torch.tensor([300.0, -300.0, 0.0]).view(1, 3, 1, 1).bfloat16().requires_grad_()
    teacher = torch.tensor([-300.0, 300.0, 0.0]).view(1, 3, 1, 1)
    loss = distillation(student, teacher, 1.0)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(600, rel=0.01)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
