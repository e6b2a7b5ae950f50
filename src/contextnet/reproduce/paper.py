"""The figures of the ContextNet paper (Poudel et al., BMVC 2018), as it prints them.

Networks have this project's names: ``cn14`` is "ContextNet (Ours)". Accuracies are IoU in percent, rates are frames
per second, sizes are (height, width). A network that a table lacks has no entry; None is a dash in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ClassGroup = Literal["small", "fine", "rare"]
Size = tuple[int, int]


@dataclass(frozen=True)
class BlockLayer:
    """One layer of Table 1 in the paper's symbols: a convolution is ``name kernel/stride, nonlinearity``."""

    input: str
    operator: str
    output: str


@dataclass(frozen=True)
class BranchLayer:
    """One row of Table 2; ``expansion`` is None for a plain convolution, whose kernel the paper does not give."""

    input_hwc: tuple[int, int, int]
    operator: str
    expansion: int | None
    output_channels: int
    repeats: int
    stride: int


@dataclass(frozen=True)
class FusionLayer:
    """One row of Table 3: what is done on the detail side and on the context side, None for nothing."""

    branch_1: str | None
    branch_4: str | None


@dataclass(frozen=True)
class Ablation:
    """One column of Table 4; ``parameters_m`` in millions."""

    miou: float
    fps: float
    parameters_m: float


@dataclass(frozen=True)
class Benchmark:
    """One row of Table 6; ``parameters_m`` in millions, ``pretrained`` is the table's mark *: on ImageNet."""

    class_miou: float
    category_miou: float | None
    parameters_m: float
    pretrained: bool


@dataclass(frozen=True)
class Runtime:
    """One row of Table 7: frames per second by image size, and the row's ``mark``, empty for none.

    ``*``: taken from the literature, with or without memory transfer; ``†``: kernel execution alone.
    """

    network: str
    fps: Mapping[Size, float | None]
    mark: str


@dataclass(frozen=True)
class Ensemble:
    """mIoU of each branch trained alone, of the mean of their soft-max outputs, and of the network that has both."""

    context: float
    detail: float
    ensemble: float
    cn14: float


@dataclass(frozen=True)
class Pruning:
    """mIoU before and after pruning, and the feature maps of each stage as multiples of the target's."""

    before: float
    after: float
    widths: tuple[float, ...]


TABLE_1 = (
    BlockLayer("h × w × c", "Conv2d 1/1, f", "h × w × tc"),
    BlockLayer("h × w × tc", "DWConv 3/s, f", "h/s × w/s × tc"),
    BlockLayer("h/s × w/s × tc", "Conv2d 1/1, –", "h/s × w/s × c'"),
)
"""Table 1, the bottleneck residual block."""

TABLE_2 = (
    BranchLayer((256, 512, 3), "Conv2d", None, 32, 1, 2),
    BranchLayer((128, 256, 32), "bottleneck", 1, 32, 1, 1),
    BranchLayer((128, 256, 32), "bottleneck", 6, 32, 1, 1),
    BranchLayer((128, 256, 32), "bottleneck", 6, 48, 3, 2),
    BranchLayer((64, 128, 48), "bottleneck", 6, 64, 3, 2),
    BranchLayer((32, 64, 64), "bottleneck", 6, 96, 2, 1),
    BranchLayer((32, 64, 96), "bottleneck", 6, 128, 2, 1),
    BranchLayer((32, 64, 128), "Conv2d", None, 128, 1, 1),
)
"""Table 2, the branch for the image at one fourth, for an image of 1024×2048."""

TABLE_3 = (
    FusionLayer(None, "Upsample × 4"),
    FusionLayer(None, "DWConv (dilation 4) 3/1, f"),
    FusionLayer("Conv2d 1/1, –", "Conv2d 1/1, –"),
    FusionLayer("add, f", "add, f"),
)
"""Table 3, the feature fusion unit; its last cell spans both branches."""

TABLE_4: Mapping[str, Ablation] = {
    "cn18": Ablation(60.1, 21.0, 0.85),
    "cn14": Ablation(65.9, 18.3, 0.85),
    "cn12": Ablation(68.7, 11.4, 0.85),
    "cn124": Ablation(67.3, 7.6, 0.93),
    "cn14-500": Ablation(62.1, 20.6, 0.49),
    "cn14-160": Ablation(57.7, 22.0, 0.16),
}
"""Table 4, the ablation on Cityscapes' validation images, at 1024×2048."""

EXACT_PARAMETERS: Mapping[str, int] = {"cn14-500": 490_459, "cn14-160": 159_387}
"""The parameter counts that section 3.2, "Number of Parameters", gives beside Table 4."""

TABLE_5_CLASSES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
    *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
)
"""The columns of Table 5, in its order."""

