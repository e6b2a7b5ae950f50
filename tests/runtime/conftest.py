from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from deployed_networks import small_ir, small_model, small_weights
from fake_machine import PACKAGES, Machine, Opened

import contextnet.runtime.engines.choice as choice
import contextnet.runtime.engines.opening as opening
import contextnet.weights.catalogue as catalogue
from contextnet.models.storage import write_weights
from contextnet.runtime.engines.choice import ENGINES
from contextnet.runtime.onnx_file import write_onnx_file


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands in for the package's own: both.onnx and .safetensors, model.onnx, weights.safetensors."""
    folder = tmp_path_factory.mktemp("networks")
    for name in ("both", "model"):
        write_onnx_file(folder / f"{name}.onnx", small_model())
    for name in ("both", "weights"):
        write_weights(folder / f"{name}.safetensors", small_weights())
    small_ir(folder)
    return folder


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, networks: Path) -> Machine:
    """Has every engine and no GPU; the package takes it for the one that it runs on, and ``networks`` for its own."""
    machine = Machine()

    def find_spec(package: str) -> ModuleSpec | None:
        name = next(name for name, its in PACKAGES.items() if its == package)
        if name not in machine.installed:
            return None
        library = tmp_path / package / "lib" / ("libtorch_cuda.so" if name in machine.built_for_cuda else "libtorch.so")
        library.parent.mkdir(parents=True, exist_ok=True)
        library.touch()
        return ModuleSpec(package, None, origin=str(tmp_path / package / "__init__.py"))

    def fake_module(name: str) -> SimpleNamespace:
        def open_fake(source: Any, **options: Any) -> Opened:
            machine.opened.append(f"{name} {options.get('device')}")
            if options.get("device") == "cuda" and name in machine.fails_to_open:
                raise machine.fails_to_open[name]
            return Opened(name, source, options, machine)

        return SimpleNamespace(open_engine=open_fake, has_cuda=lambda: name in machine.built_for_cuda)

    modules = {ENGINES[name]: fake_module(name) for name in ENGINES}
    monkeypatch.setattr(choice, "find_spec", find_spec)
    monkeypatch.setattr(choice, "count_gpus", lambda: machine.gpus)
    for module in (choice, opening):
        monkeypatch.setattr(module, "import_module", modules.__getitem__)
    monkeypatch.setattr(catalogue, "_FOLDER", networks)
    return machine
