"""OpenVINO as an engine: a model file on the CPU, compiled for each shape of images that comes.

Fixed to a shape, the graph loses its arithmetic on sizes, and OpenVINO lays out its memory once. Only the scores are
computed here; labels are made of them by ``contextnet.runtime.labelling``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from contextnet.errors import ContextNetError, ModelFileError
from contextnet.runtime.engines.cores import at_least_one, usable_threads
from contextnet.runtime.engines.engine import EngineInfo, Images, Scores
from contextnet.runtime.engines.scoring_call import CallsInFlight, ScoringCall, accept_images
from contextnet.runtime.engines.shape_cache import KEPT_SHAPES, ShapeCache
from contextnet.runtime.onnx_file import SCORES, OnnxFile
from contextnet.runtime.openvino_ir import IrFile
from contextnet.runtime.openvino_package import load_openvino, openvino_core

if TYPE_CHECKING:
    from openvino import Core, InferRequest, Model  # type: ignore[import-untyped]

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
"""What an engine can be told to compute in, and OpenVINO's names for it."""

_DEVICE = "CPU"
_PRECISION_NAMES = {"f32": "fp32", "f16": "fp16"}


def open_engine(
    model: OnnxFile | IrFile, *, precision: str | None = None, in_flight: int = 1, threads: int | None = None
) -> OpenVinoEngine:
    """Make a model file ready to run on the CPU.

    ``precision`` is "fp32" or "bf16", or None for what OpenVINO chooses on this CPU; what is INT8 stays so. ``threads``
    are those of all calls in flight together, None for one on each core that this process may use. Raises
    ``MissingDependencyError`` without OpenVINO, ``ContextNetError`` for a precision that it or the CPU lacks and for
    numbers below 1, ``ModelFileError`` when OpenVINO cannot read the network.
    """
    at_least_one("in_flight", in_flight)
    openvino = load_openvino()
    core = openvino_core()
    config = _config(core, precision, in_flight, usable_threads(threads))
    version: str = openvino.__version__.partition("-")[0]
    arithmetic = precision or _own_precision(core)
    if model.metadata.precision == "int8":
        arithmetic = f"int8+{arithmetic}"
    info = EngineInfo("openvino", version, _DEVICE.lower(), arithmetic, in_flight)
    stride = model.metadata.spec.output_stride
    compiler = _Compiler(openvino, core, _scoring_graph(openvino, core, model), config, in_flight, stride == 1)
    return OpenVinoEngine(compiler, model.size_hw, info, stride)


def layer_times_ms(
    model: OnnxFile | IrFile, images: Images, runs: int, *, precision: str | None = None, threads: int | None = None
) -> dict[str, float]:
    """Give the milliseconds that each layer takes on the CPU, by the name of its node in the model: the median of runs.

    What OpenVINO computes together counts under one of the names. Raises what ``open_engine`` raises.
    """
    openvino = load_openvino()
    core = openvino_core()
    config = _config(core, precision, 1, usable_threads(threads)) | {"PERF_COUNT": "YES"}
    stride = model.metadata.spec.output_stride
    compiler = _Compiler(openvino, core, _scoring_graph(openvino, core, model), config, 1, stride == 1)
    network = compiler.compile(images.shape)
    network.start(images)()  # a warm-up
    times: list[Counter[str]] = []
    for _ in range(runs):
        network.start(images)()
        layers = next(network.requests).profiling_info
        times.append(Counter())
        for layer in layers:
            times[-1][layer.node_name.partition("/")[0]] += 1000 * layer.real_time.total_seconds()
    return {name: median(run[name] for run in times) for name in times[0]}


def _config(core: Core, precision: str | None, in_flight: int, threads: int) -> dict[str, str | int]:
    config: dict[str, str | int] = {"INFERENCE_NUM_THREADS": threads}
    if in_flight == 1:
        config |= {"PERFORMANCE_HINT": "LATENCY"}
    else:
        config |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": min(in_flight, threads)}
    if precision is not None:
        config |= {"INFERENCE_PRECISION_HINT": _precision_hint(core, precision)}
    return config


@dataclass(frozen=True, eq=False)
class _Network:
    """A network compiled for one shape of images; calls in flight take its requests in turn.

    ``scores_shape`` is (N, C, h, w), or (N, h, w, C) with ``classes_last``.
    """

    openvino: ModuleType
    requests: Iterator[InferRequest]
    scores_shape: tuple[int, ...]
    classes_last: bool

    def start(self, images: Images) -> Callable[[], Scores]:
        """Begin with contiguous images, and give what waits for their scores."""
        request, scores = next(self.requests), np.empty(self.scores_shape, np.float32)
        # Both arrays are used in place. This way to wrap the images takes read-only ones too.
        request.set_input_tensor(self.openvino.Tensor(images, images.shape, self.openvino.Type.u8))
        request.set_output_tensor(self.openvino.Tensor(scores, shared_memory=True))
        request.start_async()

        def wait(images: Images = images) -> Scores:
            request.wait()
            return scores.transpose(0, 3, 1, 2) if self.classes_last else scores

        return wait


