"""Synthetic streets: seeded drives with complete ground truth."""

from contextnet.data.synthetic.dataset import SyntheticStreets, drives_for
from contextnet.data.synthetic.drive import Drive, StreetFrame
from contextnet.data.synthetic.writer import write_drives

__all__ = ["Drive", "StreetFrame", "SyntheticStreets", "drives_for", "write_drives"]
