"""The result of segmenting one image, and what can be read from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contextnet.errors import DataError
from contextnet.labels import LabelSet
from contextnet.runtime.class_areas import ClassAreas, measure_areas
from contextnet.runtime.class_lookup import find_train_id
from contextnet.runtime.polygons import Polygon, trace_polygons
from contextnet.runtime.regrouping import Regrouping
from contextnet.runtime.run_length import RunLength, class_run_lengths
from contextnet.runtime.timed_image import TimedImage


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels of one image, uint8 (H, W) train ids of ``label_set``, and how long they took.

    ``confidence``, float32 (H, W) of 0..1, is the probability of each pixel's label where it was asked for. Raises
    ``ValueError`` when it differs from the labels in size. ``frame`` is the picture of a stream that this is of.
    """

    labels: NDArray[np.uint8]
    label_set: LabelSet
    latency_ms: float
    confidence: NDArray[np.float32] | None = None
    frame: TimedImage | None = None

    def __post_init__(self) -> None:
        if self.confidence is not None and self.confidence.shape != self.labels.shape:
            raise ValueError(
                f"the labels are {self.labels.shape}, their confidence {self.confidence.shape}; expected equal"
            )

    def file_ids(self) -> NDArray[np.uint8]:
        """Give the labels as the data set's own mask ids, uint8 (H, W)."""
        return self.label_set.decode(self.labels)

    def colors(self) -> NDArray[np.uint8]:
        """Give the labels as colours, uint8 (H, W, 3) RGB."""
        return self.label_set.colorize(self.labels)

    def areas(self) -> ClassAreas:
        """Measure the pixels, share and mean confidence of each class, and of void apart."""
        return measure_areas(self.labels, self.label_set, self.confidence)

    def mask(self, name_or_id: str | int) -> NDArray[np.bool_]:
        """Mark the pixels of a class, given by its name or train id, bool (H, W).

        Raises ``DataError`` naming the nearest class when the label set has no such one.
        """
        mask: NDArray[np.bool_] = self.labels == find_train_id(self.label_set, name_or_id)
        return mask

    def run_lengths(self) -> dict[str, RunLength]:
        """Encode the mask of every class that occurs, by name in train-id order."""
        encoded = class_run_lengths(self.labels)
        return {name: encoded[i] for i, name in enumerate(self.label_set.names) if i in encoded}

    def polygons(self, min_area_px: int = 1) -> dict[str, tuple[Polygon, ...]]:
        """Outline every class that occurs, by name in train-id order, leaving out regions below ``min_area_px``."""
        traced = {i: trace_polygons(self.labels == i, min_area_px) for i in self._present()}
        return {self.label_set.names[i]: polygons for i, polygons in traced.items() if polygons}

    def coco_results(self, image_id: int | None = None) -> list[dict[str, Any]]:
        """Give one record a class that occurs, as COCO's result files hold them, in plain JSON values.

        ``category_id`` is the class's own id in mask files, its first one; ``bbox`` is left, top, width and height in
        pixels; ``area`` is in pixels; ``score`` is the mean confidence where it is known. ``image_id`` is there when
        given. COCO's tools need it, and take the box's area for the mask's where a record has a box.
        """
        classes = {c.name: c for c in self.label_set.classes}
        areas = self.areas().classes
        records: list[dict[str, Any]] = []
        for name, encoded in self.run_lengths().items():
            record: dict[str, Any] = {} if image_id is None else {"image_id": image_id}
            record["category_id"] = classes[name].file_ids[0]
            record["segmentation"] = encoded.to_coco()
            record["bbox"] = list(encoded.box_xywh)
            record["area"] = encoded.area_px
            if (score := areas[name].confidence) is not None:
                record["score"] = score
            records.append(record)
        return records

    def geojson(self, min_area_px: int = 1) -> dict[str, Any]:
        """Give the outlines as a GeoJSON FeatureCollection, one MultiPolygon a class, in plain JSON values.

        Coordinates are pixels, not degrees; ``contextnet.runtime.polygons`` says how rings run. ``area_px`` counts the
        regions that are shown, ``confidence`` is the mean over the whole class or null.
        """
        areas = self.areas().classes
        features = [
            {
                "type": "Feature",
                "properties": {
                    "class": name,
                    "train_id": self.label_set.names.index(name),
                    "area_px": sum(polygon.area_px for polygon in polygons),
                    "confidence": areas[name].confidence,
                },
                "geometry": {"type": "MultiPolygon", "coordinates": [p.coordinates() for p in polygons]},
            }
            for name, polygons in self.polygons(min_area_px).items()
        ]
        return {"type": "FeatureCollection", "features": features}

    def to_json(self, *, run_lengths: bool = False, polygons: bool = False, min_area_px: int = 1) -> dict[str, Any]:
        """Describe the result in plain JSON values: size, latency, label set and areas; masks when asked for.

        ``run_lengths`` adds the records of ``coco_results`` under that name, ``polygons`` what ``geojson`` gives.
        """
        areas = self.areas()
        document: dict[str, Any] = {
            "size_hw": list(self.labels.shape),
            "latency_ms": float(self.latency_ms),
            "label_set": self.label_set.name,
            "classes": {name: area.to_json() for name, area in areas.classes.items() if area.pixels},
            "void": areas.void.to_json(),
        }
        if run_lengths:
            document["run_lengths"] = self.coco_results()
        if polygons:
            document["polygons"] = self.geojson(min_area_px)
        return document

    def regrouped(self, regrouping: Regrouping) -> Segmentation:
        """Give the result in the merged classes of a regrouping.

        The confidence stays as it is, that of the class before merging, which is never more than that of its group.
        Raises ``DataError`` when the regrouping was made for other classes.
        """
        if regrouping.source.names != self.label_set.names:
            raise DataError(
                f"the regrouping was made for the classes of '{regrouping.source.name}' and the result has those of "
                f"'{self.label_set.name}'; make it from the label set of the result"
            )
        return replace(self, labels=regrouping.apply(self.labels), label_set=regrouping.target)

    def _present(self) -> list[int]:
        counts = np.bincount(self.labels.ravel(), minlength=256)[: self.label_set.num_classes]
        return np.flatnonzero(counts).tolist()
