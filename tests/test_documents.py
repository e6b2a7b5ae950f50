"""What the documents say is there: linked files, commands, recipes and the measured figures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contextnet.benchmark.film import film_street
from contextnet.recipes.catalogue import recipe_names
from contextnet.weights.catalogue import find_weights, summarize_weights, weights_names

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples" / "README.md",
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere_and_no_figure_is_missing(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target
    assert not re.findall(r"\b[A-Z]+_(?:MIOU|COST|RESULT|EPOCHS)\b", text)


@pytest.mark.parametrize("document", ["README.md", "docs/runtime.md", "docs/streams.md"])
def test_python_of_the_documents_runs(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(picture).save("photo.jpg")
    film_street((64, 96), tmp_path / "drive.mp4", frames=3)
    names = {"frames": [picture] * 3}
    for block in blocks:
        exec(block, names)  # the project's own documents


def test_commands_of_the_documents_exist() -> None:
    from contextnet.cli.app import app

    groups = {group.name for group in app.registered_groups}
    known = {command.callback.__name__ for command in app.registered_commands if command.callback} | groups
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        used = set(re.findall(r"(?m)^contextnet ([a-z]+)", text)) | set(re.findall(r"`contextnet ([a-z]+)", text))
        assert used <= known, f"{document.name}: {used - known}"


def test_readme_quotes_the_measured_miou_of_every_shipped_network() -> None:
    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    for name in weights_names():
        summary = summarize_weights(find_weights(name))
        (row,) = [row for row in rows if row.startswith(f"| `{name}`")]
        assert f"{summary.parameters:,}" in row
        assert summary.miou is not None
        assert f" {100 * summary.miou:.1f} %" in row


def test_training_document_lists_every_recipe() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert [name for name in recipe_names() if f"`{name}`" not in text] == []
