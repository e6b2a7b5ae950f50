"""Distillation: a network learns from another one's scores beside the labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def distillation(
    student_NCHW: Tensor, teacher_NCHW: Tensor, temperature: float, counted_NHW: Tensor | None = None
) -> Tensor:
    """Give T² times the divergence KL(teacher ‖ student) of the scores softened by T, averaged over cells.

    Scores are float (N, classes, H / 8, W / 8) before the soft-max, of both networks alike; no gradient reaches the
    teacher. ``counted_NHW`` is boolean (N, H / 8, W / 8): only cells marked true count, and the loss is zero where none
    is. The factor T² keeps the size of the gradient as T changes. Source: Hinton et al., "Distilling the Knowledge in a
    Neural Network", section 2.
    """
    assert student_NCHW.shape == teacher_NCHW.shape, "student and teacher score the same classes on the same cells"
    precision = torch.promote_types(student_NCHW.dtype, torch.float32)
    student = F.log_softmax(student_NCHW.to(precision) / temperature, dim=1)
    teacher = F.log_softmax(teacher_NCHW.detach().to(precision) / temperature, dim=1)
    divergence_NHW = F.kl_div(student, teacher, reduction="none", log_target=True).sum(1)
    if counted_NHW is None:
        return temperature**2 * divergence_NHW.mean()
    total = divergence_NHW.mul(counted_NHW).sum()
    return temperature**2 * total / counted_NHW.sum().clamp(min=1)
