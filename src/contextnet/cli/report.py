"""``contextnet report``: one page of one training run or several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Option

from contextnet.cli.optional import require_torch
from contextnet.cli.options import Device, require_device
from contextnet.cli.progress import progress_bar
from contextnet.errors import ContextNetError
from contextnet.files import write_text


def report(
    runs: Annotated[list[Path], Argument(metavar="RUN…", help="Folders of training runs, as --output named them.")],
    output: Annotated[Path, Option(help="The HTML file to write.")] = Path("report.html"),
    data: Annotated[str | None, Option(metavar="KIND:ROOT", help="Data set, in place of the recipes'.")] = None,
    images: Annotated[int, Option(min=0, max=20, help="How many best and how many worst images to show; 0: none.")] = 3,
    device: Device = "cpu",
) -> None:
    """Write one self-contained HTML page: recipe, curves, classes, confusion matrix, best and worst images."""
    require_torch("report")
    require_device(device)
    _require_file_target(output)
    from contextnet.reporting.gallery import Galleries, find_galleries
    from contextnet.reporting.page import render_page
    from contextnet.reporting.pictures import pictures_section
    from contextnet.reporting.run_record import read_runs

    records = read_runs(runs)
    galleries = Galleries((), ("any run: --images is 0.",))
    if images:
        with progress_bar("scoring images") as progress:
            galleries = find_galleries(records, images, source=data, device=device, progress=progress)
    page = render_page(records, pictures_section(galleries, [record.name for record in records]))
    write_text(output, page)
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{output}: {len(records)} {'run' if len(records) == 1 else 'runs'}, {len(page.encode()) / 1e6:.1f} MB"
    )


def _require_file_target(output: Path) -> None:
    """Raise ``ContextNetError`` when the page could not be written there; called before any work is done."""
    if output.is_dir():
        raise ContextNetError(f"{output}: is a folder; name the HTML file, as in {output / 'report.html'}")
    if not output.parent.is_dir():
        raise ContextNetError(f"{output}: its folder does not exist; make it first")
