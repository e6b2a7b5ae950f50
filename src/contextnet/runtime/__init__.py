"""The seeing path: results and how they are drawn. Never imports PyTorch."""

from contextnet.runtime.drawing import contact_sheet, overlay, with_legend
from contextnet.runtime.segmentation import Segmentation

__all__ = ["Segmentation", "contact_sheet", "overlay", "with_legend"]
