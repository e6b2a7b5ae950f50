from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from reporting_runs import THREE, make_run, scores_of

from contextnet.reporting.matrix import Mistake, largest_mistakes, matrix_section, row_shares
from contextnet.reporting.run_record import read_run


def test_rows_are_shares_of_the_true_class() -> None:
    shares = row_shares(np.array([[90, 10, 0, 0], [5, 12, 0, 3], [0, 0, 0, 0]], np.int64))
    expected = [[0.9, 0.1, 0, 0], [0.25, 0.6, 0, 0.15], [np.nan] * 4]
    np.testing.assert_allclose(shares, expected)


def test_the_largest_mistakes_come_first_and_void_is_one() -> None:
    scores = scores_of([[90, 10, 0, 0], [5, 12, 0, 3], [0, 0, 0, 0]])
    expected = [("road", "car", 10, 0.1), ("car", "road", 5, 0.25), ("car", "void", 3, 0.15)]
    assert largest_mistakes(scores) == tuple(Mistake(*row) for row in expected)
    assert largest_mistakes(scores, 1) == (Mistake("road", "car", 10, 0.1),)


def test_the_table_holds_per_cents(tmp_path: Path) -> None:
    scores = scores_of([[997, 3, 0, 0], [150, 600, 0, 250], [0, 0, 0, 0]])
    source = matrix_section([read_run(make_run(tmp_path / "one", scores=scores), "one")]).source
    cells = re.findall(r'<td class="([a-z ]+)" style="--v:([0-9.]+)%" title="([^"]*)">([^<]*)</td>', source)
    assert [(css, value, text) for css, value, _, text in cells] == [
        ("hit strong", "99.7", "100"),
        ("miss", "0.3", ""),
        ("miss", "0.0", ""),
        ("miss", "0.0", ""),
        ("miss", "15.0", "15"),
        ("hit strong", "60.0", "60"),
        ("miss", "0.0", ""),
        ("miss", "25.0", "25"),
    ]
    assert cells[1][2] == "0.30 % of road is labelled car"
    assert source.count("no pixel of sky in the data") == 4
    assert re.findall(r'class="total">([^<]*)<', source) == ["50.0 %", "50.0 %", "0.0 %"]


def test_a_column_of_void_stands_only_where_it_is_predicted(tmp_path: Path) -> None:
    for name, void, expected in (("with", 1, 1), ("without", 0, 0)):
        scores = scores_of([[90, 10, 0, void], [5, 15, 0, 0], [0, 0, 9, 0]])
        source = matrix_section([read_run(make_run(tmp_path / name, scores=scores), name)]).source
        assert source.count("<div>void</div>") == expected


def test_a_perfect_network_and_one_without_scores(tmp_path: Path) -> None:
    perfect = scores_of(np.hstack([np.diag([5, 5, 5]), np.zeros((3, 1), int)]).tolist(), THREE)
    runs = [read_run(make_run(tmp_path / "a", scores=perfect), "a"), read_run(make_run(tmp_path / "b"), "b")]
    source = matrix_section(runs).source
    assert "Not one labelled pixel is wrong." in source
    assert "No scores of best weights yet." in source
