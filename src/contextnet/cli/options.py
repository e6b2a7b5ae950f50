"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from contextnet.errors import ContextNetError
from contextnet.files import try_to_write, write_json

JsonFlag = Annotated[bool, Option("--json", help="Print JSON to standard output in place of a table.")]
JsonFile = Annotated[str | None, Option("--json", metavar="FILE", help="Write JSON to FILE; - is standard output.")]
Device = Annotated[str, Option(help="cpu or cuda.")]
Engine = Annotated[str, Option(help="auto, openvino, onnxruntime or pytorch.")]
EngineDevice = Annotated[str, Option("--device", help="auto, cpu, cuda, cuda:N or tensorrt.")]
Precision = Annotated[
    str | None,
    Option(help="fp32, bf16 or fp16, where there is one; the engine's choice if left out.", show_default=False),
]

MAX_SIDE = 65536


def parse_size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH; raises ``ContextNetError`` for anything else."""
    match = re.fullmatch(r"(\d+)[x×](\d+)", text)
    if not match:
        raise ContextNetError(f"size '{text}': expected HEIGHTxWIDTH, as in 1024x2048")
    height, width = int(match[1]), int(match[2])
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ContextNetError(f"size '{text}': height and width must be 1 to {MAX_SIDE}")
    return height, width


def override(key: str, value: str | None) -> list[str]:
    """Write an option's value as a change of one value of a recipe, as ``--set`` takes it; none where it is None."""
    return [] if value is None else [f"{key}={json.dumps(value)}"]


def require_device(device: str) -> None:
    """Raise ``ContextNetError`` when PyTorch has no such device; called before any work is done."""
    import torch

    if device != "cpu" and not re.fullmatch(r"cuda(:\d+)?", device):
        raise ContextNetError(f"device '{device}': expected cpu, cuda or cuda:N")
    if device != "cpu" and not torch.cuda.is_available():
        raise ContextNetError(f"device '{device}': PyTorch finds no CUDA GPU on this machine; use cpu")
    if device.startswith("cuda:") and int(device[5:]) >= torch.cuda.device_count():
        raise ContextNetError(f"device '{device}': there are {torch.cuda.device_count()} CUDA GPUs, counted from 0")


def require_json_target(target: str | None) -> None:
    """Raise ``ContextNetError`` when JSON could not be written to ``target``; called before any work is done."""
    if target and target != "-" and Path(target).is_dir():
        raise ContextNetError(f"{target}: is a folder; give a file for the JSON")
    if target and target != "-" and not Path(target).parent.is_dir():
        raise ContextNetError(f"{target}: its folder does not exist; make it first")
    if target and target != "-":
        try:
            try_to_write(Path(target))
        except OSError as error:
            raise ContextNetError.at(target, f"cannot be written: {error.strerror}", "give another file") from None


def emit_json(values: Any, target: str) -> None:
    """Write JSON values to a file, or to standard output for ``-``."""
    if target == "-":
        print(json.dumps(values, indent=2))  # noqa: T201
    else:
        write_json(Path(target), values)
