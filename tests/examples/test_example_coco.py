from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from example_images import image_folder
from folder_to_coco import coco_categories, main
from pycocotools.coco import COCO

from contextnet.images import write_png
from contextnet.labels import CITYSCAPES
from contextnet.runtime import Segmenter
from lively_networks import patches

NETWORK = "cn14-synthetic"


def test_categories_are_numbered_as_in_mask_files() -> None:
    categories = coco_categories(CITYSCAPES)
    assert categories[0] == {"id": 7, "name": "road", "supercategory": "flat"}
    assert categories[-1] == {"id": 33, "name": "bicycle", "supercategory": "vehicle"}
    assert len(categories) == 19


# pycocotools 2.0.11 was not made for NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_masks_that_the_network_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, output = image_folder(tmp_path / "photos", 2), tmp_path / "coco.json"
    (folder / "more").mkdir()
    write_png(folder / "more" / "odd.png", patches((33, 65), 7))
    main([str(folder), str(output), "--network", NETWORK])
    coco = COCO(str(output))
    assert [image["file_name"] for image in coco.dataset["images"]] == ["0.png", "1.png", "more/odd.png"]
    with Segmenter.load(NETWORK) as segmenter:
        for image in coco.dataset["images"]:
            result = segmenter.predict(folder / image["file_name"])
            assert (image["height"], image["width"]) == result.labels.shape
            file_ids = np.zeros_like(result.labels)
            annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
            for annotation in annotations:
                mask = coco.annToMask(annotation)
                assert annotation["area"] == mask.sum()
                file_ids += mask * np.uint8(annotation["category_id"])
            np.testing.assert_array_equal(file_ids, result.file_ids())
            assert {a["category_id"] for a in annotations} <= set(coco.getCatIds())
    ids = [annotation["id"] for annotation in coco.dataset["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    assert f"{len(ids)} masks in 3 images" in capsys.readouterr().out


def test_one_image_is_a_folder_of_one(tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "photos", 2)
    main([str(folder / "1.png"), str(tmp_path / "coco.json")])
    assert [image["file_name"] for image in COCO(str(tmp_path / "coco.json")).dataset["images"]] == ["1.png"]


@pytest.mark.parametrize(("content", "expected"), [(None, "holds no image"), (b"no png", "is not a readable image")])
def test_what_cannot_be_read_is_one_line_and_no_file(
    content: bytes | None, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    if content is not None:
        (tmp_path / "photos" / "a.png").write_bytes(content)
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "photos"), str(tmp_path / "coco.json")])
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "coco.json").exists()
