"""The seeing path: from a network's file and an image to its labels, and what is made of them. No PyTorch."""

from contextnet.runtime.class_areas import ClassArea, ClassAreas
from contextnet.runtime.drawing import contact_sheet, overlay, with_legend
from contextnet.runtime.palette import with_palette
from contextnet.runtime.polygons import Polygon, trace_polygons
from contextnet.runtime.regrouping import Regrouping, regroup
from contextnet.runtime.run_length import RunLength
from contextnet.runtime.segmentation import Segmentation
from contextnet.runtime.segmenter import Segmenter

__all__ = [
    "ClassArea",
    "ClassAreas",
    "Polygon",
    "Regrouping",
    "RunLength",
    "Segmentation",
    "Segmenter",
    "contact_sheet",
    "overlay",
    "regroup",
    "trace_polygons",
    "with_legend",
    "with_palette",
]
