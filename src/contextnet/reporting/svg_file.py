"""An SVG file that stands on its own: it carries its style, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Iterable

from contextnet.reporting.markup import Html, element
from contextnet.reporting.style import SERIES_DARK, SERIES_LIGHT


def svg_file(parts: Iterable[Html], width: float, height: float, label: str) -> str:
    """Make the file's text of what is drawn within ``width`` by ``height`` pixels; ``label`` says what is to be seen.

    Classes of texts: ``name``, ``value``, ``heading``, none for what stands back; of what is drawn: ``s0`` and on for
    the series' colours, with ``tint`` as a light ground, ``gridline``, ``base``, ``flow`` (with ``dashed``), ``head``.
    """
    ground = element("rect", width="100%", height="100%", class_="page")
    drawing = element(
        "svg",
        element("style", Html(_style())),
        ground,
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height=height,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=label,
    )
    return drawing.source + "\n"


def _style() -> str:
    light, dark = (
        "".join(f".s{index}{{fill:{color}}}.s{index}.tint{{stroke:{color}}}" for index, color in enumerate(colors))
        for colors in (SERIES_LIGHT, SERIES_DARK)
    )
    return f"{_RULES}{light}@media (prefers-color-scheme:dark){{{_DARK}{dark}}}"


_RULES = """
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#5d6066;font-variant-numeric:tabular-nums}
.page{fill:#fff}.name,.value,.heading{fill:#1b1c1e}.heading{font-weight:600}
.value{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}
.tint{fill-opacity:.14}.gridline{stroke:#ecece8}.base{stroke:#c9c9c4}
.flow{stroke:#7d8087;stroke-width:1.5;fill:none}.dashed{stroke-dasharray:5 4}.head{fill:#7d8087}
"""
_DARK = """
text{fill:#a0a4ab}.page{fill:#1c1e21}.name,.value,.heading{fill:#e9e9e6}.value{stroke:#1c1e21}
.tint{fill-opacity:.22}.gridline{stroke:#2a2d31}.base{stroke:#4a4d52}.flow{stroke:#8d9096}.head{fill:#8d9096}
"""
