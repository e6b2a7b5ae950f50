"""Transfer: start a network from the weights of another one, as far as they fit (``--init-from``).

A layer travels whole or not at all: the scale of a batch norm never without its running statistics. Only classifiers
are cut, into the rows of single classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from contextnet.errors import WeightsError
from contextnet.labels import LabelSet
from contextnet.models.initialization import scores_classes
from contextnet.models.network import Network
from contextnet.models.storage import Weights, read_weights
from contextnet.weights.catalogue import find_weights

_SHOWN = 20


@dataclass(frozen=True)
class ShapeDifference:
    """A tensor that both have in different shapes: ``found`` in the file, ``needed`` by the network."""

    name: str
    found: tuple[int, ...]
    needed: tuple[int, ...]


@dataclass(frozen=True)
class TransferReport:
    """Which of the network's tensors came from the file, and which kept their fresh values and why.

    Every tensor of the network counts once: in ``whole`` when loaded as it is, in ``by_class`` when loaded by the rows
    of single classes, in ``missing`` when the file lacks it, in ``other_shape``, or in ``held_back`` when it would fit
    but another tensor of its layer does not, or the classifiers share no class. ``left_over`` are those of the file
    that the network does not have. Every class counts once as well: in ``classes`` when a classifier scores it as the
    file's did, else in ``fresh_classes``.
    """

    file_network: str
    network: str
    whole: int
    by_class: tuple[str, ...]
    missing: tuple[str, ...]
    other_shape: tuple[ShapeDifference, ...]
    held_back: tuple[str, ...]
    left_over: tuple[str, ...]
    classes: tuple[str, ...]
    fresh_classes: tuple[str, ...]

    @property
    def loaded(self) -> int:
        """Number of the network's tensors that hold something of the file."""
        return self.whole + len(self.by_class)

    @property
    def total(self) -> int:
        """Number of the network's tensors."""
        return self.loaded + len(self.missing) + len(self.other_shape) + len(self.held_back)

    def lines(self) -> tuple[str, ...]:
        """Tell it in one to seven lines: what was loaded, then by module what was not."""
        num_classes = len(self.classes) + len(self.fresh_classes)
        example = [f"as {_shapes(difference)}" for difference in self.other_shape[:1]]
        parts = {
            f"{len(self.classes)} of {num_classes} classes from the file": self.classes if self.fresh_classes else (),
            "fresh classes": self.fresh_classes,
            "fresh, not in the file": _by_module(self.missing),
            "fresh, of another shape": (*_by_module(difference.name for difference in self.other_shape), *example),
            "fresh with the rest of their layer": _by_module(self.held_back),
            "left over in the file": _by_module(self.left_over),
        }
        told = [f"{title}: {_listed(words)}" for title, words in parts.items() if words]
        loaded = f"{self.loaded} of the {self.total} tensors of '{self.network}' loaded"
        return (f"weights of '{self.file_network}': {loaded}", *told)

    def to_json(self) -> dict[str, Any]:
        """Describe the transfer as plain JSON values, tensors by name where they were not loaded whole."""
        return {
            "file_network": self.file_network,
            "network": self.network,
            "whole": self.whole,
            "by_class": list(self.by_class),
            "missing": list(self.missing),
            "other_shape": {d.name: {"file": list(d.found), "network": list(d.needed)} for d in self.other_shape},
            "held_back": list(self.held_back),
            "left_over": list(self.left_over),
            "classes": list(self.classes),
            "fresh_classes": list(self.fresh_classes),
        }


def load_transfer(name_or_path: str, network: Network, labels: LabelSet) -> TransferReport:
    """Start ``network`` from a weights file or a shipped network, as ``transfer`` does.

    Raises ``WeightsError`` naming the file when it cannot be read and when nothing in it fits.
    """
    weights = read_weights(find_weights(name_or_path))
    try:
        return transfer(network, labels, weights)
    except WeightsError as error:
        raise WeightsError(f"{name_or_path}: {error}") from None


def transfer(network: Network, labels: LabelSet, weights: Weights) -> TransferReport:
    """Copy every layer of ``weights`` that ``network`` has in the same shape; the network may be on any device.

    A classifier of another label set gives each class of ``labels`` the row of its namesake, case ignored; a class
    without one keeps its fresh row. Raises ``WeightsError``, with nothing copied, when not a single layer fits.
    """
    assert network.spec.num_classes == labels.num_classes
    needed, found = network.state_dict(), weights.tensors
    _refuse_other_kinds(needed, found)
    plan = _plan(network, weights, labels)
    report = _report(network, labels, weights, plan)
    if not report.loaded:
        raise WeightsError(_nothing_fits(report))
    with torch.no_grad():
        for name in plan.whole:
            needed[name].copy_(found[name])
        for name, axis in plan.by_class.items():
            own, others = (tensor.movedim(axis, 0) for tensor in (needed[name], found[name]))
            own[list(plan.rows)] = others[list(plan.rows.values())].to(own)
    return report


