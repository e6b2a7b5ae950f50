"""``contextnet benchmark compare``: networks side by side, how fast and how good, as a table and as one plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from typer import Argument, Option

from contextnet.benchmark.machine import describe_machine
from contextnet.cli.benchmark_options import DEFAULT_SIZE, Size, tell
from contextnet.cli.evaluate import require_same_classes
from contextnet.cli.optional import require_torch
from contextnet.cli.options import JsonFile, parse_size, require_json_target
from contextnet.cli.progress import progress_bar
from contextnet.data.sources import open_data
from contextnet.errors import ContextNetError
from contextnet.files import write_text
from contextnet.labels import LabelSet
from contextnet.runtime.engines.opening import find_model
from contextnet.weights.catalogue import model_names, read_label_values

if TYPE_CHECKING:
    from contextnet.benchmark.side_by_side import Candidate, NetworkRow, SideBySide
    from contextnet.data.sample import SegmentationData

INT8 = "INT8"
_INT8_ENDING = "-int8"


def compare(
    networks: Annotated[
        list[str] | None,
        Argument(metavar="[NETWORK]...", help="Shipped networks, model or weights files; all shipped if left out."),
    ] = None,
    data: Annotated[
        str | None, Option(metavar="KIND:ROOT", help="The data set that they are scored on; not at all if left out.")
    ] = None,
    split: Annotated[str, Option(help="The split to score.")] = "val",
    size: Size = DEFAULT_SIZE,
    precision: Annotated[str, Option(help="What float32 networks compute in: fp32, bf16 or fp16.")] = "fp32",
    threads: Annotated[int | None, Option(min=1, help="Threads; one a usable core if it is left out.")] = None,
    plot: Annotated[
        Path | None, Option(metavar="FILE", help="Draw mIoU over latency and parameters (SVG); needs --data.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Time networks in turns, in OpenVINO from an image to scores, and score them on one split.

    Of the shipped networks, those with the data's classes are taken. Weights run as the model file that they export to.
    """
    require_torch("benchmark compare", extra="export")
    from contextnet.benchmark.side_by_side import measure_side_by_side
    from contextnet.compression.pruning.latency import Timing

    require_json_target(json_file)
    if plot is not None and data is None:
        raise ContextNetError("--plot draws mIoU; give --data KIND:ROOT")
    samples = None if data is None else open_data(data, split)
    timing = Timing(parse_size(size), "openvino", precision, threads)
    candidates = _candidates(networks or [], samples)
    timing.require_engine()
    measured = measure_side_by_side(candidates, timing, samples, progress_bar)
    if plot is not None and samples is not None:
        write_text(plot, _plot(measured.rows, size, samples.name))
    facts: dict[str, Any] = {"data": samples.name if samples else None, "size_hw": list(timing.size_hw)}
    facts |= {"machine": asdict(describe_machine()), "noise": measured.noise}
    values = {**facts, "rows": [row.to_json() for row in measured.rows]}
    tell(values, json_file, lambda: _print(measured, size, samples))


def _candidates(networks: Sequence[str], samples: SegmentationData | None) -> list[Candidate]:
    """Find the files to compare: those that are named, or of the shipped ones those with the data's classes."""
    from contextnet.benchmark.side_by_side import Candidate

    found = []
    for name in networks or model_names():
        path = find_model(name)
        labels = _labels_of(path)
        if samples is not None and (networks or labels.names == samples.labels.names):
            require_same_classes(labels, samples, name)
        elif samples is not None:
            continue
        is_int8 = path.stem.endswith(_INT8_ENDING)
        found.append(Candidate(_name(name, path), path, 0, INT8 if is_int8 else "float32"))
    if not found:
        raise ContextNetError("no shipped network has the classes of the data; name the networks to compare")
    return found


def _name(name: str, path: Path) -> str:
    """Name a network: a shipped one without its form, a file after the folder of its run, or after itself."""
    if path.stem in {"best", "last"} and path.parent.name:
        return path.parent.name
    return (path.stem if name == str(path) or "/" in name else name).removesuffix(_INT8_ENDING)


def _labels_of(path: Path) -> LabelSet:
    """Read a file's classes. Raises ``ContextNetError`` naming one that is neither a model nor weights."""
    from contextnet.benchmark.inference_rate import read_metadata

    if path.suffix == ".safetensors":
        return LabelSet.from_json(read_label_values(path), str(path))
    return read_metadata(path).labels


def _print(measured: SideBySide, size: str, samples: SegmentationData | None) -> None:
    from contextnet.cli.network_table import COLUMNS, network_table

    console = Console(soft_wrap=True, highlight=False, markup=False)
    columns = [name for name in COLUMNS if name != "epochs" and (name != "mIoU" or samples is not None)]
    scored = f"; mIoU on {samples.name}" if samples is not None else ""
    console.print(network_table(measured.rows, columns, f"{size}, from an image to scores{scored}"))
    if measured.noise:
        console.print(f"the latencies are no result: {measured.noise}")


def _plot(rows: Sequence[NetworkRow], size: str, scored_on: str) -> str:
    from contextnet.reporting.pareto import Panel, Point, pareto_svg

    def points(cost: str, scale: float = 1.0) -> tuple[Point, ...]:
        return tuple(Point(r.source, r.form, getattr(r, cost) * scale, 100 * (r.miou or 0.0)) for r in rows)

    shown = size.replace("x", "×")
    panels = [
        Panel(f"from image to scores, ms ({shown})", points("latency_ms")),
        Panel("parameters, M", points("parameters", 1e-6)),
    ]
    return pareto_svg(panels, f"mIoU, % ({scored_on})")
