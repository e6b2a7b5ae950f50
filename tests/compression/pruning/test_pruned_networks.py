"""A pruned network is one like any other: it is stored, exported and run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from contextnet.compression.pruning.groups import channel_groups
from contextnet.compression.pruning.ranking import channel_norms, strongest_channels, with_shares
from contextnet.compression.pruning.surgery import Pruned, prune_channels
from contextnet.export.network_graph import NETWORK_SCORES, PIXELS, network_graph
from contextnet.models.storage import Weights, read_weights, write_weights
from contextnet.spec import ContextNetSpec, variant
from lively_networks import lively_network, patches, some_labels

SPECS = {
    "cn14": variant("cn14", 5, dropout=0.0),
    "cn124-pyramid": variant("cn124", 5, pyramid_pooling=True, dropout=0.0),
}


def pruned_to_equal_widths(spec: ContextNetSpec) -> Pruned:
    """Prune all groups to odd widths, and two neighbours of a block without a sum to the same one."""
    tensors = lively_network(spec).state_dict()
    groups = channel_groups(spec)
    widths = {group.name: max(1, round(0.37 * group.width)) for group in groups if group.share_of is None}
    assert spec.context is not None
    last = [f"context.blocks.{i}" for i, b in enumerate(spec.context.blocks) if b.width in {64, 96, 128}]
    widths |= {name: 21 for name in last if name in widths}
    kept = strongest_channels(channel_norms(spec, tensors), with_shares(groups, widths))
    return prune_channels(spec, tensors, kept, "pruned")


@pytest.mark.parametrize("name", SPECS)
def test_it_is_stored_exported_and_run(tmp_path: Path, name: str) -> None:
    pruned = pruned_to_equal_widths(SPECS[name])
    assert pruned.spec.context is not None
    assert not all(block.residual for block in pruned.spec.context.blocks)
    path = tmp_path / "pruned.safetensors"
    write_weights(path, Weights(pruned.spec, some_labels(5), pruned.tensors))
    network = read_weights(path).build()
    image = patches((96, 160))
    expected = network(torch.from_numpy(image).permute(2, 0, 1)[None]).scores.detach().numpy()
    session = onnxruntime.InferenceSession(network_graph(network).SerializeToString())
    found = session.run([NETWORK_SCORES], {PIXELS: image[None].astype(np.float32)})[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)
