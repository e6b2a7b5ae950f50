"""The machine that a command finds: its GPU and PyTorch, and the packages that it lacks, put where Python finds them.

Nothing here needs more than Python itself, since it runs before anything is set up.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_PROBE = """
import json, platform, torch
gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()}
print(json.dumps({"gpu": gpu, **versions}))
"""


@dataclass(frozen=True)
class Machine:
    """What figures are measured on; ``gpu`` is None where there is none that PyTorch can use, and ``lack`` says why."""

    gpu: str | None = None
    driver: str | None = None
    torch: str | None = None
    cuda: str | None = None
    python: str | None = None
    lack: str = ""


def describe_machine() -> Machine:
    """Ask this Python's PyTorch for a CUDA GPU, in a process of its own so that no GPU memory stays taken."""
    probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        reason = probe.stderr.strip().splitlines() or ["no reason given"]
        return Machine(lack=f"PyTorch cannot be used here: {reason[-1]}")
    facts = json.loads(probe.stdout.splitlines()[-1])
    lack = "" if facts["gpu"] else f"PyTorch {facts['torch']} finds none"
    return Machine(**facts, driver=ask_nvidia_smi("driver_version"), lack=lack)


def ask_nvidia_smi(field: str) -> str | None:
    """Give one field of the first GPU as nvidia-smi words it; None where nvidia-smi is missing or fails."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.splitlines()[0].strip() if answer.returncode == 0 and answer.stdout.strip() else None


def install_wheels(wheels: Path, site: Path) -> str:
    """Install every wheel of a folder into ``site`` without a network; give what went wrong, or nothing.

    Without the folder this Python's own packages have to serve.
    """
    found = sorted(str(path) for path in wheels.glob("*.whl"))
    if not found:
        return ""
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(site), *found]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        return ""
    reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"{wheels}: its wheels cannot be installed: {reason}; pack them for this Python ({sys.version.split()[0]})"


def environment_with(site: Path) -> dict[str, str]:
    """Give the environment of a process that finds this project and the packages in ``site`` before all others."""
    places = [str(site), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(place for place in places if place), "PYTHONUNBUFFERED": "1"}


def say(text: str) -> None:
    """Print a line at once, also where the output goes to a file."""
    print(text, flush=True)  # noqa: T201
