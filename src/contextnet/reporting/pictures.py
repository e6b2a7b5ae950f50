"""The best and worst images on the page: image, truth, and each run's prediction, as JPEGs inside the page.

Images are uint8 (H, W, 3) RGB, labels uint8 (H, W) train ids.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contextnet.labels import IGNORE_INDEX, LabelSet
from contextnet.reporting.gallery import Exhibit, Galleries, Gallery
from contextnet.reporting.markup import Html, element, join
from contextnet.runtime.drawing import overlay

SHOWN_WIDTH = 480
_JPEG_QUALITY = 82
_OPACITY = 0.6
_WRONG = (230, 40, 40)


def pictures_section(galleries: Galleries, names: Sequence[str]) -> Html:
    """Show the galleries; ``names`` are the runs' names by their place on the page."""
    shown = [_gallery(gallery, names) for gallery in galleries.galleries]
    reasons = [element("p", f"No pictures of {reason}", class_="note") for reason in galleries.reasons]
    return join([*shown, *reasons])


def mistakes_picture(
    image: NDArray[np.uint8], truth: NDArray[np.uint8], labels: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Paint the wrong pixels red over the grey image; void pixels of the truth, which do not count, are dimmed."""
    gray = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    gray[truth == IGNORE_INDEX] *= 0.4
    wrong = (truth != labels) & (truth != IGNORE_INDEX)
    gray[wrong] = 0.25 * gray[wrong] + 0.75 * np.array(_WRONG)
    drawn: NDArray[np.uint8] = np.rint(gray).astype(np.uint8)
    return drawn


def _gallery(gallery: Gallery, names: Sequence[str]) -> Html:
    note = f"{gallery.images_scored} images of {gallery.split} were scored with the best weights"
    note += "; ordered by the mean of the runs." if len(gallery.runs) > 1 else "."
    return element(
        "div",
        element("p", note, class_="note"),
        *_rows("Worst images", gallery.worst, gallery, names),
        *_rows("Best images", gallery.best, gallery, names),
        _swatches(gallery.labels),
        class_="card",
    )


def _rows(title: str, exhibits: Sequence[Exhibit], gallery: Gallery, names: Sequence[str]) -> list[Html]:
    if not exhibits:
        return []
    figures = [figure for exhibit in exhibits for figure in _figures(exhibit, gallery.labels, names)]
    columns = len(figures) // len(exhibits)
    style = f"grid-template-columns:repeat({columns},minmax(150px,1fr))"
    grid = element("div", *figures, class_="pictures", style=style)
    return [element("h3", title, style="margin-top:14px"), element("div", grid, class_="scroll")]


def _figures(exhibit: Exhibit, labels: LabelSet, names: Sequence[str]) -> list[Html]:
    """Draw one row: the image, the truth, each run's prediction, and where a single run errs."""
    image, truth = shrunk(exhibit.image), shrunk_labels(exhibit.truth)
    figures = [
        _figure(image, exhibit.name, f"{exhibit.name}: image"),
        _figure(overlay(image, truth, labels, _OPACITY), "truth", f"{exhibit.name}: truth"),
    ]
    for answer in exhibit.answers:
        said = f"{names[answer.run]}, mIoU {100 * answer.miou:.1f} %"
        drawn = overlay(image, shrunk_labels(answer.labels), labels, _OPACITY)
        figures.append(_figure(drawn, said, f"{exhibit.name}: prediction of {names[answer.run]}"))
    if len(exhibit.answers) == 1:
        drawn = mistakes_picture(image, truth, shrunk_labels(exhibit.answers[0].labels))
        figures.append(_figure(drawn, "mistakes in red", f"{exhibit.name}: mistakes"))
    return figures


def shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink an image to at most ``SHOWN_WIDTH`` pixels of width."""
    size = _shown_size(image.shape[0], image.shape[1])
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def shrunk_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink labels as ``shrunk`` does its image, each pixel keeping a class that was there."""
    size = _shown_size(labels.shape[0], labels.shape[1])
    return np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))


def _shown_size(height: int, width: int) -> tuple[int, int]:
    """Give the size on the page as Pillow takes it: width, height."""
    scale = min(1.0, SHOWN_WIDTH / width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _figure(picture: NDArray[np.uint8], caption: str, alt: str) -> Html:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    source = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
    height, width = picture.shape[:2]
    image = element("img", src=source, alt=alt, width=width, height=height, loading="lazy")
    return element("figure", image, element("figcaption", caption))


def _swatches(labels: LabelSet) -> Html:
    entries = [
        element("span", element("span", class_="key", style=f"background:rgb{label.color}"), label.name)
        for label in labels.classes
    ]
    return element("div", *entries, class_="swatches")
