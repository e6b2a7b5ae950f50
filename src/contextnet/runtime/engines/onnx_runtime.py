"""ONNX Runtime as an engine: an ONNX model file on the CPU or on an NVIDIA GPU, set up for each shape that comes.

Fixed to a shape, the graph loses its arithmetic on sizes. Only the scores are computed here; labels are made of them
by ``contextnet.runtime.labelling``.
"""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from contextnet.errors import ContextNetError, MissingDependencyError, ModelFileError
from contextnet.runtime.engines.cores import at_least_one, usable_threads
from contextnet.runtime.engines.engine import EngineInfo, Images, Scores
from contextnet.runtime.engines.scoring_call import CallsInFlight, ScoringCall, accept_images
from contextnet.runtime.engines.shape_cache import KEPT_SHAPES, ShapeCache
from contextnet.runtime.engines.tensorrt_cache import engine_cache
from contextnet.runtime.onnx_file import IMAGE, SCORES, OnnxFile

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
PROVIDERS = {"cpu": ("CPUExecutionProvider",), "cuda": (CUDA,), "tensorrt": (TENSORRT, CUDA)}
"""What computes on each device in ONNX Runtime; what the first cannot compute goes to the next."""

_LOG_ERRORS = 3
_REASON_LENGTH = 300


def open_engine(
    model: OnnxFile,
    *,
    device: str = "cpu",
    precision: str | None = None,
    in_flight: int = 1,
    threads: int | None = None,
) -> OnnxRuntimeEngine:
    """Make a model file ready to run on "cpu", "cuda" or "tensorrt"; "cuda:1" is the second GPU.

    ``precision`` is "fp32" or None, which both leave it as it is in the file; what the file holds in fp16 a CPU casts
    to fp32 and computes so. ``threads`` are those of all calls in flight together, None for one on each core that this
    process may use. Raises ``MissingDependencyError`` without ONNX Runtime, or without its part for the device;
    ``ContextNetError`` for an unknown device or precision and for numbers below 1.
    """
    threads = usable_threads(threads)
    at_least_one("in_flight", in_flight)
    if precision not in {None, "fp32"}:
        raise ContextNetError(f"precision '{precision}': ONNX Runtime computes in fp32 and in what the file holds")
    runtime = _load()
    kind, index = _parse_device(device)
    _require_providers(runtime, kind)
    options = {} if kind == "cpu" else {"device_id": index}
    # A thread that has begun a call on a GPU waits for it, and takes no core meanwhile.
    workers = min(in_flight, threads) if kind == "cpu" else in_flight
    dimensions = model.graph.graph.input[0].type.tensor_type.shape.dim
    opener = _SessionOpener(
        runtime,
        graph=model.scoring(),
        dimensions=tuple(dimension.dim_param for dimension in dimensions),
        providers=tuple((name, options) for name in PROVIDERS[kind]),
        # All calls share a session's threads, and every worker computes along with them.
        threads=max(1, threads - workers + 1),
        spins=in_flight == 1,
    )
    info = EngineInfo("onnxruntime", runtime.__version__, device, _arithmetic(model, kind), in_flight)
    return OnnxRuntimeEngine(opener, model.size_hw, info, workers, stride=model.metadata.spec.output_stride)


def has_cuda() -> bool:
    """Tell whether the installed ONNX Runtime was built for CUDA."""
    return CUDA in _load().get_available_providers()


