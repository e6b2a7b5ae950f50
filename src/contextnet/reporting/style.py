"""How the page looks: one style sheet, light or dark as the reader's system is, and the colours of the runs.

The runs' colours are told apart by the common forms of colour blindness in their order here; labels and legends name
every run as well.
"""

from __future__ import annotations

SERIES_LIGHT = ("#2a78d6", "#eb6834", "#159a6a", "#4a3aa7", "#d9608f", "#b07d00", "#008300", "#e34948")
SERIES_DARK = ("#4f97ea", "#e8743f", "#1fae7d", "#a298f2", "#e07a9f", "#d19a1a", "#3fa53f", "#ee7272")


def style_sheet() -> str:
    """Give the page's CSS."""
    return _RULES.replace("LIGHT_SERIES", _variables(SERIES_LIGHT)).replace("DARK_SERIES", _variables(SERIES_DARK)) + (
        "\n".join(f".s{index}{{--c:var(--s{index})}}" for index in range(len(SERIES_LIGHT)))
    )


def series_class(index: int) -> str:
    """Name the CSS class that gives an element the colour of run ``index``, 0-based."""
    return f"s{index % len(SERIES_LIGHT)}"


def _variables(colors: tuple[str, ...]) -> str:
    return "".join(f"--s{index}:{color};" for index, color in enumerate(colors))


_RULES = """
:root{color-scheme:light dark;--page:#f6f6f4;--card:#fff;--ink:#1b1c1e;--soft:#5d6066;--line:#e3e3df;--grid:#ecece8;
--accent:#2a78d6;--hit:#2a78d6;--miss:#d9542b;--mark:#fff3cf;--warn:#8a5a00;LIGHT_SERIES}
@media (prefers-color-scheme:dark){:root{--page:#131416;--card:#1c1e21;--ink:#e9e9e6;--soft:#a0a4ab;--line:#33363b;
--grid:#2a2d31;--accent:#4f97ea;--hit:#2b6cb8;--miss:#ef7a52;--mark:#453a17;--warn:#e2b04a;DARK_SERIES}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1240px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:26px;line-height:1.25;margin:0 0 2px;font-weight:650;letter-spacing:-.01em}
h2{font-size:18px;margin:40px 0 4px;font-weight:650}
h3{font-size:15px;margin:0;font-weight:600}
p{margin:0 0 12px;max-width:78ch}
.soft,.note{color:var(--soft)}
.note{font-size:14px}
svg+.note{margin-top:8px;font-size:13px}
.warn{color:var(--warn)}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;
padding:16px 18px;margin:12px 0 0;min-width:0}
.grid{display:grid;gap:12px;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));margin-top:12px}
.grid>.card{margin:0}
.plots{grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr))}
.tiles{display:grid;gap:12px;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));margin-top:20px}
.tiles .soft{font-size:14px}
.tiles>.card{margin:0;border-top:3px solid var(--c)}
.big{font-size:34px;line-height:1.2;font-weight:650;letter-spacing:-.02em;margin:4px 0 0}
.big small{font-size:15px;font-weight:500;letter-spacing:0;color:var(--soft)}
.legend{display:flex;flex-wrap:wrap;gap:2px 18px;font-size:13px;color:var(--soft);margin:2px 0 8px}
.key{display:inline-block;width:10px;height:10px;border-radius:3px;background:var(--c);margin-right:6px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:14px;width:100%}
th,td{text-align:left;padding:5px 14px 5px 0;vertical-align:top;
border-bottom:1px solid var(--line);overflow-wrap:anywhere}
tr:last-child>th,tr:last-child>td{border-bottom:0}
thead th{font-weight:600}
tbody th{font-weight:400;color:var(--soft);white-space:nowrap}
td.other code{background:var(--mark);border-radius:3px;padding:2px 5px;margin-left:-5px}
code{font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.runs td,.runs thead th{min-width:120px}
details{margin-top:12px}
summary{cursor:pointer;color:var(--accent);font-size:14px}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--soft);
font-variant-numeric:tabular-nums}
.gridline{stroke:var(--grid);stroke-width:1}
.base{stroke:var(--line);stroke-width:1}
.curve{fill:none;stroke:var(--c);stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.dot{fill:var(--c)}
.hidden{fill:transparent}
.ring{fill:var(--card);stroke:var(--c);stroke-width:1.8}
svg text.value{fill:var(--ink);font-weight:600;paint-order:stroke;
stroke:var(--card);stroke-width:3px;stroke-linejoin:round}
.bar{fill:var(--c)}
svg text.name{fill:var(--ink);font-size:12px}
.beside{display:flex;flex-wrap:wrap;gap:12px 28px;align-items:flex-end}
.beside>div{min-width:0}
.mistakes{flex:1 1 240px;max-width:460px}
.mistakes h4{margin:0 0 6px;font-size:13px;font-weight:600}
.mistakes table{font-size:13px;font-variant-numeric:tabular-nums}
.panels{display:grid;gap:14px 18px;grid-template-columns:repeat(auto-fill,minmax(165px,1fr))}
.panels h4{margin:0;font-size:13px;font-weight:500;display:flex;justify-content:space-between;gap:8px}
.panels h4 span{color:var(--soft);font-variant-numeric:tabular-nums;white-space:nowrap}
.panels h4 b{font-weight:500;border-bottom:2px solid var(--c);margin-left:8px}
.matrix{width:auto;border-collapse:separate;border-spacing:1px;font-size:12px;font-variant-numeric:tabular-nums}
.matrix th,.matrix td{border:0;padding:0}
.matrix tbody th{padding-right:8px;text-align:right;vertical-align:middle;color:var(--ink)}
.matrix thead th{height:104px;vertical-align:bottom;font-weight:400}
.matrix thead th>div{writing-mode:vertical-rl;transform:rotate(180deg);margin:0 auto 6px;white-space:nowrap}
.matrix thead th:first-child{text-align:right;padding-right:8px;color:var(--soft)}
.matrix td{min-width:34px;height:26px;text-align:center;vertical-align:middle;border-radius:3px}
.matrix td.hit{background:color-mix(in srgb,var(--hit) var(--v),var(--grid))}
.matrix td.miss{background:color-mix(in srgb,var(--miss) var(--v),var(--grid))}
.matrix td.faint{color:var(--soft)}
.matrix td.total{color:var(--soft);padding:0 4px 0 10px;text-align:right;white-space:nowrap}
.matrix td.strong{color:#fff;font-weight:600}
.pictures{display:grid;gap:10px 10px;margin-top:8px}
figure{margin:0;min-width:0}
figure img{width:100%;height:auto;display:block;border-radius:4px}
figcaption{font-size:12.5px;color:var(--soft);margin-top:3px;overflow-wrap:anywhere}
.swatches{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:12.5px;color:var(--soft);margin-top:12px}
@media print{body{background:#fff}.card{break-inside:avoid}}
"""
