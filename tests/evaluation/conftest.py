from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark's own evaluation, as a module."""
    # The reference calls this by the name that NumPy 2.4 dropped.
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    # It reads these when it is imported.
    monkeypatch.delenv("CITYSCAPES_DATASET", raising=False)
    monkeypatch.delenv("CITYSCAPES_EXPORT_DIR", raising=False)
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling

    return evalPixelLevelSemanticLabeling
