"""Measure and train on a CUDA GPU within a time budget, on a machine without network.

    python3 -m scripts.gpu.run --out DIR [--budget-s 540] [--no-figures]

Needs Python with PyTorch; the other packages come from ``gpu-pack/wheels``. Where there is no CUDA GPU it says that it
skips and ends with 0. The work itself is ``scripts.gpu.session``, started once the packages are there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from scripts.gpu.machine import ROOT, describe_machine, environment_with, install_wheels, say


def main() -> int:
    """Read the command line, look for a GPU, set up, and hand on; give the exit code."""
    started_s = time.monotonic()
    given = read_arguments()
    machine = describe_machine()
    if machine.gpu is None:
        say(f"skipped: no CUDA GPU ({machine.lack})")
        return 0
    say(f"{machine.gpu}, driver {machine.driver}, PyTorch {machine.torch}")
    with tempfile.TemporaryDirectory(prefix="contextnet-gpu-") as site:
        if fault := install_wheels(given.wheels, Path(site)):
            say(fault)
            return 1
        spent_s = time.monotonic() - started_s
        say(f"set up in {spent_s:.0f} s")
        command = [sys.executable, "-m", "scripts.gpu.session", "--out", str(given.out.resolve())]
        # Relative, since the path stands in the weights' own record of how they were trained.
        command += ["--queue", str(given.queue.resolve()), "--runs", os.path.relpath(given.runs, ROOT)]
        command += ["--budget-s", f"{given.budget_s - spent_s:.1f}", "--machine", json.dumps(asdict(machine))]
        command += ["--no-figures"] if given.no_figures else []
        return subprocess.call(command, cwd=ROOT, env=environment_with(Path(site)))


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure and train on a CUDA GPU within a time budget.")
    parser.add_argument("--out", type=Path, required=True, help="folder for what goes back")
    parser.add_argument("--budget-s", type=float, default=540.0, help="seconds for the whole command")
    parser.add_argument("--queue", type=Path, default=ROOT / "scripts" / "gpu" / "queue.yaml")
    parser.add_argument("--runs", type=Path, default=ROOT / "gpu-runs", help="run folders, gone on with where they are")
    parser.add_argument("--wheels", type=Path, default=ROOT / "gpu-pack" / "wheels")
    parser.add_argument("--no-figures", action="store_true", help="leave the time to the trainings")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
