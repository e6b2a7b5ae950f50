"""The compared networks by name."""

from __future__ import annotations

from typing import TypeAlias

from contextnet.models.baselines.dabnet import DABNet
from contextnet.models.baselines.deeplab_v2 import DeepLabV2
from contextnet.models.baselines.enet import ENet
from contextnet.models.baselines.erfnet import ERFNet
from contextnet.models.baselines.fast_scnn import FastSCNN
from contextnet.models.baselines.icnet import ICNet
from contextnet.models.baselines.pspnet import PSPNet
from contextnet.models.baselines.segnet import SegNet

Body: TypeAlias = SegNet | ENet | ICNet | ERFNet | PSPNet | DeepLabV2 | FastSCNN | DABNet

BASELINES: dict[str, type[Body]] = {
    "segnet": SegNet,
    "enet": ENet,
    "icnet": ICNet,
    "erfnet": ERFNet,
    "pspnet": PSPNet,
    "deeplab-v2": DeepLabV2,
    "fast-scnn": FastSCNN,
    "dabnet": DABNet,
}
