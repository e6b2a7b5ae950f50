"""Bring back what a command on the GPU left.

    python3 -m scripts.gpu.unpack FROM

Finished runs go to ``runs/gpu``, the others to ``gpu-runs``, from where the next command goes on with them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from contextnet.errors import ContextNetError
from scripts.gpu.bundle import unpack_bundle
from scripts.gpu.machine import ROOT, say


def main() -> int:
    """Read the command line and unpack; give the exit code."""
    parser = argparse.ArgumentParser(description="Bring back the runs that a command on the GPU left.")
    parser.add_argument("source", type=Path, metavar="FROM", help="folder with runs-0001.tar.00 and so on")
    parser.add_argument("--runs", type=Path, default=ROOT / "gpu-runs")
    parser.add_argument("--results", type=Path, default=ROOT / "runs" / "gpu")
    given = parser.parse_args()
    try:
        finished = unpack_bundle(given.source, given.runs, given.results)
    except ContextNetError as error:
        say(str(error))
        return 2
    for name, is_finished in finished.items():
        place = f"finished, in {given.results / name}" if is_finished else f"goes on from {given.runs / name}"
        say(f"{name}: {place}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
