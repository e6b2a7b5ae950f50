"""The architecture as data: every network of the paper, widened, pruned or of finer output, is a ``ContextNetSpec``.

What the paper leaves open, and how it is read here (``docs/architecture.md`` has the reasons):

* the first bottleneck, expansion 1, keeps its 1×1 expansion: only so does the context branch have 38 layers;
* the last convolution of Table 2 is 1×1: only so does cn14 have 0.85 M parameters;
* the fusion unit upsamples by the ratio of the two branches' strides (4 for cn14) and dilates by the same number;
* cn124 fuses its half-resolution detail branch first and its full-resolution one second, each by a unit of Table 3.

Beyond the paper, cn14-fine and cn12-fine fuse a second, still shallower detail branch, whose cells are 4×4 pixels.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from contextnet.errors import ContextNetError, WeightsError

if TYPE_CHECKING:
    from pydantic import ValidationError

OUTPUT_STRIDE = 8
"""The paper's networks give scores at one eighth of the image's height and width."""

FINE_STRIDE = 4
"""Where the finest detail branch puts out one quarter of the image, the scores come there."""

INPUT_SCALE = 1 / 255
"""Normalization: images of 0…255 are multiplied by this; the first batch norm absorbs any mean."""

MIN_MULTIPLIER, MAX_MULTIPLIER = 0.05, 5
MAX_WIDTH = 4096
MAX_BLOCKS = 64
MAX_PYRAMID_GRIDS = 8
MAX_PYRAMID_BIN = 64
MAX_NAME_LENGTH = 100
DEFAULT_PYRAMID_BINS = (1, 2, 3, 6)

_STRICT = {"extra": "forbid"}
"""How pydantic reads the values below: unknown fields are refused."""


@dataclass(frozen=True)
class BottleneckSpec:
    """One bottleneck residual block (Table 1).

    A 1×1 convolution to ``hidden``, a depth-wise 3×3 of ``stride``, a linear 1×1 to ``width``. ``expansion`` is the
    nominal factor of Table 2; ``hidden`` is what the block really has, smaller where pruned. The block adds its input
    where the shapes allow it, unless ``residual`` is False: pruned widths may come to be equal.
    """

    __pydantic_config__ = _STRICT

    expansion: int
    hidden: int
    width: int
    stride: int
    residual: bool = True

    def adds_input(self, width_in: int) -> bool:
        """Tell whether the block adds its input of so many maps to its output."""
        return self.residual and self.stride == 1 and self.width == width_in


@dataclass(frozen=True)
class SeparableSpec:
    """One depth-wise separable convolution of the detail branch: depth-wise 3×3 of ``stride``, 1×1 to ``width``."""

    __pydantic_config__ = _STRICT

    width: int
    stride: int


@dataclass(frozen=True)
class ContextBranchSpec:
    """The deep branch (Table 2): reads the image at 1/``scale``.

    ``stem`` is the width of the first 3×3 convolution of stride 2, ``head`` that of the last 1×1 convolution;
    ``pyramid_bins`` are the grid sizes of pyramid pooling behind it, empty for none.
    """

    __pydantic_config__ = _STRICT

    scale: int
    stem: int
    blocks: tuple[BottleneckSpec, ...]
    head: int
    pyramid_bins: tuple[int, ...] = ()

    @property
    def stride(self) -> int:
        """How many image pixels one output cell spans, each way."""
        return self.scale * 2 * prod(block.stride for block in self.blocks)


@dataclass(frozen=True)
class DetailBranchSpec:
    """The shallow branch (section 2.2): reads the image at 1/``scale``; ``stem`` is the 3×3 convolution's width."""

    __pydantic_config__ = _STRICT

    scale: int
    stem: int
    blocks: tuple[SeparableSpec, ...]

    @property
    def stride(self) -> int:
        """How many image pixels one output cell spans, each way."""
        return self.scale * 2 * prod(block.stride for block in self.blocks)

    @property
    def width(self) -> int:
        """Number of feature maps that the branch puts out."""
        return self.blocks[-1].width if self.blocks else self.stem