@dataclass(frozen=True, eq=False)
class _Compiler:
    """What a network is compiled from, and how.

    With ``classes_last`` the scores stay as OpenVINO computes them: where every pixel has its own, it would take longer
    to part them by class than NumPy does.
    """

    openvino: ModuleType
    core: Core
    graph: Model
    config: Mapping[str, str | int]
    in_flight: int
    classes_last: bool

    def compile(self, shape: tuple[int, ...]) -> _Network:
        """Compile the network for images of ``shape``, (N, H, W, 3)."""
        graph = self.graph.clone()
        if self.classes_last:
            steps = self.openvino.preprocess.PrePostProcessor(graph)
            steps.output().model().set_layout(self.openvino.Layout("NCHW"))
            steps.output().tensor().set_layout(self.openvino.Layout("NHWC"))
            graph = steps.build()
        try:
            graph.reshape(list(shape))
            compiled = self.core.compile_model(graph, _DEVICE, dict(self.config))
        except RuntimeError as error:
            what = f"run the network on images of {'×'.join(map(str, shape))}"
            raise _refusal(what, error) from error
        # When a request's turn comes again, as many calls have begun since, so that its last one has been waited for.
        requests = cycle([compiled.create_infer_request() for _ in range(self.in_flight)])
        return _Network(self.openvino, requests, tuple(compiled.output(0).shape), self.classes_last)


class OpenVinoEngine:
    """Runs a network on images of any shape, of which the last few stay compiled.

    Images that are contiguous are used where they are. ``stride`` is that of the network's scores. Results stay valid,
    after ``close`` too.
    """

    def __init__(self, compiler: _Compiler, fixed_hw: tuple[int, int] | None, info: EngineInfo, stride: int) -> None:
        self._info = info
        self._fixed_hw = fixed_hw
        self._stride = stride
        self._calls = CallsInFlight(info.in_flight)
        self._networks = ShapeCache(compiler.compile, KEPT_SHAPES)

    @property
    def info(self) -> EngineInfo:
        """What computes, where and how."""
        return self._info

    def submit(self, images: Images) -> ScoringCall:
        """Begin with some images of one size; they must not change until the result has been taken.

        Raises ``ContextNetError`` for another size than the one that the model file is fixed to.
        """
        images = accept_images(images, self._fixed_hw)
        self._calls.make_room()
        network = self._networks[images.shape]
        return self._calls.add(ScoringCall(network.start(images), images.shape[1:3], self._stride))

    def close(self) -> None:
        """Give back memory and threads; calls that are on their way are finished first."""
        self._calls.close()
        self._networks.clear()

    def __del__(self) -> None:
        # A call on its way reads and writes memory that nobody else may hold.
        self._calls.close()


def _precision_hint(core: Core, precision: str) -> str:
    """Give OpenVINO's name of a precision; raises ``ContextNetError`` when it or the CPU lacks it."""
    if precision not in PRECISIONS:
        raise ContextNetError(f"precision '{precision}': OpenVINO computes in {' or '.join(PRECISIONS)} here")
    if precision == "bf16" and "BF16" not in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"):
        raise ContextNetError("precision 'bf16': this CPU does not compute in bfloat16; use fp32")
    return PRECISIONS[precision]


def _own_precision(core: Core) -> str:
    """Tell what OpenVINO computes in on this CPU unless it is told otherwise; a compiled network would say the same."""
    name: str = core.get_property(_DEVICE, "INFERENCE_PRECISION_HINT").get_type_name()
    return _PRECISION_NAMES.get(name, name)


def _scoring_graph(openvino: ModuleType, core: Core, model: OnnxFile | IrFile) -> Model:
    """Read a model file as OpenVINO's graph with ``scores`` as its only output."""
    try:
        if isinstance(model, OnnxFile):
            return core.read_model(model.scoring())
        graph = core.read_model(model.xml, model.weights)
    except RuntimeError as error:
        raise _refusal("read the network", error) from error
    scores = [result for result in graph.get_results() if SCORES in result.input_value(0).get_names()]
    return openvino.Model(scores, graph.get_parameters())


def _refusal(what: str, error: RuntimeError) -> ModelFileError:
    return ModelFileError(f"OpenVINO cannot {what}: {' '.join(str(error).split())}")
