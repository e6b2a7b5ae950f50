"""What training, folding and export rely on: gradients everywhere, few norms left over, traces of known layers."""

from __future__ import annotations

import pytest
import torch
from baseline_bodies import body_of, meta_image, modules_of, outline_of, random_image, settled, shape_of
from torch import fx, nn

from contextnet.export.traced_graph import _FUNCTIONS, _LAYERS, _Tracer
from contextnet.models.folding import fold_batch_norm
from contextnet.network_spec import BASELINES

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", BASELINES)
def test_every_parameter_receives_a_gradient(name: str) -> None:
    network = body_of(name, auxiliary=True).train()
    scores, auxiliary = network(random_image(64, 64, batch=2))
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(2))
    loss = (scores * weights).sum()
    if auxiliary is not None:
        loss = loss + (auxiliary**2).sum()
    loss.backward()
    for path, parameter in network.named_parameters():
        assert parameter.grad is not None, path
        assert torch.isfinite(parameter.grad).all(), path
        assert parameter.grad.any(), path


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("segnet", 0),
        ("enet", 1),
        ("icnet", 0),
        ("erfnet", 3),
        ("pspnet", 0),
        ("deeplab-v2", 0),
        ("fast-scnn", 0),
        ("dabnet", 2 * 9 + 3 + 1),
    ],
)
def test_folding_keeps_the_scores_and_leaves_only_norms_without_convolution(name: str, left: int) -> None:
    network = settled(body_of(name), random_image(64, 96, batch=2))
    folded = fold_batch_norm(network)
    assert len(list(modules_of(folded, nn.BatchNorm2d))) == left
    with torch.no_grad():
        scores, folded_scores = network(random_image(64, 96))[0], folded(random_image(64, 96))[0]
    assert scores.std() > 0.1
    assert (folded_scores - scores).abs().max() < 1e-3 * scores.abs().max()


@pytest.mark.parametrize("name", BASELINES)
def test_a_trace_holds_known_layers_alone_and_fits_every_size(name: str) -> None:
    network = outline_of(name, 5).eval()
    graph = _Tracer().trace(network)
    calls = {type(network.get_submodule(n.target)) for n in graph.nodes if n.op == "call_module"}
    assert calls <= set(_LAYERS)
    assert {n.target for n in graph.nodes if n.op == "call_function"} <= set(_FUNCTIONS)
    assert {n.op for n in graph.nodes} == {"placeholder", "call_module", "call_function", "output"}
    assert all(n.kwargs == {"dim": 1} for n in graph.nodes if n.target is torch.cat)
    traced = fx.GraphModule(network, graph)
    for height, width in ((32, 32), (96, 64)):
        assert shape_of(traced(meta_image(height, width))[0]) == shape_of(network(meta_image(height, width))[0])


@pytest.mark.parametrize("name", ["enet", "erfnet", "icnet", "fast-scnn", "dabnet"])
def test_a_trace_gives_the_networks_scores(name: str) -> None:
    network = settled(body_of(name), random_image(64, 64, batch=2))
    traced = fx.GraphModule(network, _Tracer().trace(network))
    with torch.no_grad():
        assert torch.equal(traced(random_image(96, 64))[0], network(random_image(96, 64))[0])
