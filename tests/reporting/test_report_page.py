from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from reporting_runs import RECIPE, epoch, lines, make_run, scores_of, start, validation, write_tiny_weights

from contextnet.reporting.markup import Html
from contextnet.reporting.overview import differs
from contextnet.reporting.page import render_page
from contextnet.reporting.run_record import read_runs
from contextnet.reporting.style import SERIES_DARK, SERIES_LIGHT

MIOU = (90 / 105 + 15 / 30) / 2
LOG = lines(
    start(skipped_samples=["img<1>.png: damaged"]),
    epoch(1, 2.0),
    validation(1, 0.5, {"road": 0.9, "car": 0.1, "sky": None}),
    epoch(2, None, skipped_steps=2),
    validation(2, MIOU, {"road": 0.8571, "car": 0.5, "sky": None}),
)


class Outline(HTMLParser):
    """Collects what a page holds, and fails when its elements do not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action", "data"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in {"meta", "img"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(*roots: Path) -> str:
    return render_page(read_runs(roots), Html("<p>pictures</p>"))


def test_a_page_of_two_runs_tells_them_apart(tmp_path: Path) -> None:
    first = make_run(tmp_path / "first", LOG, scores=scores_of())
    write_tiny_weights(first / "best.safetensors")
    second = make_run(tmp_path / "second", lines(start(), epoch(1, 3.0)), RECIPE.replace("0.01", "0.05"))
    page = page_of(first, second)
    text = Outline(page).text
    for said in (
        "2 runs side by side, on folder:nowhere.",
        "67.9\u00a0% mIoU",
        "in epoch 2; pixel accuracy 87.5\u00a0%",
        "2 of 4 epochs so far, 2.0 min",
        "not validated yet",
        "licence <of> tests",
        "2 steps were skipped",
        "img<1>.png: damaged",
        "first: best and last 67.9 % (epoch 2)",
        "first: lowest and last 2.000 (epoch 1)",
        "second: lowest and last 3.000 (epoch 1)",
        "No scores of best weights yet.",
    ):
        assert said in text, said
    assert re.search(r'<td><code>0.01</code></td><td class="other"><code>0.05</code></td>', page)
    runs = read_runs([first, second])
    assert [key for key in runs[0].recipe if differs(runs, key)] == ["optimizer.learning_rate"]


def test_the_learning_rate_is_drawn_where_it_is_logged(tmp_path: Path) -> None:
    plain = make_run(tmp_path / "plain", lines(epoch(1, 2.0)))
    logged = make_run(tmp_path / "logged", lines(epoch(1, 2.0, learning_rate=0.01), epoch(2, 1.0, learning_rate=0.005)))
    assert "Learning rate" not in page_of(plain)
    assert "logged: last 0.0050 (epoch 2)" in Outline(page_of(plain, logged)).text


def test_nothing_on_the_page_is_loaded_or_run(tmp_path: Path) -> None:
    evil = "</style></title><script>alert(1)</script><img src=http://x onerror=y>"
    recipe = RECIPE.replace("name: tiny", f"name: '{evil}'").replace("folder:nowhere", f"folder:{evil}")
    log = lines(
        start(skipped_samples=[evil]),
        epoch(1, 1.0),
        validation(1, 0.5, {evil: 0.5, 'x" onload="y': None}),
    )
    roots = [make_run(tmp_path / name, log, recipe) for name in ("<script>", "a&b'\"")]
    page = page_of(*roots)
    outline = Outline(page)
    assert outline.tags.count("style") == 1
    assert outline.addresses == []
    assert outline.handlers == []
    assert not {"script", "link", "iframe", "object", "base", "img"} & set(outline.tags)
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert evil in outline.text


def test_a_run_that_has_only_begun_makes_a_page(tmp_path: Path) -> None:
    text = Outline(page_of(make_run(tmp_path / "one"))).text
    assert text.count("No values yet.") == 3
    assert "No run has been validated yet." in text
    assert "0 of 4 epochs so far" in text


def test_equal_recipes_are_said_to_be(tmp_path: Path) -> None:
    page = page_of(make_run(tmp_path / "a"), make_run(tmp_path / "b"))
    assert "The recipes are equal in every key." in page
    assert 'class="other"' not in page


def _contrast(first: str, second: str) -> float:
    """Contrast of two sRGB colours as WCAG 2 defines it."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_runs_colours_can_be_seen_on_either_background() -> None:
    assert len(SERIES_LIGHT) == len(SERIES_DARK) == len(set(SERIES_LIGHT)) == 8
    assert min(_contrast(color, "#ffffff") for color in SERIES_LIGHT) > 3
    assert min(_contrast(color, "#1c1e21") for color in SERIES_DARK) > 4.5


def test_a_described_network_is_called_by_its_name(tmp_path: Path) -> None:
    recipe = RECIPE.replace("{variant: cn14-160, width: 0.25, pyramid_pooling: false}", "{architecture: {name: small}}")
    assert recipe != RECIPE
    page = page_of(make_run(tmp_path / "run", LOG, recipe))
    assert re.search(r"<th[^>]*>network</th><td>small</td>", page)
