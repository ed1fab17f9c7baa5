"""Times training steps in PyTorch: eager, channels_last, SGD with momentum, synthetic images. Prints JSON.

    OMP_NUM_THREADS=2 python3 torch_train_step.py --size 64 --channels 1 --batch 64 --dtype f32 --steps 20
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

from torch_models import make_resnet

WARM_UP = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18", choices=["resnet18", "resnet34", "resnet50"])
    parser.add_argument("--stem", default="7x7", choices=["7x7", "3x3"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--classes", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device(args.device)
    model = make_resnet(args.model, args.channels, args.classes, args.stem)
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x = torch.randn(args.batch, args.channels, args.size, args.size, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(args.classes, (args.batch,), device=device)

    def step():
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
            logits = model(x)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()  # waits for the device

    for _ in range(WARM_UP):
        step()
    seconds = []
    for _ in range(args.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                **vars(args),
                "threads": torch.get_num_threads(),
                "median_seconds": round(median, 5),
                "min_seconds": round(min(seconds), 5),
                "images_per_second": round(args.batch / median, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
