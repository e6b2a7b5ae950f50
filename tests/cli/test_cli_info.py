from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


def test_info_gives_the_counts_of_cn14(shell: Run) -> None:
    code, out, _ = shell("info", "cn14", "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["parameters"], facts["parameters_folded"]) == (856851, 846179)
    assert facts["size_hw"] == [1024, 2048]
    assert facts["macs"] == pytest.approx(5.63e9, rel=0.01)


def test_info_describes_a_weights_file(shell: Run, tiny_weights: Path) -> None:
    code, out, _ = shell("info", str(tiny_weights), "--size", "64x128", "--json")
    assert code == 0
    assert json.loads(out)["name"] == "cn14-160-x0.25"


def test_info_table_has_the_rows_of_table_2(shell: Run) -> None:
    code, out, _ = shell("info", "cn14")
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.lstrip().startswith("context 1/4")]
    assert rows[3] == ["context", "1/4", "128×256×32", "bottleneck", "6", "48", "3", "2"]
    assert len(rows) == 8


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["info", "cn13"], "'cn13' is neither a file nor a shipped network"),
        (["info", "cn14", "--size", "1024"], "size '1024': expected HEIGHTxWIDTH"),
        (["info", "cn14", "--size", "0x8"], "height and width must be"),
        (["info", "cn14", "--width", "0"], "width multiplier 0.0"),
        (["info", "cn14-detail", "--pyramid-pooling"], "has no context branch"),
        (["info", "cn14", "--classes", "0"], "0 classes"),
    ],
)
def test_wrong_words_are_one_sentence_and_code_2(shell: Run, words: list[str], expected: str) -> None:
    code, out, err = shell(*words)
    assert (code, out) == (2, "")
    assert expected in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
