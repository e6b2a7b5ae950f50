from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from made_samples import CallableData, broken_at, sample

from contextnet.data.placement import Place, WantedPlace, choose_place, decide_place, estimate_bytes, free_memory_bytes
from contextnet.data.sample import Sample
from contextnet.errors import DataError, ImageError

GIB = 1 << 30


@pytest.mark.parametrize(
    ("wanted", "needed", "device_type", "device_bytes", "memory_bytes", "place"),
    [
        ("auto", 5, "cpu", None, 10, "memory"),
        ("auto", 6, "cpu", None, 11, "mapped"),
        ("auto", 6, "cpu", None, None, "memory"),
        ("auto", 5, "cuda", 10, 0, "device"),
        ("auto", 6, "cuda", 11, 12, "memory"),
        ("auto", 6, "cuda", 11, 11, "mapped"),
        ("auto", 6, "cuda", 11, None, "memory"),
        ("auto", 6, "cuda", 0, None, "memory"),
        ("auto", 0, "cpu", None, 0, "memory"),
        ("auto", 6, "mps", None, 12, "memory"),
        ("memory", 6, "cuda", 100, 0, "memory"),
        ("memory", 6, "cpu", None, 0, "memory"),
        ("mapped", 6, "cuda", 100, 100, "mapped"),
        ("mapped", 6, "cpu", None, 100, "mapped"),
        ("device", 6, "cuda", 0, 100, "device"),
        ("device", 6, "mps", None, 100, "device"),
        ("device", 6, "cpu", None, 0, "memory"),
    ],
)
def test_place_by_what_is_free(
    wanted: WantedPlace,
    needed: int,
    device_type: str,
    device_bytes: int | None,
    memory_bytes: int | None,
    place: Place,
) -> None:
    decided = decide_place(
        wanted, needed, device_type=device_type, device_bytes=device_bytes, memory_bytes=memory_bytes
    )
    assert decided == place


def test_place_on_this_machine() -> None:
    cpu = torch.device("cpu")
    assert choose_place("auto", 1, cpu) == "memory"
    assert choose_place("device", 1, cpu) == "memory"
    assert choose_place("mapped", 1, cpu) == "mapped"


def test_split_is_estimated_by_its_first_sample() -> None:
    assert estimate_bytes(CallableData(7, lambda i: sample(i, (4 + i, 6)))) == 4 * 4 * 6 * 7


@pytest.mark.parametrize(
    ("unreadable", "expected"), [((0,), 4 * 5 * 6 * 4), ((0, 1, 2), 4 * 7 * 6 * 4), ((0, 1, 2, 3), 0)]
)
def test_split_is_estimated_by_the_first_sample_that_can_be_read(unreadable: tuple[int, ...], expected: int) -> None:
    broken = broken_at(*unreadable)
    data = CallableData(4, lambda i: broken(i) if i in unreadable else sample(i, (4 + i, 6)))
    assert estimate_bytes(data) == expected


def test_wrong_sample_is_left_to_decoding() -> None:
    def read(index: int) -> Sample:
        raise (DataError if index % 2 else ImageError)("cannot be used")

    assert estimate_bytes(CallableData(4, read)) == 0
    assert estimate_bytes(CallableData(0)) == 0


MEMINFO = "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n"


def v1(limit: int, usage: int | None = None, cache: int = 0, folder: str = "") -> dict[str, str]:
    base = f"sys/fs/cgroup/memory{folder}"
    files = {f"{base}/memory.limit_in_bytes": f"{limit}\n"}
    if usage is not None:
        files[f"{base}/memory.usage_in_bytes"] = f"{usage}\n"
        files[f"{base}/memory.stat"] = f"cache 5\ninactive_file 3\ntotal_inactive_file {cache}\n"
    return files