@dataclass(frozen=True)
class ContextNetSpec:
    """A whole network. JSON in (``from_json``), JSON out (``to_json``).

    ``details`` run from the coarsest to the finest; branch k is fused at ``fusion_widths[k]`` feature maps. Without
    ``context`` the one detail branch is a network of its own; without ``details`` the context branch is. ``auxiliary``
    adds a classifier on the context branch, for training only. ``dropout`` is the rate before the soft-max.

    Raises ``WeightsError`` when the numbers do not make a network.
    """

    __pydantic_config__ = _STRICT

    name: str
    num_classes: int
    context: ContextBranchSpec | None
    details: tuple[DetailBranchSpec, ...]
    fusion_widths: tuple[int, ...]
    auxiliary: bool = False
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for complaint in _complaints(self):
            raise WeightsError(f"network {reprlib.repr(self.name)}: {complaint}")

    @property
    def size_multiple(self) -> int:
        """Heights and widths divisible by this run as they are; others are padded to the next multiple."""
        strides = [b.stride for b in (self.context, *self.details) if b is not None]
        return max(strides)

    @property
    def output_stride(self) -> int:
        """How many image pixels one score spans, each way."""
        return self.details[-1].stride if self.details else OUTPUT_STRIDE

    @property
    def has_pyramid(self) -> bool:
        """Whether cells that span the whole image are among what it normalizes."""
        return self.context is not None and bool(self.context.pyramid_bins)

    def to_json(self) -> dict[str, Any]:
        """Describe the network as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ContextNetSpec:
        """Rebuild a network's description from JSON values; nothing is converted, 19.0 is no number of classes.

        Raises ``WeightsError`` naming the first wrong field.
        """
        # What checks types takes longer to import than all else that labels an image.
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(ContextNetSpec).validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            raise WeightsError(f"network description: {_first_fault(error)}") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise WeightsError(f"network description: not JSON values: {error}") from None


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    if isinstance(cause := first.get("ctx", {}).get("error"), WeightsError):
        return str(cause)
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    if first["type"] == "missing":
        return f"'{place}' is missing"
    if first["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        return f"'{place}' is no part of it; remove it"
    return f"'{place}' is {reprlib.repr(first['input'])}: {first['msg']}"


def _complaints(spec: ContextNetSpec) -> list[str]:
    """Everything that keeps ``spec`` from being a network, in words."""
    found = []
    if not (1 <= len(spec.name) <= MAX_NAME_LENGTH and spec.name.isprintable()):
        return [f"its name must be 1 to {MAX_NAME_LENGTH} printable characters"]
    if spec.context is None and len(spec.details) != 1:
        found.append("without a context branch there must be exactly one detail branch")
    if len(spec.fusion_widths) != (len(spec.details) if spec.context else 0):
        found.append("each detail branch beside a context branch needs one fusion width")
    if spec.context is None and spec.auxiliary:
        found.append("without a context branch there is nothing for an auxiliary classifier to read")
    found += complaints_of_head(spec.num_classes, spec.dropout)
    widths = [*spec.fusion_widths]
    for branch in spec.details:
        widths += [branch.stem, *(b.width for b in branch.blocks)]
    if spec.context:
        widths += [spec.context.stem, spec.context.head]
        widths += [w for b in spec.context.blocks for w in (b.expansion, b.hidden, b.width)]
    if any(not 1 <= w <= MAX_WIDTH for w in widths):
        least, most = reprlib.repr(min(widths)), reprlib.repr(max(widths))
        found.append(f"widths {least} to {most}; 1 to {MAX_WIDTH} are possible")
    found += _stride_complaints(spec)
    if spec.context:
        found += _pyramid_complaints(spec.context.pyramid_bins)
    return found


def complaints_of_head(num_classes: int, dropout: float) -> list[str]:
    """Say what keeps a network from having so many classes and such a dropout, in words."""
    found = []
    if not 1 <= num_classes <= 254:
        found.append(f"{reprlib.repr(num_classes)} classes; 1 to 254 are possible")
    if not 0 <= dropout < 1:
        found.append(f"dropout {reprlib.repr(dropout)}; expected 0 to below 1")
    return found


def _stride_complaints(spec: ContextNetSpec) -> list[str]:
    branches = [b for b in (spec.context, *spec.details) if b is not None]
    if any(len(b.blocks) > MAX_BLOCKS for b in branches):
        return [f"more than {MAX_BLOCKS} blocks in a branch"]
    if any(b.scale not in {1, 2, 4, 8} or any(x.stride not in {1, 2} for x in b.blocks) for b in branches):
        return ["input scales must be 1, 2, 4 or 8, and block strides 1 or 2"]
    strides = [b.stride for b in branches]
    if strides != sorted(strides, reverse=True) or len(set(strides)) != len(strides):
        return [f"branches must run from the coarsest to the finest; their strides are {reprlib.repr(strides)}"]
    if spec.details and strides[-1] not in {OUTPUT_STRIDE, FINE_STRIDE}:
        wanted = f"1/{OUTPUT_STRIDE} or 1/{FINE_STRIDE}"
        return [f"the finest branch must put out {wanted} of the image; the strides are {strides}"]
    if (spec.context and spec.context.stride < OUTPUT_STRIDE) or max(strides) > 256:
        return [f"the strides are {strides}; the context branch's can be {OUTPUT_STRIDE} to 256"]
    return []


def _pyramid_complaints(bins: Sequence[int]) -> list[str]:
    if len(bins) <= MAX_PYRAMID_GRIDS and all(1 <= b <= MAX_PYRAMID_BIN for b in bins):
        return []
    shown = reprlib.repr(bins)
    return [f"pyramid bins {shown}; at most {MAX_PYRAMID_GRIDS} of 1 to {MAX_PYRAMID_BIN} are possible"]


@dataclass(frozen=True)
class _Widths:
    """The feature maps that a variant may change: those of Table 2 by output width, and the detail branch's."""

    stem: int = 32
    stages: tuple[int, int, int, int, int] = (32, 48, 64, 96, 128)
    head: int = 128
    detail: tuple[int, int, int, int] = (32, 64, 128, 128)
    fusion: int = 128

    def times(self, factor: float) -> _Widths:
        def scaled(width: int) -> int:
            return max(1, round(width * factor))

        a, b, c, d, e = (scaled(w) for w in self.stages)
        p, q, r, s = (scaled(w) for w in self.detail)
        return _Widths(scaled(self.stem), (a, b, c, d, e), scaled(self.head), (p, q, r, s), scaled(self.fusion))


