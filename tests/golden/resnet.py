"""ResNet-18, -34 and -50 as torchvision builds them, for machines without torchvision: same structure and names."""

import torch
from torch import nn

LAYERS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}


class Block(nn.Module):
    """Basic: 3x3, 3x3. Bottleneck: 1x1, 3x3 with the stride, 1x1 of four times the width."""

    def __init__(self, in_channels, width, stride, bottleneck):
        super().__init__()
        out = width * 4 if bottleneck else width
        windows = [(1, width, 1), (3, width, stride), (1, out, 1)] if bottleneck else [(3, width, stride), (3, out, 1)]
        channels = in_channels
        for i, (window, size, step) in enumerate(windows, start=1):
            conv = nn.Conv2d(channels, size, window, step, window // 2, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(size))
            channels = size
        self.count = len(windows)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.count:
                y = self.relu(y)
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self, name, num_classes):
        super().__init__()
        bottleneck = name == "resnet50"
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = 64
        for layer, blocks in enumerate(LAYERS[name], start=1):
            width = 64 << (layer - 1)
            stages = []
            for block in range(blocks):
                stages.append(Block(channels, width, 2 if layer > 1 and block == 0 else 1, bottleneck))
                channels = width * 4 if bottleneck else width
            self.add_module(f"layer{layer}", nn.Sequential(*stages))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def make_resnet(name, channels, classes, stem="7x7"):
    """torchvision's model where it is there. Stem "3x3": one 3x3 convolution of stride 1 and no max pool."""
    try:
        import torchvision

        model = getattr(torchvision.models, name)(num_classes=classes)
    except ImportError:
        model = ResNet(name, classes)
    window, stride = (7, 2) if stem == "7x7" else (3, 1)
    model.conv1 = nn.Conv2d(channels, 64, window, stride, window // 2, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    if stem == "3x3":
        model.maxpool = nn.Identity()
    return model
