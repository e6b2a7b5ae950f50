"""Label sets that masks are known to come in: CamVid's and Cityscapes' by id and by colour, and their usual shares."""

from __future__ import annotations

from dataclasses import dataclass, replace

from contextnet.data.label_file import LabelFile
from contextnet.data.mask_colors import MaskColors
from contextnet.data.numbering import train_id_numbering
from contextnet.labels import CAMVID, CITYSCAPES, IGNORE_INDEX, Color, LabelClass, LabelSet

# CamVid's 32 classes in the order of its label_colors.txt, which is also how masks of ids number them: name, official
# colour, category, whether single objects are meant, and the class of the SegNet split that it is merged into.
_CAMVID_32: tuple[tuple[str, Color, str, bool, str], ...] = (
    ("Animal", (64, 128, 64), "animal", True, "pedestrian"),
    ("Archway", (192, 0, 128), "construction", False, "building"),
    ("Bicyclist", (0, 128, 192), "human", True, "bicyclist"),
    ("Bridge", (0, 128, 64), "construction", False, "building"),
    ("Building", (128, 0, 0), "construction", False, "building"),
    ("Car", (64, 0, 128), "vehicle", True, "car"),
    ("CartLuggagePram", (64, 0, 192), "object", True, "pedestrian"),
    ("Child", (192, 128, 64), "human", True, "pedestrian"),
    ("Column_Pole", (192, 192, 128), "object", False, "pole"),
    ("Fence", (64, 64, 128), "construction", False, "fence"),
    ("LaneMkgsDriv", (128, 0, 192), "flat", False, "road"),
    ("LaneMkgsNonDriv", (192, 0, 64), "flat", False, "road"),
    ("Misc_Text", (128, 128, 64), "object", False, "sign"),
    ("MotorcycleScooter", (192, 0, 192), "vehicle", True, "bicyclist"),
    ("OtherMoving", (128, 64, 64), "vehicle", True, "car"),
    ("ParkingBlock", (64, 192, 128), "flat", False, "pavement"),
    ("Pedestrian", (64, 64, 0), "human", True, "pedestrian"),
    ("Road", (128, 64, 128), "flat", False, "road"),
    ("RoadShoulder", (128, 128, 192), "flat", False, "pavement"),
    ("Sidewalk", (0, 0, 192), "flat", False, "pavement"),
    ("SignSymbol", (192, 128, 128), "object", False, "sign"),
    ("Sky", (128, 128, 128), "sky", False, "sky"),
    ("SUVPickupTruck", (64, 128, 192), "vehicle", True, "car"),
    ("TrafficCone", (0, 0, 64), "object", False, "pole"),
    ("TrafficLight", (0, 64, 64), "object", False, "sign"),
    ("Train", (192, 64, 128), "vehicle", True, "car"),
    ("Tree", (128, 128, 0), "nature", False, "tree"),
    ("Truck_Bus", (192, 128, 192), "vehicle", True, "car"),
    ("Tunnel", (64, 0, 64), "construction", False, "building"),
    ("VegetationMisc", (192, 192, 0), "nature", False, "tree"),
    ("Void", (0, 0, 0), "void", False, ""),
    ("Wall", (64, 192, 0), "construction", False, "building"),
)
_BLACK: Color = (0, 0, 0)
# The SegNet tutorial's own drawings have a colour for lane markings that the official table lacks.
_SEGNET_ROAD_MARKING: Color = (255, 69, 0)
# Colours of Cityscapes' classes outside the 19. Pole group and licence plate share theirs with pole and car.
_CITYSCAPES_VOID: tuple[Color, ...] = (
    _BLACK,  # unlabeled, ego vehicle, rectification border, out of roi, static
    (111, 74, 0),  # dynamic
    (81, 0, 81),  # ground
    (250, 170, 160),  # parking
    (230, 150, 140),  # rail track
    (180, 165, 180),  # guard rail
    (150, 100, 100),  # bridge
    (150, 120, 90),  # tunnel
    (0, 0, 90),  # caravan
    (0, 0, 110),  # trailer
)
# Per cent of the labelled pixels in the train splits, in train-id order: CamVid as this package counts it, Cityscapes
# as published with its fine annotations.
_CAMVID_SHARES = (17.5, 24.1, 1.0, 32.8, 4.7, 10.0, 1.2, 1.1, 6.1, 0.6, 0.3)
_CITYSCAPES_SHARES = (
    *(36.9, 6.1, 22.8, 0.7, 0.9, 1.2, 0.2, 0.6, 15.9, 1.2, 4.0),
    *(1.2, 0.1, 7.0, 0.3, 0.2, 0.2, 0.1, 0.4),
)