@dataclass(frozen=True)
class _Plan:
    """What becomes of each tensor of the network, by name; ``rows`` maps train ids to those of the file.

    ``by_class`` gives the axis along which a tensor's classes lie.
    """

    rows: Mapping[int, int]
    whole: tuple[str, ...]
    by_class: Mapping[str, int]
    fresh: tuple[str, ...]


def _plan(network: Network, weights: Weights, labels: LabelSet) -> _Plan:
    """Decide layer by layer: whole, by class, or not at all."""
    needed, found, num_classes = network.state_dict(), weights.tensors, weights.labels.num_classes
    rows = _namesakes(labels, weights.labels)
    has_same_classes = dict(rows) == {i: i for i in range(max(num_classes, labels.num_classes))}
    whole: list[str] = []
    by_class: dict[str, int] = {}
    fresh: list[str] = []
    for layer, names in _layers(needed).items():
        is_present = all(name in found for name in names)
        if is_present and scores_classes(layer) and not has_same_classes:
            axes = {name: _class_axis(network, layer, name) for name in names}
            is_cut = bool(rows) and all(_fits_by_class(needed[n], found[n], axes[n], num_classes) for n in names)
            by_class |= axes if is_cut else {}
            fresh += [] if is_cut else names
        else:
            fits = is_present and all(found[n].shape == needed[n].shape for n in names)
            (whole if fits else fresh).extend(names)
    return _Plan(rows, tuple(whole), by_class, tuple(fresh))


def _class_axis(network: Network, layer: str, name: str) -> int:
    """Give the axis of a tensor along which its layer's classes lie."""
    is_kernel = name.rpartition(".")[2] == "weight"
    return int(is_kernel and isinstance(network.get_submodule(layer), nn.ConvTranspose2d))


def _fits_by_class(needed: Tensor, found: Tensor, axis: int, num_classes: int) -> bool:
    """Tell whether two tensors differ in their classes alone, of which the file has so many."""
    shape = list(needed.shape)
    shape[axis] = num_classes
    return list(found.shape) == shape


def _namesakes(labels: LabelSet, others: LabelSet) -> dict[int, int]:
    """Map each train id of ``labels`` to that of its namesake in ``others``; one of the same case goes first."""
    exact = {name: i for i, name in enumerate(others.names)}
    folded = {name.casefold(): i for i, name in reversed(list(enumerate(others.names)))}
    namesakes = {i: exact.get(name, folded.get(name.casefold())) for i, name in enumerate(labels.names)}
    return {i: other for i, other in namesakes.items() if other is not None}


def _layers(names: Iterable[str]) -> dict[str, list[str]]:
    """Group tensor names by the layer that holds them, as ``context.stem.norm``."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    return layers


def _report(network: Network, labels: LabelSet, weights: Weights, plan: _Plan) -> TransferReport:
    needed, found = network.state_dict(), weights.tensors
    in_both = [name for name in plan.fresh if name in found]
    shapes = [ShapeDifference(name, tuple(found[name].shape), tuple(needed[name].shape)) for name in in_both]
    loaded_layers = _layers([*plan.whole, *plan.by_class])
    taken = plan.rows if any(map(scores_classes, loaded_layers)) else {}
    return TransferReport(
        file_network=weights.spec.name,
        network=network.spec.name,
        whole=len(plan.whole),
        by_class=tuple(plan.by_class),
        missing=tuple(name for name in plan.fresh if name not in found),
        other_shape=tuple(difference for difference in shapes if difference.found != difference.needed),
        held_back=tuple(difference.name for difference in shapes if difference.found == difference.needed),
        left_over=tuple(sorted(found.keys() - needed.keys())),
        classes=tuple(name for i, name in enumerate(labels.names) if i in taken),
        fresh_classes=tuple(name for i, name in enumerate(labels.names) if i not in taken),
    )


def _refuse_other_kinds(needed: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raise ``WeightsError`` where a copy would make weights of integers, or real numbers of complex ones."""
    for name, tensor in needed.items():
        if name in found and _kind(found[name]) != _kind(tensor):
            raise WeightsError(
                f"'{name}' has dtype {found[name].dtype}, the network needs {tensor.dtype}; give weights that a "
                "training run wrote"
            )


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _nothing_fits(report: TransferReport) -> str:
    reason = _shapes(report.other_shape[0]) if report.other_shape else "the file has no whole layer of it"
    return (
        f"its network '{report.file_network}' has no layer that fits '{report.network}': {reason}; "
        "give weights of a network of the same variant and widths"
    )


def _shapes(difference: ShapeDifference) -> str:
    return f"'{difference.name}' with shape {difference.found} in the file and {difference.needed} in the network"


def _by_module(names: Iterable[str]) -> tuple[str, ...]:
    """Count tensors by branch, stage or classifier: ``context.blocks (12)``, ``classifier (2)``."""
    modules = Counter(".".join(name.split(".")[:-1][:2]) or name for name in names)
    return tuple(f"{module} ({count})" for module, count in modules.items())


def _listed(words: Sequence[str]) -> str:
    more = [f"and {len(words) - _SHOWN} more"] if len(words) > _SHOWN else []
    return ", ".join([*words[:_SHOWN], *more])