@dataclass(frozen=True, eq=False)
class _SessionOpener:
    """What a session is opened from, and how.

    ``dimensions`` are the names of the image's dimensions in the graph, empty where it is fixed; ``threads`` counts the
    one that calls the session. Threads that spin while they wait answer sooner and take the cores from each other when
    several calls run at a time.
    """

    runtime: ModuleType
    graph: bytes
    dimensions: tuple[str, ...]
    providers: tuple[tuple[str, dict[str, str]], ...]
    threads: int
    spins: bool

    def open(self, shape: tuple[int, ...]) -> InferenceSession:
        """Open a session for images of ``shape``, (N, H, W, 3)."""
        options = self.runtime.SessionOptions()
        options.log_severity_level = _LOG_ERRORS
        options.intra_op_num_threads = self.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self.spins)))
        for name, length in zip(self.dimensions, shape, strict=True):
            if name:
                options.add_free_dimension_override_by_name(name, length)
        try:
            session = self.runtime.InferenceSession(
                self.graph, options, providers=self._providers(shape), enable_fallback=False
            )
        except Exception as error:  # its own errors have no common base
            raise _refusal(shape, error) from error
        provider = self.providers[0][0]
        if provider not in session.get_providers():
            raise ContextNetError(
                f"ONNX Runtime cannot start its {provider}; it needs an NVIDIA GPU with its driver, and CUDA's "
                "libraries: pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
        return session

    def _providers(self, shape: tuple[int, ...]) -> list[tuple[str, dict[str, str]]]:
        return [
            (name, options | (_kept_engines(self.graph, shape) if name == TENSORRT else {}))
            for name, options in self.providers
        ]


class OnnxRuntimeEngine:
    """Runs a network on images of any shape; sessions for the last few shapes stay open.

    Up to ``workers`` calls in flight run at the same time in one session. ``stride`` is that of the network's scores.
    Results stay valid, after ``close`` too.
    """

    def __init__(
        self, opener: _SessionOpener, fixed_hw: tuple[int, int] | None, info: EngineInfo, workers: int, *, stride: int
    ) -> None:
        self._info = info
        self._fixed_hw = fixed_hw
        self._stride = stride
        self._sessions = ShapeCache(opener.open, KEPT_SHAPES)
        self._calls = CallsInFlight(info.in_flight)
        self._executor = ThreadPoolExecutor(workers, "onnxruntime")

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
        scores = self._executor.submit(_score, self._sessions[images.shape], images)
        return self._calls.add(ScoringCall(scores.result, images.shape[1:3], self._stride))

    def close(self) -> None:
        """Give back memory and threads; calls that are on their way are finished first."""
        self._calls.close()
        self._executor.shutdown()
        self._sessions.clear()


def _score(session: InferenceSession, images: Images) -> Scores:
    try:
        scores: Scores = session.run([SCORES], {IMAGE: images})[0]
    except Exception as error:  # its own errors have no common base
        raise _refusal(images.shape, error) from error
    return scores


def _refusal(shape: tuple[int, ...], error: Exception) -> ModelFileError:
    reason = " ".join(str(error).split())[:_REASON_LENGTH]
    return ModelFileError(f"ONNX Runtime cannot run the network on images of {'×'.join(map(str, shape))}: {reason}")


def _arithmetic(model: OnnxFile, kind: str) -> str:
    """Tell what a model file is computed in on a kind of device."""
    precision = model.metadata.precision
    if precision == "int8":
        return "int8+fp32"
    return "fp32" if kind == "cpu" else precision


def _kept_engines(graph: bytes, shape: tuple[int, ...]) -> dict[str, str]:
    """Tell TensorRT where to keep what it builds for a graph and a shape, if that can be kept at all."""
    folder = engine_cache(graph, shape)
    return {} if folder is None else {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(folder)}


def _load() -> ModuleType:
    try:
        runtime = import_module("onnxruntime")
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        raise MissingDependencyError("ONNX Runtime is not installed; pip install 'contextnet[onnxruntime]'") from None
    # On Windows it reports to its maker unless told not to.
    runtime.disable_telemetry_events()
    return runtime


def _parse_device(device: str) -> tuple[str, str]:
    """Split a device into its kind and the number of the GPU."""
    match = re.fullmatch(r"(cpu)|(cuda|tensorrt)(?::(\d+))?", device)
    if match is None:
        raise ContextNetError(f"device '{device}': ONNX Runtime takes cpu, cuda, tensorrt, cuda:N or tensorrt:N")
    return match[1] or match[2], match[3] or "0"


def _require_providers(runtime: ModuleType, kind: str) -> None:
    """Raise ``MissingDependencyError`` when this build of ONNX Runtime lacks what computes on a kind of device."""
    lacking = [name for name in PROVIDERS[kind] if name not in runtime.get_available_providers()]
    if lacking:
        raise MissingDependencyError(
            f"device '{kind}': ONNX Runtime {runtime.__version__} here has no {' and no '.join(lacking)}; "
            "pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    if kind != "cpu":
        # Loads CUDA's libraries from where pip has put them. What it fails to load it prints; a session that then
        # cannot start says so.
        with redirect_stdout(io.StringIO()):
            runtime.preload_dlls()
