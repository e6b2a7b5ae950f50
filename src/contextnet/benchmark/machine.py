"""The machine that is measured: processor, memory and software, as far as the system tells."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contextnet import __version__
from contextnet.runtime.engines.cores import usable_threads

PROC = Path("/proc")
"""Where Linux describes itself; other systems have none, and what stands there is unknown."""

INSTRUCTIONS = ("amx_int8", "amx_bf16", "avx512_vnni", "avx512_bf16", "avx_vnni")
"""What makes a processor fast at quantized and half-precision networks, by the names that Linux gives them."""


@dataclass(frozen=True)
class Machine:
    """A machine in words and numbers; what the system does not tell is None.

    ``cores`` is how many this process may use. ``instructions`` says of each of ``INSTRUCTIONS`` whether the processor
    has it. ``memory_mb`` is all memory, in 10⁶ bytes.
    """

    cpu: str | None
    cores: int
    instructions: Mapping[str, bool] | None
    memory_mb: int | None
    system: str
    python: str
    contextnet: str


def describe_machine(proc: Path = PROC) -> Machine:
    """Describe the machine that this process runs on."""
    cpuinfo = _read(proc / "cpuinfo")
    cpu = _field(cpuinfo, "model name") or platform.processor() or None
    flags = _field(cpuinfo, "flags")
    return Machine(
        cpu=cpu,
        cores=usable_threads(None),
        instructions=None if flags is None else {name: name in flags.split() for name in INSTRUCTIONS},
        memory_mb=_megabytes(_read(proc / "meminfo"), "MemTotal"),
        system=platform.platform(),
        python=platform.python_version(),
        contextnet=__version__,
    )


def peak_memory_mb(proc: Path = PROC) -> int | None:
    """Give the most memory that this process has held so far, in 10⁶ bytes.

    Linux's ``VmHWM`` is taken because ``ru_maxrss`` there counts what the parent held before it started this process.
    """
    return _megabytes(_read(proc / "self" / "status"), "VmHWM")


def held_memory_mb(proc: Path = PROC) -> int | None:
    """Give the memory that this process holds now, in 10⁶ bytes."""
    return _megabytes(_read(proc / "self" / "status"), "VmRSS")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _field(text: str, name: str) -> str | None:
    found = re.search(rf"^{name}\s*:[ \t]*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def _megabytes(text: str, name: str) -> int | None:
    """Read a size that stands in kB, which are 1024 bytes."""
    found = re.fullmatch(r"(\d+) kB", _field(text, name) or "")
    return round(int(found[1]) * 1024 / 1e6) if found else None
