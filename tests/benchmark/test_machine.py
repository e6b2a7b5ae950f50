from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from contextnet import __version__
from contextnet.benchmark.machine import describe_machine, peak_memory_mb

XEON = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) Processor @ 2.10GHz
flags\t\t: fpu avx512f avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8
bogomips\t: 4200.00

processor\t: 1
model name\t: Another
"""
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd bf16 i8mm\n"


def fill(proc: Path, cpuinfo: str) -> None:
    (proc / "self").mkdir()
    (proc / "cpuinfo").write_text(cpuinfo, encoding="utf-8")
    (proc / "meminfo").write_text("MemTotal:       24703400 kB\nMemFree: 1 kB\n", encoding="utf-8")
    (proc / "self" / "status").write_text("Name:\tpython\nVmPeak:\t 9999 kB\nVmHWM:\t  250000 kB\n", encoding="utf-8")


def test_a_machine_as_linux_describes_it(tmp_path: Path) -> None:
    fill(tmp_path, XEON)
    machine = describe_machine(tmp_path)
    assert machine.cpu == "Intel(R) Xeon(R) Processor @ 2.10GHz"
    assert machine.instructions == {
        "amx_int8": True,
        "amx_bf16": True,
        "avx512_vnni": True,
        "avx512_bf16": True,
        "avx_vnni": False,
    }
    assert machine.memory_mb == 25296  # 24,703,400 × 1024 bytes
    assert machine.cores >= 1
    assert (machine.python, machine.contextnet) == (platform.python_version(), __version__)
    assert peak_memory_mb(tmp_path) == 256


def test_instructions_of_another_kind_of_processor_are_unknown(tmp_path: Path) -> None:
    fill(tmp_path, ARM)
    assert describe_machine(tmp_path).instructions is None


def test_without_proc_what_is_unknown_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "processor", lambda: "")
    machine = describe_machine(tmp_path / "none")
    assert (machine.cpu, machine.instructions, machine.memory_mb) == (None, None, None)
    assert machine.cores >= 1
    assert peak_memory_mb(tmp_path / "none") is None


def test_memory_that_was_taken_counts_in_the_peak() -> None:
    program = (
        "from contextnet.benchmark.machine import peak_memory_mb\n"
        "before = peak_memory_mb()\n"
        "taken = b'1' * 100_000_000\n"
        "print(before, peak_memory_mb())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if done.stdout == "None None\n":
        pytest.skip("this system does not tell how much memory a process has held")
    before, after = (int(number) for number in done.stdout.split())
    assert 95 <= after - before <= 105