_TABLE_5_ROWS: Mapping[str, tuple[float, ...]] = {
    "cn18": (
        *(96.2, 72.4, 87.4, 45.9, 44.1, 32.1, 38.4, 54.3, 87.9),
        *(54.1, 91.0, 62.3, 36.1, 88.3, 57.6, 59.1, 34.2, 41.2, 58.4),
    ),
    "cn14": (
        *(96.8, 76.6, 88.6, 46.4, 49.7, 38.0, 45.3, 60.5, 89.0),
        *(59.3, 91.4, 67.5, 41.7, 90.0, 63.5, 71.7, 57.1, 41.5, 64.6),
    ),
    "cn12": (
        *(97.2, 78.9, 89.2, 47.2, 54.4, 39.5, 55.3, 63.8, 89.4),
        *(59.8, 91.5, 70.2, 47.5, 91.1, 70.2, 76.2, 63.7, 51.36, 67.8),
    ),
    "cn124": (
        *(97.4, 79.6, 89.5, 44.1, 49.8, 45.5, 50.6, 64.6, 90.2),
        *(59.4, 93.4, 70.9, 43.1, 91.8, 65.2, 71.9, 64.5, 41.95, 66.1),
    ),
}

TABLE_5: Mapping[str, Mapping[str, float]] = {
    network: dict(zip(TABLE_5_CLASSES, row, strict=True)) for network, row in _TABLE_5_ROWS.items()
}
"""Table 5, the IoU of each class of Cityscapes on its validation images, by network and class."""

TABLE_5_NOTE = "The paper's row of cn14 has a mean of 65.2 %, but its Table 4 has 65.9 %."

GROUPS: Mapping[ClassGroup, tuple[str, ...]] = {
    "small": ("fence", "pole", "traffic light", "traffic sign"),
    "fine": ("person", "rider", "motorcycle", "bicycle"),
    "rare": ("bus", "train", "truck"),
}
"""Table 5's classes that gain from high resolution: small (green), of fine detail (blue), rare (red)."""

_GROUPS_ELSEWHERE: Mapping[str, ClassGroup] = {
    "sign": "small",
    "sign symbol": "small",
    "pedestrian": "fine",
    "bicyclist": "fine",
}


def group_of(class_name: str) -> ClassGroup | None:
    """Tell which group of Table 5 a class belongs to, None for the large ones.

    CamVid's classes stand in the group of their counterparts in Cityscapes: pole and fence have the same names, a
    sign (symbol) is a traffic sign, a pedestrian a person, a bicyclist a rider on his bicycle. None of CamVid's
    classes is rare in the paper's sense.
    """
    for group, names in GROUPS.items():
        if class_name in names:
            return group
    return _GROUPS_ELSEWHERE.get(class_name)


TABLE_6: Mapping[str, Benchmark] = {
    "deeplab-v2": Benchmark(70.4, 86.4, 44.0, pretrained=True),
    "pspnet": Benchmark(78.4, 90.6, 65.7, pretrained=True),
    "segnet": Benchmark(56.1, 79.8, 29.46, pretrained=False),
    "enet": Benchmark(58.3, 80.4, 0.37, pretrained=False),
    "icnet": Benchmark(69.5, None, 6.68, pretrained=True),
    "erfnet": Benchmark(68.0, 86.5, 2.1, pretrained=False),
    "cn14": Benchmark(66.1, 82.7, 0.85, pretrained=False),
}
"""Table 6, on Cityscapes' test images; cn14 is the pruned network."""

TABLE_6_NOTE = "The paper gives fewer digits of some parameter counts: 44 (DeepLab-v2), 65.7 (PSPNet), 2.1 (ERFNet)."

TABLE_7_SIZES: tuple[Size, ...] = ((1024, 2048), (512, 1024), (256, 512))


def _runtime(network: str, mark: str, *fps: float | None) -> Runtime:
    return Runtime(network, dict(zip(TABLE_7_SIZES, fps, strict=True)), mark)


TABLE_7 = (
    _runtime("segnet", "*", 1.6, None, None),
    _runtime("enet", "*", 20.4, 76.9, 142.9),
    _runtime("icnet", "", 14.2, 46.3, 83.2),
    _runtime("erfnet", "*", 11.2, 41.7, 125.0),
    _runtime("cn14", "", 18.3, 65.5, 139.2),
    _runtime("cn14", "†", 41.9, 136.2, 299.5),
)
"""Table 7, on an Nvidia Titan X (Maxwell) with TensorFlow, memory transfers included unless the mark says otherwise."""

ENSEMBLE = Ensemble(context=63.3, detail=25.1, ensemble=60.3, cn14=65.9)
"""Section 3.2, "ContextNet vs Ensemble Nets", on Cityscapes' validation images."""

ENSEMBLE_NOTE = "The paper says that the ensemble is 6.6 % behind cn14; its figures, 65.9 and 60.3, are 5.6 apart."

PRUNING = Pruning(before=64.2, after=66.1, widths=(2, 1.5, 1.25, 1))
"""Section 3.2, "Network Pruning", on Cityscapes' test images."""
