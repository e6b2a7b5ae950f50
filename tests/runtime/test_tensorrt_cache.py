from __future__ import annotations

from pathlib import Path

import pytest

from contextnet.runtime.engines.tensorrt_cache import engine_cache

GRAPH, SHAPE = b"a graph", (1, 8, 16, 3)
# sha256sum of "1×8×16×3|a graph" in UTF-8.
KEY = "97eb2da9b741469b998eb8d4fa8d258484ccb5f1aff26abed41ba767d86b9f1b"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache"),
        ("linux", {"XDG_CACHE_HOME": "HERE/cache"}, "cache"),
        ("linux", {"XDG_CACHE_HOME": ""}, "home/.cache"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache"),
        ("linux", {"LOCALAPPDATA": "HERE/local"}, "home/.cache"),
        ("win32", {"LOCALAPPDATA": "HERE/local"}, "local"),
        ("win32", {}, "home/AppData/Local"),
    ],
)
def test_the_folder_is_below_the_users_cache(
    home: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("HERE", str(home)))
    folder = engine_cache(GRAPH, SHAPE)
    assert folder == home / expected / "contextnet" / "tensorrt" / KEY
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == 0
    assert engine_cache(GRAPH, SHAPE) == folder


@pytest.mark.parametrize(
    ("graph", "shape"),
    [(b"a graph!", (1, 8, 16, 3)), (b"a graph", (1, 16, 8, 3)), (b"a graph", (2, 8, 16, 3)), (b"", (1, 8, 16, 3))],
)
def test_every_network_and_every_shape_has_a_folder_of_its_own(
    home: Path, graph: bytes, shape: tuple[int, ...]
) -> None:
    folders = {engine_cache(graph, shape), engine_cache(GRAPH, SHAPE)}
    assert len(folders) == 2
    assert None not in folders


def test_where_no_folder_can_be_made_there_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "home").touch()
    assert engine_cache(GRAPH, SHAPE) is None

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert engine_cache(GRAPH, SHAPE) is None