_FULL = _Widths()

# The paper gives only the parameter counts of its two small networks. Six numbers are free here: the feature maps
# that are 32, 48, 64 and 96 in the full network, the 128 of the last bottlenecks, and the 128 that head, detail branch
# and fusion unit share. Of all multiples of eight that give the paper's count (batch norm counted) within 0.5 %, these
# come nearest to a uniform scaling: least standard deviation of the six log ratios. tests/test_spec.py repeats it.
_CN14_500 = _Widths(24, (24, 32, 48, 72, 96), 104, (24, 48, 104, 104), 104)
_CN14_160 = _Widths(16, (16, 24, 24, 32, 56), 56, (16, 24, 56, 56), 56)


def _context_branch(scale: int, widths: _Widths) -> ContextBranchSpec:
    """Table 2: expansion, output width, repeats, stride of the first repeat."""
    a, b, c, d, e = widths.stages
    rows = [(1, a, 1, 1), (6, a, 1, 1), (6, b, 3, 2), (6, c, 3, 2), (6, d, 2, 1), (6, e, 2, 1)]
    blocks: list[BottleneckSpec] = []
    width_in = widths.stem
    for expansion, width, repeats, first_stride in rows:
        for repeat in range(repeats):
            blocks.append(BottleneckSpec(expansion, expansion * width_in, width, first_stride if repeat == 0 else 1))
            width_in = width
    return ContextBranchSpec(scale, widths.stem, tuple(blocks), widths.head)


def _detail_branch(scale: int, widths: _Widths) -> DetailBranchSpec:
    """Section 2.2, spatial detail: four layers, strides 2, 2, 2, 1."""
    stem, *rest = widths.detail
    return DetailBranchSpec(scale, stem, tuple(SeparableSpec(w, s) for w, s in zip(rest, (2, 2, 1), strict=True)))