@dataclass(frozen=True)
class KnownIds:
    """A numbering that masks of ids come in.

    ``shares`` are the usual per cent of each group's labelled pixels; ``groups`` gives the group of every class, in
    train-id order, or None where it is not counted.
    """

    name: str
    detail: str
    labels: LabelSet
    shares: tuple[float, ...]
    groups: tuple[int | None, ...]


@dataclass(frozen=True)
class KnownColors:
    """A table of colours that masks come in."""

    name: str
    detail: str
    file: LabelFile


def _camvid_32(ids: bool) -> LabelFile:
    """CamVid's classes one by one, void left out; by the masks' ids or by their colours."""
    rows = [(i, row) for i, row in enumerate(_CAMVID_32) if row[4]]
    (void_id,) = [i for i, row in enumerate(_CAMVID_32) if not row[4]]
    classes = tuple(LabelClass(row[0], row[1], row[2], (i,), row[3]) for i, row in rows)
    labels = LabelSet("camvid-32", classes, (void_id, IGNORE_INDEX))
    if ids:
        return LabelFile(labels)
    return LabelFile(train_id_numbering(labels), MaskColors(tuple((row[1],) for _, row in rows), (_BLACK,)))


def _camvid_merged(ids: bool) -> LabelFile:
    """CamVid's 32 classes merged to the 11 of the SegNet split; by the masks' ids or by their colours."""
    members = {c.name: [i for i, row in enumerate(_CAMVID_32) if row[4] == c.name] for c in CAMVID.classes}
    if ids:
        (void_id,) = [i for i, row in enumerate(_CAMVID_32) if not row[4]]
        classes = tuple(replace(c, file_ids=tuple(members[c.name])) for c in CAMVID.classes)
        return LabelFile(LabelSet("camvid", classes, (void_id, IGNORE_INDEX)))
    extra: dict[str, tuple[Color, ...]] = {"road": (_SEGNET_ROAD_MARKING,)}
    by_class = tuple(
        tuple(dict.fromkeys((c.color, *(_CAMVID_32[i][1] for i in members[c.name]), *extra.get(c.name, ()))))
        for c in CAMVID.classes
    )
    return LabelFile(train_id_numbering(CAMVID), MaskColors(by_class, (_BLACK,)))


def _camvid_12() -> LabelSet:
    void = LabelClass("void", _BLACK, "void", (11,))
    return LabelSet("camvid-12", (*CAMVID.classes, void), (IGNORE_INDEX,))


def _camvid_32_groups() -> tuple[int, ...]:
    return tuple(CAMVID.names.index(row[4]) for row in _CAMVID_32 if row[4])


_EVERY_CAMVID = tuple(range(CAMVID.num_classes))
_EVERY_CITYSCAPES = tuple(range(CITYSCAPES.num_classes))

KNOWN_IDS: tuple[KnownIds, ...] = (
    KnownIds(
        "cityscapes-labelids", "Cityscapes' labelIds, 19 classes", CITYSCAPES, _CITYSCAPES_SHARES, _EVERY_CITYSCAPES
    ),
    KnownIds(
        "cityscapes-trainids",
        "Cityscapes' labelTrainIds, 19 classes",
        train_id_numbering(CITYSCAPES),
        _CITYSCAPES_SHARES,
        _EVERY_CITYSCAPES,
    ),
    KnownIds("camvid-11", "CamVid's 11 classes, id 11 is void", CAMVID, _CAMVID_SHARES, _EVERY_CAMVID),
    KnownIds(
        "camvid-12", "CamVid's 11 classes and void as a twelfth", _camvid_12(), _CAMVID_SHARES, (*_EVERY_CAMVID, None)
    ),
    KnownIds(
        "camvid-32",
        "CamVid's 32 classes in alphabetical order, Void is void",
        _camvid_32(ids=True).labels,
        _CAMVID_SHARES,
        _camvid_32_groups(),
    ),
    KnownIds(
        "camvid-32-as-11",
        "CamVid's 32 classes merged to the 11 of SegNet",
        _camvid_merged(ids=True).labels,
        _CAMVID_SHARES,
        _EVERY_CAMVID,
    ),
)
"""The numberings that are recognised by the ids that occur and by how often they do."""

KNOWN_COLORS: tuple[KnownColors, ...] = (
    KnownColors("camvid-32-colors", "CamVid's official colours, 32 classes, Void is void", _camvid_32(ids=False)),
    KnownColors("camvid-11-colors", "CamVid's colours merged to the 11 classes of SegNet", _camvid_merged(ids=False)),
    KnownColors(
        "cityscapes-colors",
        "Cityscapes' official colours, 19 classes; pole groups read as pole, licence plates as car",
        LabelFile(
            train_id_numbering(CITYSCAPES), MaskColors(tuple((c.color,) for c in CITYSCAPES.classes), _CITYSCAPES_VOID)
        ),
    ),
)
"""The tables of colours that are recognised by the colours that occur."""
