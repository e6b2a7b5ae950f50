"""What a network costs in time on this machine: as a whole, layer by layer, and as predicted for other widths."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from contextnet.compression.pruning.groups import ChannelGroup, channel_groups
from contextnet.export.deployment import model_of
from contextnet.export.network_graph import NETWORK_SCORES, network_graph
from contextnet.labels import CAMVID
from contextnet.models.contextnet import ContextNet
from contextnet.models.storage import Weights
from contextnet.network_spec import require_contextnet
from contextnet.runtime.engines.opening import open_engine
from contextnet.runtime.engines.openvino import layer_times_ms
from contextnet.runtime.onnx_file import OnnxFile, write_onnx_file
from contextnet.spec import MIN_MULTIPLIER, ContextNetSpec, variant

WARM_UP_RUNS, RUNS, MOST_RUNS = 5, 31, 1000
LEAST_S = 0.5
"""A network that is so fast that all runs take less is run more often."""

_TRIAL_HW = (64, 64)


@dataclass(frozen=True)
class Timing:
    """How latency is measured: image size, engine, and what it computes in, None for the engine's own choice."""

    size_hw: tuple[int, int] = (1024, 2048)
    engine: str = "openvino"
    precision: str | None = None
    threads: int | None = None

    def require_engine(self) -> None:
        """Raise ``ContextNetError`` where the engine cannot be used, or cannot compute as it is asked to."""
        spec = variant("cn14", CAMVID.num_classes, width=MIN_MULTIPLIER)
        replace(self, size_hw=_TRIAL_HW).measure_ms(Weights(spec, CAMVID, ContextNet(spec).state_dict()))

    def measure_ms(self, weights: Weights) -> float:
        """Time a network from a uint8 image in memory to its scores, one call at a time, and give the median."""
        image, times_s = self.image(), list[float]()
        with TemporaryDirectory(prefix="contextnet-") as folder:
            path = Path(folder) / "network.onnx"
            write_float_model(path, weights)
            opened = open_engine(path, engine=self.engine, precision=self.precision, threads=self.threads)
            with closing(opened.engine) as engine:
                while len(times_s) < WARM_UP_RUNS + RUNS or (sum(times_s) < LEAST_S and len(times_s) < MOST_RUNS):
                    began_s = time.perf_counter()
                    engine.submit(image).scores()
                    times_s.append(time.perf_counter() - began_s)
        return 1000 * median(times_s[WARM_UP_RUNS:])

    def model(self, weights: Weights) -> LatencyModel:
        """Time every layer in OpenVINO, and the whole network in the engine that counts."""
        spec = require_contextnet(weights.spec, "pruned")
        layers = layer_times_ms(
            _float_model(weights), self.image(), RUNS, precision=self.precision, threads=self.threads
        )
        units = {unit: layers.pop(unit, 0.0) for unit in _units(spec) if unit != "classifier"}
        units["classifier"] = layers.pop(NETWORK_SCORES, 0.0) + layers.pop("classifier", 0.0)
        model = LatencyModel(spec, units, sum(layers.values()))
        whole = {group.name: group.width for group in channel_groups(spec)}
        return replace(model, scale=self.measure_ms(weights) / model.predict_ms(whole))

    def image(self) -> NDArray[np.uint8]:
        """Make an image of the size, uint8 (1, H, W, 3), always the same."""
        return np.random.default_rng(0).integers(0, 256, (1, *self.size_hw, 3), np.uint8)


@dataclass(frozen=True)
class LatencyModel:
    """The milliseconds that a network's layers take, scaled to other widths.

    ``unit_ms`` are those of every convolution unit, by its name, ``rest_ms`` what is no convolution's. A convolution's
    time is taken to go with its multiply-adds; ``scale`` corrects for what that leaves out.
    """

    spec: ContextNetSpec
    unit_ms: Mapping[str, float]
    rest_ms: float
    scale: float = 1.0

    def predict_ms(self, widths: Mapping[str, int]) -> float:
        """Give the milliseconds of a network with these widths of its groups."""
        groups = channel_groups(self.spec)
        made, read = dict.fromkeys(self.unit_ms, 1.0), dict.fromkeys(self.unit_ms, 0)
        for group in groups:
            for unit in _made_in(group):
                made[unit] = made.get(unit, 1.0) * widths[group.name] / group.width
            for unit in _read_in(group):
                read[unit] = read.get(unit, 0) + widths[group.name]
        whole = _inputs(groups)
        shares = {unit: made[unit] * (read[unit] / whole[unit] if unit in whole else 1.0) for unit in self.unit_ms}
        return self.scale * (self.rest_ms + sum(ms * shares[unit] for unit, ms in self.unit_ms.items()))

    def channel_ms(self) -> dict[str, float]:
        """Give what one channel of each group costs: in the layers that make it, that pass it on, and that read it."""
        prices = {}
        groups = channel_groups(self.spec)
        whole = _inputs(groups)
        for group in groups:
            making = sum(self.unit_ms.get(unit, 0.0) / group.width for unit in _made_in(group))
            reading = sum(self.unit_ms.get(unit, 0.0) / whole[unit] for unit in _read_in(group))
            prices[group.name] = self.scale * (making + reading)
        return prices


def _made_in(group: ChannelGroup) -> list[str]:
    """Name the units whose time goes with the maps of a group that they give."""
    return [*group.filters, *group.depthwise]


def _read_in(group: ChannelGroup) -> list[str]:
    """Name the units whose time goes with the maps that they read: those of a group, or of several side by side."""
    return [reader.removesuffix(".conv") for reader, _ in group.readers]


def _inputs(groups: Sequence[ChannelGroup]) -> dict[str, int]:
    """Count the maps that each unit reads in the whole network."""
    counts: dict[str, int] = {}
    for group in groups:
        for unit in _read_in(group):
            counts[unit] = counts.get(unit, 0) + group.width
    return counts


def _units(spec: ContextNetSpec) -> list[str]:
    return list(dict.fromkeys(unit for group in channel_groups(spec) for unit in (*_made_in(group), *_read_in(group))))


def write_float_model(path: Path, weights: Weights) -> None:
    """Write the float32 model file of weights, to be timed: it is compared with nothing."""
    write_onnx_file(path, _float_model(weights))


def _float_model(weights: Weights) -> OnnxFile:
    return model_of(weights, network_graph(weights.build()), "fp32")
