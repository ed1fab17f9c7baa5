"""The networks that the peers train: torchvision's ResNets, or the same written out where there is no torchvision, and
cytograd's own small one (models/small.h)."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "golden"))

from resnet import make_resnet  # noqa: E402

MODELS = ["small", "resnet18", "resnet34", "resnet50"]

__all__ = ["MODELS", "make_model", "make_resnet"]


class SmallNet(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        for i, (out, stride) in enumerate(((32, 2), (64, 1), (128, 2), (256, 2)), start=1):
            conv = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(out))
            channels = out
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        for i in range(1, 5):
            x = torch.relu_(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def make_model(name, channels, classes, stem="7x7"):
    return SmallNet(channels, classes) if name == "small" else make_resnet(name, channels, classes, stem)
