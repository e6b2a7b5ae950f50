"""The compared networks by name, each made with as much of its description as it can have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from contextnet.models.baselines.dabnet import DABNet
from contextnet.models.baselines.deeplab_v2 import DeepLabV2
from contextnet.models.baselines.enet import ENet
from contextnet.models.baselines.erfnet import ERFNet
from contextnet.models.baselines.fast_scnn import FastSCNN
from contextnet.models.baselines.icnet import ICNet
from contextnet.models.baselines.pspnet import PSPNet
from contextnet.models.baselines.segnet import SegNet
from contextnet.network_spec import BaselineSpec

Body: TypeAlias = SegNet | ENet | ICNet | ERFNet | PSPNet | DeepLabV2 | FastSCNN | DABNet

BODIES: dict[str, Callable[[BaselineSpec], Body]] = {
    "segnet": lambda spec: SegNet(spec.num_classes),
    "enet": lambda spec: ENet(spec.num_classes),
    "icnet": lambda spec: ICNet(spec.num_classes, auxiliary=spec.auxiliary),
    "erfnet": lambda spec: ERFNet(spec.num_classes),
    "pspnet": lambda spec: PSPNet(spec.num_classes, dropout=spec.dropout, auxiliary=spec.auxiliary),
    "deeplab-v2": lambda spec: DeepLabV2(spec.num_classes),
    "fast-scnn": lambda spec: FastSCNN(spec.num_classes, dropout=spec.dropout, auxiliary=spec.auxiliary),
    "dabnet": lambda spec: DABNet(spec.num_classes),
}
