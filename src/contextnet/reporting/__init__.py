"""Reports of training runs: one self-contained HTML page of one run or several side by side."""

from contextnet.reporting.gallery import Galleries, Gallery, find_galleries
from contextnet.reporting.page import render_page
from contextnet.reporting.pictures import pictures_section
from contextnet.reporting.run_record import RunRecord, read_run, read_runs

__all__ = [
    "Galleries",
    "Gallery",
    "RunRecord",
    "find_galleries",
    "pictures_section",
    "read_run",
    "read_runs",
    "render_page",
]
