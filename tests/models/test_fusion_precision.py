import copy

import pytest
import torch

from contextnet.models.fusion import FusionUnit


@pytest.mark.parametrize("factor", [2, 4])
def test_bfloat16_training_has_the_gradients_of_float32(factor: int) -> None:
    torch.manual_seed(0)
    exact = FusionUnit(32, 32, 32, factor).to(memory_format=torch.channels_last).train()
    mixed = copy.deepcopy(exact)
    context = torch.randn(4, 32, 44 // factor, 60 // factor).contiguous(memory_format=torch.channels_last)
    detail = torch.randn(4, 32, 44 // factor * factor, 60 // factor * factor)
    detail = detail.contiguous(memory_format=torch.channels_last)
    weights = torch.randn(4, 32, *detail.shape[2:])
    gradients = []
    for unit, enabled in ((exact, False), (mixed, True)):
        # Freed memory full of large numbers shows any kernel that reads what it never wrote.
        junk = [torch.full((1 << 20,), 1e30) for _ in range(16)]
        del junk
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            fused = unit(context, detail)
        (fused.float() * weights).sum().backward()
        gradients.append({name: p.grad for name, p in unit.named_parameters()})
    for name, gradient in gradients[0].items():
        error = (gradients[1][name] - gradient).abs().max() / gradient.abs().max().clamp(min=1e-6)
        # bfloat16 keeps eight bits; sums that cancel keep fewer. Unwritten memory is wrong by 1e25.
        assert error < 0.2 or gradient.abs().max() < 1e-2, name
