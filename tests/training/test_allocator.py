from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from contextnet.training.allocator import retained_memory
def faults(count): # of eight large blocks
    for _ in range(12):  # aligned blocks move about a little before they settle
        torch.ones(count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(count)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
faults(1 << 24)
with retained_memory(torch.device("cpu")):
    faults(1 << 24)
faults(1 << 25) # larger than what was kept
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_used_again_without_a_page_fault() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-c", PROGRAM]
    before, retained, after = subprocess.check_output(line, env=environment, text=True).split()
    assert int(after) >= int(before) > 0
    pages = 8 * (4 << 24) // resource.getpagesize()
    assert int(retained) < 0.01 * pages
    # Where the kernel hands out huge pages one fault brings 512 of them.
    assert int(before) >= pages / 512
