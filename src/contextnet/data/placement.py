"""Where the pixels of a split are kept: in main memory, on the device, or in a file that is mapped."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch

from contextnet.data.reading import read_ahead
from contextnet.data.relabel import without_instances
from contextnet.data.sample import Sample, SegmentationData

Place = Literal["memory", "device", "mapped"]
WantedPlace = Literal["auto", "memory", "device", "mapped"]

BYTES_PER_PIXEL = 4
"""Three of colour and one of label."""

# Where each version of control groups keeps a group's limit and use, and what it calls the cache it can give back.
_GROUP_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def estimate_bytes(data: SegmentationData) -> int:
    """Estimate what a split takes decoded, as if every sample were as large as the first that can be read.

    Zero where none can be read, since decoding will say why. Raises ``DataError`` when a sample is not read in time.
    """
    data = without_instances(data)
    first = next((outcome for outcome in read_ahead(data) if isinstance(outcome, Sample)), None)
    if first is None:
        return 0
    return BYTES_PER_PIXEL * first.image[..., 0].size * len(data)


def choose_place(wanted: WantedPlace, needed_bytes: int, device: torch.device) -> Place:
    """Choose where the ``needed_bytes`` of a split that trains on ``device`` are kept, by what is free right now."""
    return decide_place(
        wanted,
        needed_bytes,
        device_type=device.type,
        device_bytes=torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None,
        memory_bytes=free_memory_bytes(),
    )


def decide_place(
    wanted: WantedPlace, needed_bytes: int, *, device_type: str, device_bytes: int | None, memory_bytes: int | None
) -> Place:
    """Decide where a split is kept, given what is free on the device and in main memory; None is unknown.

    ``auto`` is the device where the split takes at most half of what is free there, else memory where the same holds,
    or it is not known what is free, else a mapped file. The device of a CPU is its memory.
    """
    if wanted == "device":
        return "memory" if device_type == "cpu" else "device"
    if wanted != "auto":
        return wanted
    if device_bytes is not None and 2 * needed_bytes <= device_bytes:
        return "device"
    return "memory" if memory_bytes is None or 2 * needed_bytes <= memory_bytes else "mapped"


def free_memory_bytes(root: Path = Path("/")) -> int | None:
    """Tell how much main memory this process can still take; None where the system does not say.

    On Linux it is the least of what the kernel and the control groups of the process allow, read below ``root``;
    elsewhere what ``os.sysconf`` knows.
    """
    known = [*_available_bytes(root / "proc/meminfo"), *_group_bytes(root)]
    return min(known) if known else _sysconf_bytes()


def _available_bytes(meminfo: Path) -> Iterator[int]:
    match = re.search(r"^MemAvailable:\s*(\d+) kB$", _text(meminfo), re.MULTILINE)
    if match:
        yield int(match[1]) * 1024


def _group_bytes(root: Path) -> Iterator[int]:
    """Give what each memory control group of this process has left, its own and those around it."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        version = 2 if not controllers else 1
        if version == 1 and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if version == 1 else "")
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            yield from _room_bytes(folder, *_GROUP_FILES[version])
            if folder == mount:
                break


def _room_bytes(group: Path, limit_file: str, usage_file: str, cache_field: str) -> Iterator[int]:
    limit, usage = _text(group / limit_file).strip(), _text(group / usage_file).strip()
    if not limit.isdecimal():  # "max", or a group without a limit of its own
        return
    used = int(usage) if usage.isdecimal() else 0
    cache = re.search(rf"^{cache_field} (\d+)$", _text(group / "memory.stat"), re.MULTILINE)
    yield max(0, int(limit) - max(0, used - (int(cache[1]) if cache else 0)))


def _sysconf_bytes() -> int | None:
    for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if name in getattr(os, "sysconf_names", {}) and os.sysconf(name) > 0:
            return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    return None


def _text(path: Path) -> str:
    """Read a small file of the system's; empty where there is none."""
    try:
        return path.read_text()
    except OSError:
        return ""