def _fine_branch(widths: _Widths) -> DetailBranchSpec:
    """The first two layers of the detail branch, which leave the image at a quarter of its size."""
    return DetailBranchSpec(1, widths.detail[0], (SeparableSpec(widths.detail[1], 2),))


def _two_branches(name: str, context_scale: int, widths: _Widths) -> ContextNetSpec:
    details = (_detail_branch(1, widths),)
    return ContextNetSpec(name, 19, _context_branch(context_scale, widths), details, (widths.fusion,))


def _three_branches(name: str, widths: _Widths) -> ContextNetSpec:
    details = (_detail_branch(2, widths), _detail_branch(1, widths))
    return ContextNetSpec(name, 19, _context_branch(4, widths), details, (widths.fusion, widths.fusion))


def _of_finer_output(name: str, context_scale: int, widths: _Widths) -> ContextNetSpec:
    """Two branches, their sum fused at a quarter of the image with a second, finer detail branch, as wide as that."""
    coarse, fine = _two_branches(name, context_scale, widths), _fine_branch(widths)
    return replace(coarse, details=(*coarse.details, fine), fusion_widths=(*coarse.fusion_widths, fine.width))


_VARIANTS: dict[str, tuple[Callable[[str, _Widths], ContextNetSpec], _Widths]] = {
    "cn14": (lambda name, w: _two_branches(name, 4, w), _FULL),
    "cn12": (lambda name, w: _two_branches(name, 2, w), _FULL),
    "cn18": (lambda name, w: _two_branches(name, 8, w), _FULL),
    "cn124": (_three_branches, _FULL),
    "cn14-500": (lambda name, w: _two_branches(name, 4, w), _CN14_500),
    "cn14-160": (lambda name, w: _two_branches(name, 4, w), _CN14_160),
    "cn14-fine": (lambda name, w: _of_finer_output(name, 4, w), _FULL),
    "cn12-fine": (lambda name, w: _of_finer_output(name, 2, w), _FULL),
    "cn14-context": (lambda name, w: ContextNetSpec(name, 19, _context_branch(4, w), (), ()), _FULL),
    "cn14-detail": (lambda name, w: ContextNetSpec(name, 19, None, (_detail_branch(1, w),), ()), _FULL),
}

VARIANTS: tuple[str, ...] = tuple(_VARIANTS)
"""Names of networks: the paper's three input scales, two detail branches, two small ones; two of finer output than the
paper's; each branch alone."""


def variant(
    name: str,
    num_classes: int = 19,
    *,
    width: float = 1.0,
    pyramid_pooling: bool = False,
    auxiliary: bool = False,
    dropout: float = 0.1,
) -> ContextNetSpec:
    """Describe one of ``VARIANTS``: by its name in Table 4, of finer output, or as one branch alone.

    ``width`` multiplies every number of feature maps (2, 1.5, 1.25 for pruning), rounded to the nearest integer.
    Raises ``ContextNetError`` for an unknown name and for an auxiliary classifier or pyramid pooling without a
    context branch.
    """
    if name not in _VARIANTS:
        raise ContextNetError(f"no network is called '{name}'; known: {', '.join(_VARIANTS)}")
    if not MIN_MULTIPLIER <= width <= MAX_MULTIPLIER:
        raise ContextNetError(f"width multiplier {width}; {MIN_MULTIPLIER} to {MAX_MULTIPLIER} is possible")
    build, widths = _VARIANTS[name]
    full_name = name if width == 1 else f"{name}-x{width:g}"
    spec = replace(build(full_name, widths.times(width)), num_classes=num_classes, dropout=dropout)
    if (pyramid_pooling or auxiliary) and spec.context is None:
        raise ContextNetError(f"'{name}' has no context branch to carry pyramid pooling or an auxiliary classifier")
    if pyramid_pooling and spec.context is not None:
        spec = replace(spec, context=replace(spec.context, pyramid_bins=DEFAULT_PYRAMID_BINS))
    return replace(spec, auxiliary=auxiliary)
