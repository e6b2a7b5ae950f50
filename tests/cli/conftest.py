from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from contextnet.images import write_png
from contextnet.labels import CITYSCAPES


class Shell:
    """Runs the command line in this process, errors included, as ``contextnet`` would be run."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *words: str) -> tuple[int, str, str]:
        from contextnet.cli import main

        self._monkeypatch.setattr("sys.argv", ["contextnet", *words])
        self._monkeypatch.setenv("COLUMNS", "200")
        self._capsys.readouterr()
        code: int | str | None = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        out, err = self._capsys.readouterr()
        assert isinstance(code, int)
        return code, out, err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(capsys, monkeypatch)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained small network with the 19 classes of Cityscapes, as a weights file."""
    from contextnet.models.contextnet import ContextNet
    from contextnet.models.storage import Weights, write_weights
    from contextnet.spec import variant

    torch.manual_seed(3)
    spec = variant("cn14-160", 19, width=0.25)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_weights(path, Weights(spec, CITYSCAPES, ContextNet(spec).state_dict(), {"miou": 0.5}, "for tests"))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with three images of different sizes, one of them in an inner folder."""
    random = np.random.default_rng(5)
    folder = tmp_path / "pictures"
    (folder / "inner").mkdir(parents=True)
    for name, size in (("a.png", (40, 60)), ("b.png", (1, 1)), ("inner/a.png", (33, 97))):
        write_png(folder / name, random.integers(0, 256, (*size, 3), dtype=np.uint8))
    return folder
