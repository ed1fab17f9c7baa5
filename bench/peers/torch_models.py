"""The networks that the peers train: torchvision's ResNets, or the same written out where there is no torchvision."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "golden"))

from resnet import make_resnet  # noqa: E402

__all__ = ["make_resnet"]
