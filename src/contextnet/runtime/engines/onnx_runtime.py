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
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from contextnet.errors import ContextNetError, MissingDependencyError, ModelFileError
from contextnet.runtime.engines.cores import at_least_one, usable_threads
from contextnet.runtime.engines.engine import EngineInfo, Images
from contextnet.runtime.engines.scoring_call import KEPT_SHAPES, CallsInFlight, ScoringCall, accept_images
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

    ``precision`` is "fp32" or None, which both leave it as it is in the file. ``threads`` are those of all calls in
    flight together, None for one on each core that this process may use. Raises ``MissingDependencyError`` without
    ONNX Runtime, or without its part for the device; ``ContextNetError`` for an unknown device or precision and for
    numbers below 1.
    """
    threads = usable_threads(threads)
    at_least_one("in_flight", in_flight)
    if precision not in {None, "fp32"}:
        raise ContextNetError(f"precision '{precision}': ONNX Runtime computes in fp32 and in what the file holds")
    runtime = _load()
    kind, index = _parse_device(device)
    _require_providers(runtime, kind)
    options = {} if kind == "cpu" else {"device_id": index}
    dimensions = model.graph.graph.input[0].type.tensor_type.shape.dim
    opener = _SessionOpener(
        runtime,
        graph=model.scoring(),
        dimensions=tuple(dimension.dim_param for dimension in dimensions),
        providers=tuple((name, options) for name in PROVIDERS[kind]),
        threads=threads,
        spins=in_flight == 1,
    )
    is_int8 = model.metadata.precision == "int8"
    arithmetic = "int8+fp32" if is_int8 else model.metadata.precision
    info = EngineInfo("onnxruntime", runtime.__version__, device, arithmetic, in_flight)
    return OnnxRuntimeEngine(opener, model.size_hw, info)


def has_cuda() -> bool:
    """Tell whether the installed ONNX Runtime was built for CUDA."""
    return CUDA in _load().get_available_providers()


@dataclass(frozen=True, eq=False)
class _SessionOpener:
    """What a session is opened from, and how.

    ``dimensions`` are the names of the image's dimensions in the graph, empty where it is fixed. Threads that spin
    while they wait answer sooner and take the cores from each other when several calls run at a time.
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
                self.graph, options, providers=list(self.providers), enable_fallback=False
            )
        except Exception as error:  # its own errors have no common base
            what = f"run the network on images of {'×'.join(map(str, shape))}"
            reason = " ".join(str(error).split())[:_REASON_LENGTH]
            raise ModelFileError(f"ONNX Runtime cannot {what}: {reason}") from error
        provider = self.providers[0][0]
        if provider not in session.get_providers():
            raise ContextNetError(
                f"ONNX Runtime cannot start its {provider}; it needs an NVIDIA GPU with its driver, and CUDA's "
                "libraries: pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
        return session


class OnnxRuntimeEngine:
    """Runs a network on images of any shape; sessions for the last few shapes stay open.

    Calls in flight run at the same time in one session. Results stay valid, after ``close`` too.
    """

    def __init__(self, opener: _SessionOpener, fixed_hw: tuple[int, int] | None, info: EngineInfo) -> None:
        self._info = info
        self._fixed_hw = fixed_hw
        self._session = lru_cache(KEPT_SHAPES)(opener.open)
        self._calls = CallsInFlight(info.in_flight)
        self._executor = ThreadPoolExecutor(info.in_flight, "onnxruntime")

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
        session = self._session(images.shape)
        outputs = self._executor.submit(session.run, [SCORES], {IMAGE: images})
        return self._calls.add(ScoringCall(lambda: outputs.result()[0], images.shape[1:3]))

    def close(self) -> None:
        """Give back memory and threads; calls that are on their way are finished first."""
        self._calls.close()
        self._executor.shutdown()
        self._session.cache_clear()


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
