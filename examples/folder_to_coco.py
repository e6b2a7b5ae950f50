"""A folder of images to one COCO file: images, categories, and one run-length mask a class and image.

    python examples/folder_to_coco.py photos coco.json

The masks are what the network sees, a draft to be corrected in an annotation tool. Category ids are those of the data
set's mask files; file names are relative to the folder. An existing file is overwritten.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contextnet.errors import ContextNetError
from contextnet.files import write_json
from contextnet.images import image_files
from contextnet.labels import LabelSet
from contextnet.runtime import Segmenter


def coco_categories(label_set: LabelSet) -> list[dict[str, Any]]:
    """Give the classes as COCO's categories, numbered as ``Segmentation.coco_results`` does."""
    return [{"id": c.file_ids[0], "name": c.name, "supercategory": c.category} for c in label_set.classes]


def label_folder(segmenter: Segmenter, folder: Path) -> dict[str, Any]:
    """Label the images of a folder and its subfolders, and give COCO's document, in plain JSON values.

    Images and annotations count from 1. Raises ``ImageError`` when there is no image, or one cannot be read.
    """
    files = image_files(folder, recursive=True)
    root = folder if folder.is_dir() else folder.parent
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (file, result) in enumerate(zip(files, segmenter.stream(files), strict=True), start=1):
        height, width = result.labels.shape
        name = file.relative_to(root).as_posix()
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        for record in result.coco_results(image_id):
            # All pixels of a class are one annotation, also where they are several things: COCO's crowd.
            annotations.append({"id": len(annotations) + 1, **record, "iscrowd": 1})
    categories = coco_categories(segmenter.label_set)
    return {"images": images, "annotations": annotations, "categories": categories}


def main(arguments: Sequence[str] | None = None) -> None:
    """Label a folder into a file."""
    parser = argparse.ArgumentParser(description="Label a folder of images into one COCO file.")
    parser.add_argument("folder", type=Path, help="a folder of images, or one image")
    parser.add_argument("output", type=Path, help="the JSON file to write")
    parser.add_argument("--network", default="cn14-camvid-int8", help="a shipped network or a model file")
    options = parser.parse_args(arguments)
    try:
        with Segmenter.load(options.network) as segmenter:
            document = label_folder(segmenter, options.folder)
        write_json(options.output, document)
    except ContextNetError as error:
        parser.error(str(error))
    print(f"{options.output}: {len(document['annotations'])} masks in {len(document['images'])} images")


if __name__ == "__main__":
    main()
