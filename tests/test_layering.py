from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_imports_point_downward() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--config", "pyproject.toml"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    "module",
    [
        "contextnet.cli.app",
        "contextnet.runtime.segmenter",
        "contextnet.data",
        "contextnet.data.synthetic",
        "contextnet.weights",
        "contextnet.benchmark.inference_rate",
    ],
)
def test_the_seeing_path_imports_no_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
