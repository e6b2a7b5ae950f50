"""Distillation: a network learns from another one's scores beside the labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def distillation(student_NCHW: Tensor, teacher_NCHW: Tensor, temperature: float) -> Tensor:
    """Give T² times the divergence KL(teacher ‖ student) of the scores softened by T, averaged over cells.

    Scores are float (N, classes, h, w) before the soft-max, of both networks alike; no gradient reaches the
    teacher. The factor T² keeps the size of the gradient as T changes. Source: Hinton et al., "Distilling the Knowledge
    in a Neural Network", section 2.
    """
    assert student_NCHW.shape == teacher_NCHW.shape, "student and teacher score the same classes on the same cells"
    precision = torch.promote_types(student_NCHW.dtype, torch.float32)
    student = F.log_softmax(student_NCHW.to(precision) / temperature, dim=1)
    teacher = F.log_softmax(teacher_NCHW.detach().to(precision) / temperature, dim=1)
    divergence_NHW = F.kl_div(student, teacher, reduction="none", log_target=True).sum(1)
    return temperature**2 * divergence_NHW.mean()
