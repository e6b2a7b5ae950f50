"""How OpenVINO is imported, each time in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

STAND_IN = 'raise AssertionError("telemetry was imported")'
IMPORT = "from contextnet.runtime.openvino_package import load_openvino; openvino = load_openvino()"


def run(program: str, home: Path, *import_from: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that takes its home folder, and modules first of all, from elsewhere."""
    quiet = {"CI", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL"}
    environment = {key: value for key, value in os.environ.items() if key not in quiet}
    environment |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(map(str, import_from))}
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_importing_openvino_reports_nothing(tmp_path: Path) -> None:
    (tmp_path / "openvino_telemetry.py").write_text(STAND_IN)
    home = tmp_path / "home"
    home.mkdir()
    program = (
        f"import sys, threading; {IMPORT}; import openvino as again; assert openvino is again is load_openvino(); "
        "assert threading.active_count() == 1; assert 'openvino_telemetry' not in sys.modules; openvino.Core()"
    )
    done = run(program, home, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.iterdir()) == []


def test_the_stand_in_is_what_a_plain_import_finds(tmp_path: Path) -> None:
    (tmp_path / "openvino_telemetry.py").write_text(STAND_IN)
    assert "telemetry was imported" in run("import openvino", tmp_path, tmp_path).stderr


def test_telemetry_that_a_program_has_imported_itself_is_there_again(tmp_path: Path) -> None:
    (tmp_path / "openvino_telemetry.py").write_text("")
    program = f"import sys, openvino_telemetry; {IMPORT}; sys.exit(sys.modules['openvino_telemetry'].__file__)"
    assert run(program, tmp_path, tmp_path).stderr.strip() == str(tmp_path / "openvino_telemetry.py")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import a_missing_module", "ModuleNotFoundError: No module named 'a_missing_module'"),
        ("raise ImportError('a library is damaged')", "ImportError: a library is damaged"),
    ],
)
def test_an_openvino_that_is_there_but_broken_says_so_itself(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "openvino.py").write_text(content)
    assert run(IMPORT, tmp_path, tmp_path).stderr.strip().endswith(message)


def test_without_openvino_it_is_named(tmp_path: Path) -> None:
    done = run(f"import sys; sys.modules['openvino'] = None; {IMPORT}", tmp_path)
    expected = "contextnet.errors.MissingDependencyError: OpenVINO is not installed; pip install openvino"
    assert done.stderr.strip().endswith(expected)