def v2(limit: int | str, usage: int, cache: int = 0, folder: str = "") -> dict[str, str]:
    base = f"sys/fs/cgroup{folder}"
    return {
        f"{base}/memory.max": f"{limit}\n",
        f"{base}/memory.current": f"{usage}\n",
        f"{base}/memory.stat": f"anon 1\ninactive_file {cache}\nactive_file 3\n",
    }


GROUP_V1 = {"proc/self/cgroup": "9:cpu,cpuacct:/a/b\n4:memory:/a/b\n0::/\n"}
GROUP_V2 = {"proc/self/cgroup": "0::/a/b\n"}
KERNEL = {"proc/meminfo": MEMINFO}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (KERNEL, 8 * GIB),
        (KERNEL | GROUP_V2, 8 * GIB),
        (KERNEL | GROUP_V2 | v2("max", GIB, folder="/a/b"), 8 * GIB),
        (KERNEL | GROUP_V2 | v2(4 * GIB, GIB, folder="/a/b"), 3 * GIB),
        (KERNEL | GROUP_V2 | v2(4 * GIB, 3 * GIB, cache=2 * GIB, folder="/a/b"), 3 * GIB),
        (KERNEL | GROUP_V2 | v2(4 * GIB, 5 * GIB, folder="/a/b"), 0),
        (KERNEL | GROUP_V2 | v2(64 * GIB, GIB, folder="/a/b"), 8 * GIB),
        # The limit of a group around it holds as well; the root of what is mounted may be a container's own group.
        (KERNEL | GROUP_V2 | v2("max", GIB, folder="/a/b") | v2(6 * GIB, GIB, folder="/a"), 5 * GIB),
        (KERNEL | GROUP_V2 | v2(3 * GIB, GIB), 2 * GIB),
        (GROUP_V2 | v2(3 * GIB, GIB), 2 * GIB),
        (KERNEL | GROUP_V1 | v1(9223372036854771712, GIB), 8 * GIB),
        (KERNEL | GROUP_V1 | v1(4 * GIB), 4 * GIB),
        (KERNEL | GROUP_V1 | v1(4 * GIB, 3 * GIB, GIB, folder="/a/b"), 2 * GIB),
        (KERNEL | GROUP_V1 | v1(4 * GIB, GIB, folder="/a/b") | v1(2 * GIB, GIB), GIB),
        # A group of the other controllers says nothing about memory.
        (KERNEL | {"proc/self/cgroup": "9:cpu:/a\n"} | v1(GIB, 0), 8 * GIB),
        # A path with a colon, and a group outside of the container.
        (KERNEL | {"proc/self/cgroup": "0::/a:b\n"} | v2(2 * GIB, 0, folder="/a:b"), 2 * GIB),
        (KERNEL | {"proc/self/cgroup": "0::/../c\n"} | v2(2 * GIB, 0), 2 * GIB),
    ],
)
def test_free_memory_is_the_least_that_kernel_and_groups_allow(
    files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert free_memory_bytes(tmp_path) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"SC_AVPHYS_PAGES": 5, "SC_PHYS_PAGES": 9, "SC_PAGE_SIZE": 4096}, 20480),
        ({"SC_AVPHYS_PAGES": -1, "SC_PHYS_PAGES": 9, "SC_PAGE_SIZE": 4096}, 36864),
        ({"SC_PHYS_PAGES": 9, "SC_PAGE_SIZE": 4096}, 36864),
        ({"SC_PAGE_SIZE": 4096}, None),
        ({}, None),
    ],
)
def test_elsewhere_free_memory_is_what_the_system_configuration_says(
    values: dict[str, int], expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf_names", dict.fromkeys(values, 0), raising=False)
    monkeypatch.setattr(os, "sysconf", values.__getitem__, raising=False)
    assert free_memory_bytes(tmp_path) == expected


def test_free_memory_of_this_machine_is_plausible() -> None:
    free = free_memory_bytes()
    assert free is not None
    assert 1 << 26 < free < 1 << 50
    assert np.iinfo(np.int64).max > free
